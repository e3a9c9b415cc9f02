"""How an answer's bytes leave: its head together with the first of its body.

The server writes them one after the other, which is two system calls, two packets, and two times that the client is
woken. On a machine with little to spare the second costs as much as the rest of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_CONTINUE = b"HTTP/1.1 100"


class HeadFirst:
    """The transport of one answer. What it does not know is the transport's own."""

    __slots__ = ("_call_soon", "_has_begun", "_held", "_transport")

    def __init__(self, transport: asyncio.Transport, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._held = b""
        self._has_begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Writes it; the head not before the first of the body comes, or what is to be done at this moment is done."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif self._has_begun or data.startswith(_CONTINUE):
            self._transport.write(data)
        else:
            self._held = data
            self._has_begun = True
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Writes what is held."""
        held, self._held = self._held, b""
        # By then the client may have gone.
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        """Closes the connection, once all is written."""
        self.flush()
        self._transport.close()
