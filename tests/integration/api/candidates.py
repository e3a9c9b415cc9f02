"""Replies of a last turn, as clients ask for them."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.integration.api.gateway import Gateway, PlayedWorker


async def post(gateway: Gateway, reply_id: str, what: str, **body: Any) -> httpx2.Response:
    return await gateway.client.post(f"/replies/{reply_id}/{what}/", json=body or None)


async def asked(gateway: Gateway, **body: Any) -> tuple[str, list[str]]:
    """A new conversation, and the replies of its first turn."""
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id, **body)
    return conversation_id, [reply["id"] for reply in turn["replies"]]


async def failed(gateway: Gateway, worker: PlayedWorker, **body: Any) -> str:
    """A reply that failed."""
    _, (reply_id,) = await asked(gateway, **body)
    (claim,) = await worker.claim()
    await worker.fail(claim)
    return reply_id


async def selected(gateway: Gateway, conversation_id: str, turn: int = 1) -> list[int]:
    """The candidates that the conversation goes on from."""
    found = await gateway.get(f"/conversations/{conversation_id}/turns/{turn}/")
    return [reply["candidate"] for reply in found["replies"] if reply["selected"]]
