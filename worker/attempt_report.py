"""What one attempt comes to, for the log and the metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shared.clock import now_ms
from shared.ending import Failure, Usage
from shared.observability import logging as log_lines
from shared.observability import tracing
from shared.observability.metrics import ATTEMPTS, FINISHED, NO_CODE
from shared.observability.tracing import Attributes, Noted
from shared.reply_status import AttemptOutcome, ReplyStatus
from shared.settings import Settings
from shared.store.claims import Claim
from worker import metrics
from worker.model_answer import Finished

log = logging.getLogger(__name__)

# What the models are called that are not offered by name: a conversation may name any.
OTHER_MODEL = "other"
# In these an attempt that failed leaves its reply, unless somebody had asked for a stop.
_FAILED = frozenset({ReplyStatus.FAILED, ReplyStatus.QUEUED})


class AttemptReport:
    """Notes what happens in an attempt, and tells of it once it has ended."""

    def __init__(self, claim: Claim, settings: Settings) -> None:
        self._model = claim.model if claim.model in settings.offered_models else OTHER_MODEL
        self._claim = claim
        self._ids: dict[str, str | int | float] = {
            "conversation_id": claim.conversation_id,
            "reply_id": claim.reply_id,
            "attempt": claim.attempt,
        }
        self._began = time.monotonic()
        self._called = self._began
        self._first_text: float | None = None
        self._span: Noted = tracing.NOTHING

    @contextmanager
    def begun(self) -> Iterator[None]:
        """The attempt's own task makes it in this block: whatever it logs is about this reply."""
        log_lines.begin(**self._ids)
        waited_seconds = max(0, now_ms() - self._claim.available_at) / 1000
        metrics.QUEUE_WAIT.observe(waited_seconds)
        parent = {"traceparent": self._claim.traceparent} if self._claim.traceparent else {}
        about = {f"asyncchat.{name}": value for name, value in self._ids.items()}
        about["asyncchat.queue_wait_seconds"] = waited_seconds
        with tracing.span("attempt", "consumer", about, parent=parent) as self._span:
            log_lines.add(**tracing.ids())
            yield

    def called(self, model: str) -> AbstractContextManager[Noted]:
        """The model is called and answers in this block; `model` is what its upstream calls it."""
        self._called = time.monotonic()
        about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model}
        return tracing.span(f"chat {model}", "client", about)

    def hear(self) -> int:
        """The model begins to speak: how many milliseconds after it was called."""
        self._first_text = time.monotonic()
        seconds = self._first_text - self._called
        metrics.FIRST_TOKEN(self._model).observe(seconds)
        self._span.happen("first token")
        return round(1000 * seconds)

    def end(
        self,
        status: ReplyStatus,
        *,
        outcome: AttemptOutcome | None = None,
        failure: Failure | None = None,
        usage: Usage | None = None,
    ) -> None:
        """The attempt has ended, and with it the reply if its status is terminal. No `outcome`: the status is it."""
        seconds = time.monotonic() - self._began
        outcome = outcome or AttemptOutcome(status)
        # A stop that was asked for wins over a failure.
        code = str(failure.code) if failure and status in _FAILED else NO_CODE
        ATTEMPTS(outcome, code).inc()
        metrics.ATTEMPT_SECONDS(outcome).observe(seconds)
        if status.is_terminal:
            FINISHED(status, code).inc()
        if usage is not None:
            self._count(usage)
        told: dict[str, Any] = {"outcome": str(outcome), "status": str(status), "seconds": round(seconds, 3)}
        if code:
            told["code"] = code
        if usage is not None:
            told |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self._span.note({f"asyncchat.{name}": value for name, value in told.items()})
        if code:
            self._span.fail(code)
        # With the ids, since a drain ends attempts from a task of its own.
        log.info("attempt ended", extra=self._ids | told)

    def _count(self, usage: Usage) -> None:
        metrics.TOKENS(self._model, "input").inc(usage.input_tokens)
        metrics.TOKENS(self._model, "output").inc(usage.output_tokens)
        if self._first_text is not None and (speaking := time.monotonic() - self._first_text) > 0:
            metrics.SPEED(self._model).observe(usage.output_tokens / speaking)


def told_of_answer(finished: Finished) -> Attributes:
    """What a model said of its answer, in the words of OpenTelemetry's conventions for generative AI."""
    told: dict[str, int | Sequence[str]] = {"gen_ai.response.finish_reasons": [finished.reason]}
    if finished.usage is not None:
        told["gen_ai.usage.input_tokens"] = finished.usage.input_tokens
        told["gen_ai.usage.output_tokens"] = finished.usage.output_tokens
    return told
