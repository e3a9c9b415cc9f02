"""The ASGI application: routes, the chat endpoint, and the counters that tests read."""

import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TextIO

from demo_model import behaviours, chat_request, openai_errors
from demo_model.behaviours import Behaviour
from demo_model.call import Call, ClientLeft, Receive, Send
from demo_model.chat_request import ChatRequest
from demo_model.openai_errors import RequestRefused
from demo_model.wire import Completion

REQUESTS_KEPT = 100
JOURNAL_CHARACTERS = 200  # of each message, so that a long one cannot make the journal large
ONCE_KEPT = 10_000  # first failures remembered; beyond it the oldest would fail once more
LAUNCHED = 1_700_000_000  # the `created` of every model: any fixed time will do

Scope = MutableMapping[str, Any]
Handler = Callable[[Call], Awaitable[None]]


class DemoModel:
    """One server's worth of demo model. Answers depend on the messages alone; what is kept here is for tests.

    `journal` gets a line for every request: when, which model, and the beginning of the last user message.
    """

    def __init__(self, journal: TextIO | None = None) -> None:
        self._journal = journal
        self.calls = 0
        self.requests: Counter[str] = Counter()
        self.open_streams = 0
        self.client_disconnects = 0
        self.recent_bodies: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)
        self._failed_once: dict[tuple[str, str], None] = {}
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/chat/completions"): self.chat,
            ("GET", "/v1/models"): self.list_models,
            ("GET", "/healthz"): self.health,
            ("GET", "/stats"): self.stats,
            ("GET", "/requests"): self.recent,
        }
        self._paths = {path for _, path in self._routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        call = Call(receive, send, transport=scope["state"]["transport"], number=self.calls)
        try:
            await self._route(call, method=scope["method"], path=scope["path"])
        except RequestRefused as refused:
            await call.refuse(refused.refusal)
        except ClientLeft:
            self.client_disconnects += 1

    async def _route(self, call: Call, *, method: str, path: str) -> None:
        handler = self._routes.get((method, path))
        if handler is not None:
            await handler(call)
        elif path in self._paths:
            await call.refuse(openai_errors.WRONG_METHOD)
        elif method == "GET" and path.startswith("/v1/models/"):
            await self.show_model(call, path.removeprefix("/v1/models/"))
        else:
            await call.refuse(openai_errors.UNKNOWN_PATH)

    async def chat(self, call: Call) -> None:
        request = chat_request.parse(await call.body())
        self.requests[request.model] += 1
        self.recent_bodies.append(request.body)
        self._note(request)
        behaviour = behaviours.find(request.model)
        if behaviour is None:
            await call.refuse(openai_errors.UNKNOWN_MODEL, model=request.model)
            return
        if behaviour.once and self._already_failed(request):
            behaviour = behaviours.BEHAVIOURS["demo-fast"]
        if behaviour.refusal is not None:
            await call.refuse(behaviour.refusal, model=request.model)
            return
        self.open_streams += request.stream
        try:
            await behaviour.deliver(call, _completion(call, request, behaviour))
        finally:
            self.open_streams -= request.stream

    def _note(self, request: ChatRequest) -> None:
        if self._journal is None:
            return
        asked = request.last_user_text()[:JOURNAL_CHARACTERS]
        line = {"at_ms": time.time_ns() // 1_000_000, "model": request.model, "asked": asked}
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()

    def _already_failed(self, request: ChatRequest) -> bool:
        """Whether this model has seen this last user message; it has from now on."""
        key = (request.model, request.last_user_text())
        if key in self._failed_once:
            return True
        if len(self._failed_once) >= ONCE_KEPT:
            del self._failed_once[next(iter(self._failed_once))]
        self._failed_once[key] = None
        return False

    async def list_models(self, call: Call) -> None:
        await _json(call, {"object": "list", "data": [_model(name) for name in behaviours.BEHAVIOURS]})

    async def show_model(self, call: Call, name: str) -> None:
        if behaviours.find(name) is None:
            await call.refuse(openai_errors.UNKNOWN_MODEL, model=name)
        else:
            await _json(call, _model(name))

    async def health(self, call: Call) -> None:
        await _json(call, {"status": "ok"})

    async def stats(self, call: Call) -> None:
        counters = {
            "requests": dict(self.requests),
            "open_streams": self.open_streams,
            "client_disconnects": self.client_disconnects,
        }
        await _json(call, counters)

    async def recent(self, call: Call) -> None:
        await _json(call, {"requests": list(self.recent_bodies)})


def _completion(call: Call, request: ChatRequest, behaviour: Behaviour) -> Completion:
    return Completion(
        number=call.number,
        model=request.model,
        choices=[choice.limited(request.max_tokens) for choice in behaviour.says(request)],
        prompt_tokens=request.prompt_tokens(),
        stream=request.stream,
        include_usage=request.include_usage,
    )


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": LAUNCHED, "owned_by": "demo"}


async def _json(call: Call, value: object) -> None:
    await call.answer(json.dumps(value).encode())
