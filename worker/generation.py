"""One attempt at one reply: read the prompt, stream from the model, store how it ended."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import Connection

from shared.clock import now_ms
from shared.crash_points import crash_point
from shared.ending import TOO_LATE, Ending, Failure, Usage
from shared.errors import StorageError
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus
from shared.store import moves, prompts
from shared.store.claims import Claim
from shared.store.moves import Lost
from worker.attempt_report import AttemptReport, told_of_answer
from worker.model_answer import Finished
from worker.model_client import ModelRequest
from worker.model_failure import ModelFailure, filtered, timed_out
from worker.reply_stream import ReplyStream
from worker.storing import STORE_AGAIN_SECONDS, store
from worker.upstreams import Onward
from worker.workbench import OverBudget, Workbench

log = logging.getLogger(__name__)

# Nobody waits longer than this between two tries unless the provider asks for it.
MAX_BACKOFF_SECONDS = 30.0


class _Stopped(Exception):
    """Somebody asked for the reply to stop."""


# A model that took the request has read it, whether or not anything came of it.
_PERHAPS_PAID = frozenset(
    {
        *(ReplyError.UPSTREAM_TIMEOUT, ReplyError.UPSTREAM_CUT_OFF, ReplyError.UPSTREAM_EMPTY),
        *(ReplyError.DEADLINE_EXCEEDED, ReplyError.ATTEMPTS_EXHAUSTED),
    }
)
_BROKEN = ModelFailure(
    Failure(ReplyError.ATTEMPTS_EXHAUSTED, "The worker failed while answering; its log says why.", retryable=True)
)


class Generation:
    """One claimed reply, from its claim to the write that ends or requeues it. Its `prompt` may come with the claim."""

    def __init__(self, claim: Claim, bench: Workbench, *, prompt: Sequence[prompts.Message] = ()) -> None:
        self.claim = claim
        self._bench = bench
        self.stream = ReplyStream(claim, bench.notifier, bench.pacer)
        self.report = AttemptReport(claim, bench.settings)
        # Up to where the text so far is stored.
        self.saved = self.stream.cursor
        self._read_with_claim = prompt
        self._prompt: Sequence[prompts.Message] = ()  # once the model is to be asked
        self._is_stopped = False
        self._is_abandoned = False
        # Whether what became of the attempt is stored; not so where the reply was somebody else's by then.
        self.is_settled = False
        self._bound: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Makes the attempt. Cancelled, it writes nothing: whoever cancels decides what becomes of the reply."""
        with self.report.begun():
            self.stream.start()
            await self._conclude(self._attempt())

    def stop(self) -> None:
        """Breaks off the call of the model and ends the reply, as the database has it that somebody asked for."""
        self._is_stopped = True
        # Each beat finds the wish again while the connection takes its time to close.
        if self._bound is not None and not self._bound.expired():
            self._bound.reschedule(asyncio.get_running_loop().time())

    async def abandon(self) -> None:
        """Ends an attempt that nobody makes any more, as one that failed unexpectedly."""
        self._is_abandoned = True
        # It may have called the model.
        self._prompt = await self._read(self._bench.build_prompt)
        await self._conclude(self._end_or_try_again(_BROKEN))

    async def hand_back(self) -> bool:
        """Puts the reply back for another worker at once, as if this one had never tried. False if it could not.

        For one that was cancelled: nothing of it may run any more.
        """
        claim, bench, stream = self.claim, self._bench, self.stream
        stream.flush()
        try:
            status = await bench.database.write(
                moves.requeue,
                claim,
                outcome=AttemptOutcome.HANDED_BACK,
                next_at=now_ms(),
                give_back_try=True,
                give_back_call=True,
                usage=self.usage_so_far(),
                sent=stream.said_in_vain(),
                now=now_ms(),
            )
        except Lost:
            # Perhaps it ended just now, and was cancelled before it could say so.
            bench.notifier.announce(claim.conversation_id)
            return False
        except StorageError as error:
            log.warning("could not hand a reply back; others will take it over: %s", error)
            return False
        stream.leave(status)
        self.report.end(status, outcome=AttemptOutcome.HANDED_BACK)
        bench.notifier.announce(claim.conversation_id)
        return True

    async def _conclude(self, ending: Awaitable[ReplyStatus]) -> None:
        claim = self.claim
        try:
            status = await ending
        except Lost:
            log.warning("gave up a reply that is somebody else's now")
            return
        self.is_settled = True
        crash_point("worker.finish.committed" if status.is_terminal else "worker.requeue.committed")
        self._bench.notifier.announce(claim.conversation_id)
        if status.is_terminal:
            self._bench.on_end()

    async def _attempt(self) -> ReplyStatus:
        try:
            finished = await self._ask_model()
            self._bench.upstreams.report(self.claim, None)
            crash_point("worker.finish.before")
            return await self._finish(self._ending(finished))
        except _Stopped:
            return await self._finish(Ending(ReplyStatus.CANCELLED, self.stream.text, self.usage_so_far()))
        except OverBudget as error:
            return await self._fail(Failure(ReplyError.BUDGET_EXCEEDED, str(error), retryable=False), None)
        except ModelFailure as failure:
            self._bench.upstreams.report(self.claim, failure)
            return await self._end_or_try_again(failure)
        except Lost:
            raise
        except Exception:
            log.exception("an attempt failed unexpectedly")
            return await self._end_or_try_again(_BROKEN)

    async def _ask_model(self) -> Finished:
        settings, upstreams = self._bench.settings, self._bench.upstreams
        left_seconds = (self.claim.deadline_at - now_ms()) / 1000
        is_last = left_seconds <= settings.attempt_seconds
        try:
            async with asyncio.timeout(left_seconds if is_last else settings.attempt_seconds) as self._bound:
                if self._is_stopped:
                    raise _Stopped
                client = upstreams.client(self.claim)
                self._prompt = self._read_with_claim or await self._read(self._bench.read_prompt)
                model = self.claim.place.model if self.claim.place else self.claim.model
                request = ModelRequest(model, self._prompt, self.claim.parameters)
                with self.report.called(model) as call:
                    finished = await client.stream(request, on_text=self._take)
                    call.note(told_of_answer(finished))
                return finished
        except TimeoutError:
            if self._is_stopped:
                raise _Stopped from None
            if is_last:
                raise ModelFailure(TOO_LATE) from None
            raise timed_out(has_begun=not self.stream.is_empty) from None
        finally:
            self._bound = None

    def _take(self, text: str) -> None:
        if self.stream.is_empty:
            self.stream.first_token_ms = self.report.hear()
            self._bench.upstreams.hear(self.claim)
        self.stream.take(text)
        crash_point("worker.text.received")

    def usage_so_far(self) -> Usage | None:
        """What a call that was broken off has cost, by our own estimate: models count only at the end."""
        return prompts.estimate(self._prompt, self.stream.text) if self._prompt else None

    def _usage_of(self, failed: ModelFailure) -> Usage | None:
        """What a call has cost that came to nothing. An error in place of an answer costs nothing."""
        if failed.usage is not None:
            return failed.usage
        is_paid = not self.stream.is_empty or failed.failure.code in _PERHAPS_PAID
        return self.usage_so_far() if is_paid else None

    async def _read(self, build: Callable[[Connection, Claim], Sequence[prompts.Message]]) -> Sequence[prompts.Message]:
        """Reads the prompt until the database answers; the attempt's time-out bounds it."""
        while True:
            try:
                return await self._bench.reads.read(build, self.claim)
            except StorageError as error:
                log.warning("could not read the history: %s", error)
                await asyncio.sleep(STORE_AGAIN_SECONDS)

    def _ending(self, finished: Finished) -> Ending:
        """How the reply ends when the model says that it is done."""
        text, usage = self.stream.text, finished.usage or self.usage_so_far()
        if finished.reason == "content_filter":
            if not text:
                return Ending(ReplyStatus.FAILED, usage=usage, failure=filtered().failure)
            return Ending(ReplyStatus.INCOMPLETE, text, usage, incomplete_reason=IncompleteReason.CONTENT_FILTER)
        if finished.reason == "length":
            return Ending(ReplyStatus.INCOMPLETE, text, usage, incomplete_reason=IncompleteReason.MAX_OUTPUT_TOKENS)
        return Ending(ReplyStatus.COMPLETED, text, usage)

    async def _end_or_try_again(self, failed: ModelFailure) -> ReplyStatus:
        """Another try where that may help, the caps allow it and there is time; else the end."""
        claim, settings, failure = self.claim, self._bench.settings, failed.failure
        now, usage = now_ms(), self._usage_of(failed)
        if now >= claim.deadline_at or failure is TOO_LATE:
            return await self._fail(TOO_LATE, usage)
        calls = claim.model_calls if failed.counts else claim.model_calls - 1
        onward = self._bench.upstreams.onward(claim, failed)
        if not failure.retryable and onward is None:
            return await self._fail(failure, usage)
        if claim.tries >= settings.max_tries or calls >= settings.max_model_calls:
            tried = f"{failure.message} It was tried {claim.tries} times." if claim.tries > 1 else failure.message
            return await self._fail(Failure(failure.code, tried, failure.retryable), usage)
        next_at = now + int(1000 * self._pause_seconds(failed, onward))
        if next_at >= claim.deadline_at:
            return await self._fail(failure, usage)
        log.info("trying again: %s", failure.message)
        self.stream.flush()
        status = await store(
            self._bench.database,
            moves.requeue,
            claim,
            outcome=AttemptOutcome.RETRIED,
            next_at=next_at,
            next_route=onward.route if onward else None,
            give_back_call=not failed.counts,
            failure=failure,
            usage=usage,
            sent=self.stream.said_in_vain(),
        )
        self.report.end(status, outcome=AttemptOutcome.RETRIED, failure=failure)
        self.stream.leave(status)
        return status

    def _pause_seconds(self, failed: ModelFailure, onward: Onward | None) -> float:
        """How long to wait before the next try: not at all where another upstream is sound."""
        if onward is not None and onward.is_sound:
            return 0.0
        asked_for = failed.retry_after if onward is None else None
        return asked_for or backoff_seconds(self.claim.tries, self._bench.settings.retry_base_seconds)

    async def _fail(self, failure: Failure, usage: Usage | None) -> ReplyStatus:
        return await self._finish(Ending(ReplyStatus.FAILED, self.stream.text, usage, failure))

    async def _finish(self, ending: Ending) -> ReplyStatus:
        stream = self.stream
        if self._is_abandoned:
            # How far its events went is not known here, so that the end gets a token of its own.
            status = await store(self._bench.database, moves.end, self.claim, ending, outcome=AttemptOutcome.FAILED)
            stream.leave(status)
        else:
            stream.flush()
            status = await store(self._bench.database, moves.finish, self.claim, ending, sent=stream.said())
            stream.end(status)
        self.report.end(status, failure=ending.failure, usage=ending.usage)
        return status


def backoff_seconds(tries: int, base: float) -> float:
    """How long to wait after so many tries: doubling, with jitter so that many do not come back at once."""
    return min(base * 2.0 ** (tries - 1), MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.5)
