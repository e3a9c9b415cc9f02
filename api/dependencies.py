"""What routes ask for: the process's resources, how long to wait, the idempotency key."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import Query
from redis.asyncio import Redis
from starlette.requests import Request

from api.entry.admission import Admission
from api.entry.auth import Authenticator, Identity
from api.entry.open_requests import OpenRequests
from api.entry.rates import Rates
from api.headers import values_of
from api.json_route import body_of
from api.live.hub import Hub
from api.live.reply_reader import ReplyReader
from api.live.sse import OpenStreams
from api.services.asks import Asks
from api.services.backlog import Backlog
from api.services.operations import OperationsReader
from shared.budgets import Budgets
from shared.database.access import Database
from shared.eraser import Eraser
from shared.errors import InvalidValue
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import Sweeper
from shared.messaging.doorbell import Doorbell
from shared.messaging.notices import Notifier
from shared.settings import Settings
from shared.store.idempotency import KeyedRequest

_KEY = re.compile(r"[!-~]{1,255}")
_PREFERRED_WAIT = re.compile(r"wait=(\d{1,9})", re.IGNORECASE)

WaitSeconds = Annotated[
    float | None,
    Query(
        ge=0,
        allow_inf_nan=False,
        description="Hold the request up to so many seconds, until there is what it waits for. Capped by the server.",
        examples=[20],
    ),
]
PREFER_PARAMETER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`wait=20` means the same as `?wait=20`, which wins. One that cannot be used is ignored.",
}
IDEMPOTENCY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 257},
    "description": "Makes a repeat safe: the same key with the same request gives what it made the first time.",
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What a gateway process runs on."""

    settings: Settings
    database: Database
    redis: Redis
    notifier: Notifier
    doorbell: Doorbell
    hub: Hub
    replies: ReplyReader
    heartbeat: Heartbeat
    sweeper: Sweeper
    streams: OpenStreams
    authenticator: Authenticator
    admission: Admission
    budgets: Budgets
    asks: Asks
    rates: Rates
    open_requests: OpenRequests
    eraser: Eraser
    backlog: Backlog
    operations: OperationsReader

    def announce(self, conversation_id: str) -> None:
        """Wakes whoever waits for this conversation, here and on every other gateway. Call it after the commit."""
        self.hub.wake(conversation_id)
        self.notifier.announce(conversation_id)


def resources_of(request: Request) -> Resources:
    """The resources of the process that answers."""
    resources: Resources = request.app.state.resources
    return resources


def identity_of(request: Request) -> Identity:
    """Who asks."""
    identity: Identity = request.scope["state"]["identity"]
    return identity


def note_held(request: Request) -> None:
    """The client asked to wait, so that how long it takes to answer says nothing of this server."""
    request.scope["state"]["is_held"] = True


def tenant_of(request: Request) -> str:
    """Whose things the request may see."""
    return identity_of(request).tenant_id


def bound_conversation_of(request: Request) -> str | None:
    """The only conversation that the request may touch, where it came with a conversation's token."""
    identity: Identity = request.scope["state"]["identity"]
    return identity.conversation_id


def key_of(request: Request) -> str | None:
    """The API key by which the request came in, also where a browser's token stands for it; None if none is needed."""
    identity: Identity = request.scope["state"]["identity"]
    return identity.key_id


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to hold a request, and the header that says so if the client asked by `Prefer`."""

    seconds: float
    headers: dict[str, str]


def wait_of(request: Request, wait: float | None) -> Wait:
    """`?wait=`, else `Prefer: wait=`, no longer than the server allows."""
    longest = resources_of(request).settings.max_wait_seconds
    if wait is not None:
        if wait > 0:
            note_held(request)
        return Wait(min(wait, longest), {})
    for header in values_of(request.scope, b"prefer"):
        for preference in header.split(","):
            if found := _PREFERRED_WAIT.fullmatch(preference.partition(";")[0].strip()):
                note_held(request)
                seconds = min(int(found[1]), longest)
                return Wait(seconds, {"Preference-Applied": f"wait={seconds:g}"})
    return Wait(0, {})


def keyed_request(request: Request) -> KeyedRequest | None:
    """The request with its Idempotency-Key, or None if it has none.

    Raises:
        InvalidValue: the key is empty, too long, or has other characters than visible ASCII.
    """
    keys = set(values_of(request.scope, b"idempotency-key"))
    if not keys:
        return None
    key = keys.pop().strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if keys or not _KEY.fullmatch(key):
        raise InvalidValue(
            "An Idempotency-Key is 1 to 255 visible ASCII characters, quoted or bare.", pointer="Idempotency-Key"
        )
    canonical = orjson.dumps(body_of(request) or {}, option=orjson.OPT_SORT_KEYS)
    return KeyedRequest(
        tenant_id=tenant_of(request),
        key=key,
        method=request.method,
        path=request.scope["path"],
        request_hash=hashlib.sha256(canonical).hexdigest(),
        lifetime_ms=int(1000 * resources_of(request).settings.idempotency_seconds),
    )
