"""From a conversation's history to the messages a model is shown, within a budget of tokens, and what they cost.

The instructions and the new message always stay; of what was said before, the newest turns go in first, whole.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from shared.database.models import conversations
from shared.ending import Usage
from shared.store import messages
from shared.store.claims import Claim

# Most tokenizers come to about four bytes of English a token, and to fewer characters of most other scripts, which
# take more bytes each. Good to some tens of percent: the budget should leave that much of the model's window free.
BYTES_A_TOKEN = 4
# What the wrapping of a message costs, in OpenAI's own counting.
TOKENS_A_MESSAGE = 4

# Unless the settings say otherwise.
USUAL_TOKENS = 16_000

Message = dict[str, str]
_INSTRUCTIONS = select(conversations.c.instructions).where(conversations.c.id == bindparam("conversation_id"))


def estimate_tokens(text: str) -> int:
    """About how many tokens a message of this text costs."""
    return TOKENS_A_MESSAGE + -(-len(text.encode()) // BYTES_A_TOKEN)


def estimate(prompt: Sequence[Message], said: str) -> Usage:
    """What a call has cost of which the model did not say so."""
    read = sum(estimate_tokens(message["content"]) for message in prompt)
    return Usage(read, estimate_tokens(said) if said else 0, is_estimated=True)


def estimate_lost(connection: Connection, claim: Claim, said: str, *, budget: int) -> Usage:
    """What a call has cost whose worker cannot tell any more. That it was made is assumed: the dead cannot report."""
    if claim.instructions is None:
        found = connection.execute(_INSTRUCTIONS, {"conversation_id": claim.conversation_id})
        claim = dataclasses.replace(claim, instructions=found.scalar_one_or_none())
    return estimate(build(connection, claim, budget=budget), said)


def build(connection: Connection, claim: Claim, *, budget: int) -> list[Message]:
    """The messages for the model: instructions, as much history as fits into `budget` tokens, and the new message.

    Who asked for no truncation gets all of the history, and the provider's own error if that is too much for the model.
    """
    if claim.parameters.get("truncation") == "disabled":
        budget = sys.maxsize
    instructions = [{"role": "system", "content": claim.instructions}] if claim.instructions else []
    left = budget - sum(estimate_tokens(message["content"]) for message in instructions)
    turns: list[list[Message]] = []  # newest first, and newest first within
    current = None
    for turn, role, content in messages.history(connection, claim.conversation_id, claim.turn):
        if turn != current:
            if left < 0 and len(turns) > 1:
                break
            current = turn
            turns.append([])
        turns[-1].append({"role": role, "content": content})
        left -= estimate_tokens(content)
    if left < 0 and len(turns) > 1:
        turns.pop()  # the turn that did not fit
    return instructions + [message for turn in reversed(turns) for message in reversed(turn)]
