"""What every generation of a process uses, and how it reads what the model is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from shared.budgets import Budgets
from shared.clock import now_ms
from shared.database.access import Database
from shared.messaging.notices import Notifier
from shared.settings import Settings
from shared.store import prompts
from shared.store.claims import Claim
from worker.joint_reads import JointReads
from worker.reply_stream import Pacer
from worker.upstreams import Upstreams


class OverBudget(Exception):
    """Nobody pays for the call."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every generation of a process uses."""

    database: Database
    reads: JointReads
    upstreams: Upstreams
    notifier: Notifier
    pacer: Pacer
    settings: Settings
    on_end: Callable[[], None] = lambda: None  # whenever a reply has ended
    budgets: Budgets = field(default_factory=Budgets)

    def read_prompt(self, connection: Connection, claim: Claim) -> list[prompts.Message]:
        """What the model is shown. May be called from any thread that has a connection.

        Raises:
            OverBudget: whoever pays for the reply has used up a budget while it waited.
        """
        whose = {"key_id": claim.key_id, "end_user": claim.end_user}
        exceeded = self.budgets.exceeded(connection, claim.tenant_id, now=now_ms(), **whose)
        if exceeded is not None:
            raise OverBudget(exceeded.message)
        return self.build_prompt(connection, claim)

    def build_prompt(self, connection: Connection, claim: Claim) -> list[prompts.Message]:
        """The same, whoever pays."""
        return prompts.build(connection, claim, budget=self.upstreams.prompt_tokens(claim))
