"""What is asked, chosen at random: models that answer fast, slowly, wrongly at first, or never."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from cli.verify.history import ENQUEUE, INTERRUPT, REJECT

ECHO, TRANSCRIPT, LOAD = "demo-echo", "demo-transcript", "demo-load"
# Fails without being paid for, so that it does not count as a call.
UNPAID_FAILURES = ("demo-fail-429", "demo-fail-503")
# Names of models that do something wrong on purpose; with `-once` only at the first try.
FAILING = (
    *UNPAID_FAILURES,
    *("demo-fail-500", "demo-fail-401", "demo-cut", "demo-reset", "demo-error-event", "demo-malformed", "demo-stall"),
)
DEADLINE_SECONDS = 60.0
# Far below what a model that stalls is waited for: such a reply ends by its deadline.
SHORT_DEADLINE_SECONDS = 3.0
STALLING = "demo-stall"

_MODELS = {
    "demo-fast": 26,
    "demo-1000ms": 18,
    "demo-3000ms": 8,
    # Long enough to be under way again when a frozen worker wakes.
    "demo-9000ms": 3,
    ECHO: 14,
    LOAD: 6,
    TRANSCRIPT: 5,
    "demo-fail-429-once": 3,
    "demo-fail-500-once": 3,
    "demo-fail-503-once": 2,
    "demo-cut-once": 2,
    "demo-reset-once": 2,
    "demo-error-event-once": 2,
    "demo-malformed-once": 2,
    "demo-fail-401": 1,
    "demo-fail-500": 1,
    STALLING: 1,
}
_CANDIDATES = {1: 6, 2: 2, 3: 2}
_ON_BUSY = {ENQUEUE: 88, INTERRUPT: 8, REJECT: 4}
_ON_CRASH = {"restart": 8, "keep_partial": 1, "fail": 1}


@dataclass(frozen=True, slots=True)
class Style:
    """What may be asked of an installation. One whose model is not the demo's is asked plain questions only."""

    has_demo_model: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """An ask's body without its text."""

    model: str
    n: int
    on_busy: str
    on_crash: str
    deadline_seconds: float

    def body(self, content: str, style: Style) -> dict[str, Any]:
        """What is sent. The default of a field is left out, as most clients do."""
        body: dict[str, Any] = {"content": content, "n": self.n, "deadline_seconds": self.deadline_seconds}
        if style.has_demo_model:
            body["model"] = self.model
        if self.on_busy != ENQUEUE:
            body["on_busy"] = self.on_busy
        if self.on_crash != "restart":
            body["on_crash"] = self.on_crash
        return body


def base_model(model: str) -> str:
    """The name without the part that limits a failure to the first try."""
    return model.removesuffix("-once")


def fails(model: str) -> bool:
    """Whether the model does something wrong on purpose."""
    return base_model(model) in FAILING


def is_permanent_failure(model: str) -> bool:
    """Whether it does so at every try."""
    return model in FAILING


def expected_text(model: str, content: str) -> str | None:
    """All that a completed answer says, where that is known beforehand."""
    if model == ECHO:
        return content
    if model == LOAD:
        return "".join(f" token{number:02d}" for number in range(1, 42))
    return None


def choose(rng: random.Random, *, first: bool = False) -> Choice:
    """One ask. The `first` one of a conversation finds nothing that is busy."""
    model = _pick(rng, _MODELS)
    return Choice(
        model,
        n=_pick(rng, _CANDIDATES),
        on_busy=ENQUEUE if first else _pick(rng, _ON_BUSY),
        on_crash=_pick(rng, _ON_CRASH),
        deadline_seconds=SHORT_DEADLINE_SECONDS if model == STALLING else DEADLINE_SECONDS,
    )


def closing() -> Choice:
    """The last ask of a conversation: its answer is the whole conversation, as the model was shown it."""
    return Choice(TRANSCRIPT, n=1, on_busy=ENQUEUE, on_crash="restart", deadline_seconds=DEADLINE_SECONDS)


def _pick(rng: random.Random, weights: dict[Any, int]) -> Any:
    return rng.choices(list(weights), list(weights.values()))[0]
