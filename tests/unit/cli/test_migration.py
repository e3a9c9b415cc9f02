"""What `asyncchat migrate` says."""

from __future__ import annotations

import pytest

from cli.migration import bring_up_to_date
from shared.database import schema
from shared.errors import AsyncChatError

URL = "postgresql://user:hunter2@127.0.0.1:1/chat"


def test_it_names_the_database_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "migrate", lambda _url: None)
    assert bring_up_to_date(URL) == "The database postgresql://user:***@127.0.0.1:1/chat is up to date."


def test_a_server_that_cannot_be_reached_is_a_sentence_without_the_password() -> None:
    with pytest.raises(AsyncChatError, match=r"^cannot migrate the database: ") as caught:
        bring_up_to_date(URL)
    assert "hunter2" not in str(caught.value)


def test_whatever_else_goes_wrong_is_a_sentence_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_url: str) -> None:
        raise OSError("no space left\nand more")

    monkeypatch.setattr(schema, "migrate", explode)
    with pytest.raises(AsyncChatError, match=r"user:\*\*\*@.*: no space left$"):
        bring_up_to_date(URL)
