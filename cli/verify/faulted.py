"""The faults that were put in, and what may be blamed on them: lost tries, paid calls, the time to recover."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cli.verify.choices import UNPAID_FAILURES, base_model, fails, is_permanent_failure
from cli.verify.history import History
from cli.verify.judge import Finding, Kind
from cli.verify.stored import Attempt, Reply, Stored
from shared.reply_status import ReplyStatus

# What the workers under test are allowed for one reply.
MAX_MODEL_CALLS = 2
# A try that ended so was broken off by a fault, or by what the model did wrong.
LOST, HANDED_BACK, RETRIED = "lost", "handed_back", "retried"


class FaultKind(StrEnum):
    """What can be done to a process."""

    KILL_WORKER = "worker killed"
    FREEZE_WORKER = "worker frozen"
    STOP_WORKER = "worker told to stop"
    KILL_GATEWAY = "gateway killed"
    STOP_GATEWAY = "gateway told to stop"
    KILL_VALKEY = "Valkey killed and started empty"
    FLUSH_VALKEY = "Valkey flushed"
    FREEZE_VALKEY = "Valkey frozen"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: from its moment to when everything worked again, in milliseconds since 1970."""

    kind: FaultKind
    victim: str
    at: int
    healed_at: int


# Which endings of a try a fault in its worker explains.
EXPLAINS = {
    FaultKind.KILL_WORKER: {LOST},
    FaultKind.FREEZE_WORKER: {LOST, RETRIED},
    FaultKind.STOP_WORKER: {HANDED_BACK},
}


def explained(stored: Stored, faults: Sequence[Fault]) -> set[tuple[str, int]]:
    """The tries, as reply and number, that a fault in their own worker broke off.

    A fault hits one process, so it explains the tries of one worker: of those that ran when it came and ended before it
    was healed, the worker that has most. Had a second one lost its tries at that time, nothing explains that.
    """
    found: set[tuple[str, int]] = set()
    for fault in faults:
        endings = EXPLAINS.get(fault.kind, set())
        by_worker: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in stored.attempts:
            if attempt.outcome not in endings or not _covers(attempt, fault):
                continue
            if not _is_models_fault(attempt, stored.reply[attempt.reply_id]):
                by_worker[attempt.worker_id].append(attempt)
        hit = max(by_worker.values(), key=len, default=[])
        found |= {(attempt.reply_id, attempt.attempt) for attempt in hit}
    return found


def _covers(attempt: Attempt, fault: Fault) -> bool:
    # It may have begun after the fault's moment: a worker claims until the signal has reached it.
    return attempt.ended_at is not None and fault.at <= attempt.ended_at <= fault.healed_at


def _is_models_fault(attempt: Attempt, reply: Reply) -> bool:
    return attempt.outcome == RETRIED and fails(reply.model)


def extra_calls(
    history: History, stored: Stored, *, faults: Sequence[Fault], requests: Mapping[str, int]
) -> Iterator[Finding]:
    """Requests that the model counted beyond what a turn's replies may cost. `requests` is by the text of the ask.

    A reply may cost one request, and one more for each of its tries that a fault in its worker or a failure of the
    model broke off, but never more than the cap; on top of that come tries that do not count against the cap: those
    that a stopping worker handed back, and those that the model refused without working (429 and 503).
    """
    broken = explained(stored, faults)
    for ask in history.asks:
        if (place := ask.place) is None:
            continue
        replies = stored.replies_of.get(place, [])
        allowed = sum(_allowed(reply, stored.attempts_of.get(reply.id, []), broken) for reply in replies)
        asked = requests.get(ask.content, 0)
        if asked > allowed:
            outcomes = Counter(str(each.outcome) for reply in replies for each in stored.attempts_of.get(reply.id, []))
            tries = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            sentence = f"turn {place[1]} of {place[0]}: {asked} requests to {ask.model}, {allowed} may be ({tries})"
            for number in range(allowed + 1, asked + 1):
                yield Finding(Kind.EXTRA_CALL, f"{ask.key} request {number}", sentence)


def _allowed(reply: Reply, attempts: Sequence[Attempt], broken: set[tuple[str, int]]) -> int:
    again = free = 0
    for attempt in attempts:
        if _is_models_fault(attempt, reply):
            is_free = base_model(reply.model) in UNPAID_FAILURES
        elif (attempt.reply_id, attempt.attempt) in broken:
            is_free = attempt.outcome == HANDED_BACK
        else:
            continue
        free += is_free
        again += not is_free
    return min(1 + again, MAX_MODEL_CALLS) + free


def unexplained_failures(stored: Stored, faults: Sequence[Fault]) -> Iterator[Finding]:
    """Replies that failed although the model did nothing wrong that lasts and no worker was broken under them.

    A deadline is no excuse: but for models that stall it is far longer than anything here takes.
    """
    broken = {reply_id for reply_id, _ in explained(stored, faults)}
    for reply in stored.replies:
        if reply.status != ReplyStatus.FAILED or reply.id in broken or is_permanent_failure(reply.model):
            continue
        sentence = f"{reply.model} did nothing wrong that lasts, and the reply failed with {reply.error_code}"
        yield Finding(Kind.UNEXPECTED, reply.id, sentence)


def recoveries(stored: Stored, faults: Sequence[Fault]) -> list[int]:
    """Milliseconds from each kill of a worker to the next try of each reply that it held."""
    found = []
    for fault in faults:
        if fault.kind is not FaultKind.KILL_WORKER:
            continue
        for reply_id, number in explained(stored, [fault]):
            following = [each for each in stored.attempts_of[reply_id] if each.attempt == number + 1]
            found += [each.started_at - fault.at for each in following]
    return sorted(found)


def percentile(values: Sequence[int], share: float) -> int | None:
    """Of sorted values, the one that so large a share does not exceed."""
    return values[max(0, math.ceil(len(values) * share) - 1)] if values else None
