"""`asyncchat import`: conversations of another chat program, each in one transaction, and none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from api.schemas.requests import MAX_END_USER_CHARS, MAX_TITLE_CHARS
from cli.migration import bring_up_to_date
from cli.old_database import OldConversation, opened
from shared.clock import now_ms
from shared.database.engine import first_line, open_engine, parse_url, sqlite_path
from shared.database.file_lock import FileLock
from shared.errors import AsyncChatError
from shared.ids import imported_conversation_id
from shared.settings import get_settings
from shared.store import imports
from shared.store.imports import Imported


def import_file(file: Path, *, tenant: str, end_user: str | None, dry_run: bool) -> Iterator[str]:
    """Imports all of a file and says how it goes, line by line.

    Raises:
        NotUnderstood: it is no file that can be imported. Nothing was written.
        AsyncChatError: the database cannot be used.
    """
    if end_user is not None and len(end_user) > MAX_END_USER_CHARS:
        raise AsyncChatError(f"an end user's name has at most {MAX_END_USER_CHARS} characters")
    with opened(file) as old:
        yield f"Understood: {old.layout}."
        # All of it is read once before anything is written, so that what is not understood stops it at the beginning.
        counts = Counter[str]()
        for conversation in old.conversations():
            counts["conversations"] += bool(conversation.messages)
            counts["messages"] += len(conversation.messages)
            counts["empty"] += not conversation.messages
            counts["blank"] += conversation.blank
        yield f"There are {counts['conversations']} conversations with {counts['messages']} messages."
        if counts["empty"] or counts["blank"]:
            yield f"Left out: {counts['empty']} conversations and {counts['blank']} messages in which nothing was said."
        if dry_run:
            yield "Nothing was written: this was a dry run."
            return
        bring_up_to_date(get_settings().database_url)
        url = parse_url(get_settings().database_url)
        engine, path = open_engine(url, read_only=False), sqlite_path(url)
        try:
            with closing(FileLock(path)) if path else nullcontext() as lock:
                conversations = old.conversations()
                yield from _write(engine, conversations, lock=lock, tenant=tenant, end_user=end_user, file=file)
        except DBAPIError as error:
            raise AsyncChatError(f"cannot write: {first_line(error)}; run it again to go on") from None
        finally:
            engine.dispose()


def _write(
    engine: Engine,
    found: Iterator[OldConversation],
    *,
    lock: FileLock | None,
    tenant: str,
    end_user: str | None,
    file: Path,
) -> Iterator[str]:
    written, present = Counter[str](), 0
    now = now_ms()
    for conversation in found:
        if not conversation.messages:
            continue
        imported = _as_ours(conversation, tenant=tenant, end_user=end_user, file=file, now=now)
        # In line with a server that runs: SQLite alone lets whoever has just written write again first.
        with lock.held() if lock else nullcontext(), engine.begin() as connection:
            if imports.add(connection, imported):
                written["conversations"] += 1
                written["messages"] += len(conversation.messages)
            else:
                present += 1
    yield f"Imported {written['conversations']} conversations with {written['messages']} messages."
    if present:
        yield f"{present} were here already and are left as they are."


def _as_ours(old: OldConversation, *, tenant: str, end_user: str | None, file: Path, now: int) -> Imported:
    # Without times, in the order of their places, and all before what is made from now on.
    said_at = [message.said_at if message.said_at is not None else now for message in old.messages]
    return Imported(
        conversation_id=imported_conversation_id(old.place, f"{tenant}\0{old.old_id}\0{old.messages[0].content}"),
        tenant_id=tenant,
        title=old.title and old.title[:MAX_TITLE_CHARS],
        end_user=end_user,
        metadata={"imported_from": file.name[:512], "imported_id": old.old_id[:512]},
        messages=[(message.role, message.content, at) for message, at in zip(old.messages, said_at, strict=True)],
    )
