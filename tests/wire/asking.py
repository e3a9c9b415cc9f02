"""Replies for the clients to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

NODE_FOLDER = Path(__file__).parent / "node"


class Asked:
    """A reply that is being made, and what it has become."""

    def __init__(self, url: str, turn: dict[str, Any]) -> None:
        self.conversation_id: str = turn["conversation_id"]
        self.path: str = turn["replies"][0]["url"]
        self.events = f"{self.path}events/"
        self._url = url

    def stored(self) -> dict[str, Any]:
        """The reply now."""
        found: dict[str, Any] = httpx2.get(self._url + self.path).json()
        return found


class Asking:
    """Asks in a new conversation each time."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, model: str) -> Asked:
        """A new reply."""
        body = {"model": model, "message": {"content": "Hello, I am Ada"}}
        created = httpx2.post(f"{self._url}/conversations/", json=body)
        assert created.status_code == 201, created.text
        return Asked(self._url, created.json()["turn"])

    def once_more(self, asked: Asked) -> None:
        """A further question in the same conversation."""
        path = f"{self._url}/conversations/{asked.conversation_id}/ask-message/"
        assert httpx2.post(path, json={"content": "What is my name?"}).status_code == 202
