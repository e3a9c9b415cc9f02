"""What holds for every change of a conversation's last turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.database.models import DEFAULT_TENANT, replies
from shared.errors import NotFound, NotLastTurn
from shared.store import turns
from shared.store.turns import Said
from tests.integration.shared.rows import COMPLETED, NOW, Tables
from tests.integration.shared.store.last_turn import FAILED, choose, ended, regenerate, retry, version

Act = Callable[..., Any]


@pytest.mark.parametrize("act", [regenerate, retry, choose])
def test_an_unknown_reply_and_anothers_are_not_found(act: Act, tables: Tables) -> None:
    (reply_id,) = ended(tables, FAILED)
    before = tables.rows(replies)
    with pytest.raises(NotFound):
        act(tables, "reply_unknown")
    with pytest.raises(NotFound):
        act(tables, reply_id, tenant="another")
    assert tables.rows(replies) == before


@pytest.mark.parametrize("act", [regenerate, retry, choose])
@pytest.mark.parametrize("go_on", ["ask", "append"])
def test_only_the_last_turn_can_change(act: Act, go_on: str, tables: Tables) -> None:
    """Also if nothing but an appended message came after it."""
    (reply_id,) = ended(tables, FAILED if act is retry else COMPLETED)
    conversation_id = tables.reply(reply_id)["conversation_id"]
    if go_on == "ask":
        tables.ask(conversation_id)
    else:
        tables(turns.append, DEFAULT_TENANT, conversation_id, said=[Said("And?")], now=NOW + 1)
    rows, before = tables.rows(replies), version(tables, reply_id)
    with pytest.raises(NotLastTurn):
        act(tables, reply_id)
    assert (tables.rows(replies), version(tables, reply_id)) == (rows, before)


@pytest.mark.parametrize("act", [regenerate, retry, choose])
def test_each_is_a_change_of_the_conversation(act: Act, tables: Tables) -> None:
    (reply_id,) = ended(tables, FAILED if act is retry else COMPLETED)
    before = version(tables, reply_id)
    act(tables, reply_id)
    assert version(tables, reply_id) > before
