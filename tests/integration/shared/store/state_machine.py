"""Gateways, workers, sweepers and clocks in any order: Hypothesis chooses it, and the judge looks after every step."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from hypothesis.strategies._internal.featureflags import FeatureFlags

from shared.store import candidates
from tests.integration.shared.rows import Tables
from tests.integration.shared.store.gateway_rules import MAX_CANDIDATES, GatewayRules
from tests.integration.shared.store.sweeper_rules import SweeperRules

# What happens on any fifty walks or so: such as get nowhere prove nothing.
USUAL = frozenset(
    {
        *(
            "completed",
            "incomplete",
            "failed",
            "cancelled",
            "claim",
            "finish",
            "requeue",
            "handed back",
            "save_partial",
        ),
        *("cancel while queued", "cancel while in_progress", "interrupt while queued", "interrupt while in_progress"),
        *("regenerate", "choose", "retry", "fork", "remove", "append", "take_over", "expire", "stamped again"),
        *("restart: queued", "moved with stop cancel", "moved with stop interrupt", "the same key again"),
        *("without a mark", "ask: Busy", "regenerate: NotLastTurn", "choose: NotSelectable", "retry: NotRetryable"),
        *("finish: Lost", "requeue: Lost", "claim: ProcessGone", "_ask_once: IdempotencyMismatch"),
    }
)
# What happens on some of them.
RARE = frozenset(
    {
        *("regenerate: TooManyCandidates", "caps used up", "expire: Lost", "restart: failed", "restart: cancelled"),
        *("fail: failed", "keep_partial: incomplete", "keep_partial: queued", "cancel while incomplete", "forget"),
    }
)

STEPS = 50
# In the environment: a failure is shown as it was found. Making it short takes minutes.
QUICK_TO_FAIL = "TEST_QUICK_TO_FAIL"


class _AllRules(FeatureFlags):
    """Hypothesis would leave out about half of the rules on each walk. Few walks would get anywhere then."""

    def is_enabled(self, _name: str) -> bool:
        """It is."""
        return True


class StoreMachine(GatewayRules, SweeperRules):
    """All of it."""

    def __init__(self, tables: Tables, outcomes: Counter[str]) -> None:
        super().__init__(tables, outcomes)
        self._rules_strategy.enabled_rules_strategy = st.just(_AllRules())


def walk(tables: Tables, *, walks: int, chance: int) -> Counter[str]:
    """So many walks of fifty steps, the same ones for the same `chance`. How often what happened.

    A failure is made as short as it can be, and is printed as the steps that lead to it.
    """
    outcomes: Counter[str] = Counter()

    @seed(chance)
    def machine() -> StoreMachine:
        return StoreMachine(tables, outcomes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "MAX_CANDIDATES", MAX_CANDIDATES)
        run_state_machine_as_test(
            machine,  # type: ignore[arg-type]  # Called like a class, and all that is asked of it.
            settings=settings(
                max_examples=walks,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate] if QUICK_TO_FAIL in os.environ else [Phase.generate, Phase.shrink],
            ),
        )
    return outcomes
