"""The upstreams of a worker process: which one is asked for a reply, how many replies are there, and which are failing.

Without a models file there is one, which the settings describe: it takes as many replies as the worker has slots, under
whatever name of a model, and has no breaker, since there is nowhere else to go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from shared import models_file
from shared.errors import SettingsError
from shared.models_file import MAX_ROUTES, Route, Upstream
from shared.room import Place, Room
from shared.settings import Settings
from shared.store.claims import Claim
from worker import metrics
from worker.breaker import Breaker
from worker.model_client import ModelClient, OpenAIModelClient
from worker.model_failure import ModelFailure, not_offered

log = logging.getLogger(__name__)

# What the one upstream is called that the settings describe.
ONLY = "default"

Routes = Mapping[str, tuple[Route, ...]]


@dataclass(frozen=True, slots=True)
class Onward:
    """The route that a reply takes after the one that failed, and whether its upstream is sound, as far as is known."""

    route: int
    is_sound: bool


@dataclass(slots=True)
class _Line:
    """One upstream as this process uses it."""

    upstream: Upstream
    key: str | None
    breaker: Breaker | None
    running: int = 0
    client: ModelClient | None = None

    @property
    def is_unsound(self) -> bool:
        return self.breaker is not None and not self.breaker.is_closed

    @property
    def free(self) -> int | None:
        """How many more replies it takes. None: any number."""
        limit = self.upstream.max_concurrent
        left = None if limit is None else max(0, limit - self.running)
        if self.breaker is None or self.breaker.is_closed:
            return left
        return min(int(self.breaker.admits_trial), 1 if left is None else left)


class Upstreams:
    """Used from the process's event loop alone."""

    def __init__(
        self, settings: Settings, routes: Routes, lines: Mapping[str, _Line], *, only: Upstream | None
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._lines = lines
        self._only = only
        for name, line in lines.items():
            metrics.UPSTREAM_REPLIES(name).set_function(partial(getattr, line, "running"))
            metrics.UPSTREAM_OPEN(name).set_function(partial(getattr, line, "is_unsound"))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that the models file names, or the one that the settings describe.

        Raises:
            SettingsError: there is none, the file is wrong, or the key of one is missing.
        """
        path = settings.models_path
        if path is None:
            if not (settings.openai_api_key or settings.openai_base_url):
                raise SettingsError(
                    "no model is configured: set OPENAI_API_KEY, or OPENAI_BASE_URL for another server, or write a "
                    "models.toml"
                )
            only = Upstream(ONLY, settings.openai_base_url)
            return cls(settings, {}, {ONLY: _Line(only, settings.openai_api_key, None)}, only=only)
        file = models_file.read(path)
        keys = file.keys()
        lines = {name: _Line(upstream, keys[name], Breaker()) for name, upstream in file.upstreams.items()}
        return cls(settings, file.routes, lines, only=None)

    def routes_of(self, model: str) -> tuple[Route, ...]:
        """The model's own route and those of its fallbacks. Empty if it is not on offer."""
        if self._only is not None:
            return (Route(self._only, model),)
        return self._routes.get(model, ())

    # --- for those who claim ---

    def rooms(self) -> Callable[[], Room]:
        """Makes the room that there is now. A claim that has to begin anew makes it anew.

        No two claims may be under way at once: they would count on the same places.
        """
        free = {name: left for name, line in self._lines.items() if (left := line.free) is not None}
        unsound = frozenset(name for name, line in self._lines.items() if line.is_unsound)
        return lambda: _Room(self.routes_of, tuple(self._routes), unsound=unsound, free=dict(free))

    def shut(self) -> Sequence[tuple[str, int]]:
        """See `Room.shut`."""
        return self.rooms()().shut()

    def begin(self, claim: Claim) -> None:
        """The claimed reply takes its place."""
        if (line := self._line(claim)) is not None:
            line.running += 1
            if line.breaker is not None:
                line.breaker.begin(claim)

    def leave(self, claim: Claim) -> None:
        """The reply is done with its place."""
        if (line := self._line(claim)) is not None:
            line.running -= 1
            if line.breaker is not None:
                line.breaker.leave(claim)

    # --- for those who generate ---

    def client(self, claim: Claim) -> ModelClient:
        """Who asks the upstream of the claim.

        Raises:
            ModelFailure: the model is not on offer here.
        """
        line = self._line(claim)
        if line is None:
            raise not_offered(claim.model)
        if line.client is None:
            line.client = OpenAIModelClient(line.upstream, key=line.key, settings=self._settings)
        return line.client

    def prompt_tokens(self, claim: Claim) -> int:
        """How much of a prompt the model of the claim's upstream reads."""
        routes = self.routes_of(claim.model)
        own = routes[claim.place.route].prompt_tokens if claim.place and routes else None
        return own or self._settings.prompt_tokens

    def hear(self, claim: Claim) -> None:
        """The upstream of the claim has begun to answer."""
        line = self._line(claim)
        if line is not None and line.breaker is not None and line.breaker.hear():
            log.info("upstream %s answers again", line.upstream.name)

    def report(self, claim: Claim, failed: ModelFailure | None) -> None:
        """How it went there."""
        line = self._line(claim)
        if line is None:
            return
        name, breaker = line.upstream.name, line.breaker
        if failed is not None and failed.is_upstreams_fault:
            metrics.UPSTREAM_FAILURES(name, str(failed.failure.code)).inc()
            seconds = breaker.fail(retry_after=failed.retry_after) if breaker is not None else None
            if seconds is not None:
                log.warning("upstream %s is failing; it is left alone for %.0f s", name, seconds)
        elif (failed is None or failed.shows_life) and breaker is not None and breaker.succeed():
            log.info("upstream %s answers again", name)

    def onward(self, claim: Claim, failed: ModelFailure) -> Onward | None:
        """Where else the reply may go. None: nowhere, or the failure would only come again there."""
        routes = self.routes_of(claim.model)
        if claim.place is None or len(routes) < 2 or not failed.may_pass_elsewhere:
            return None
        following = claim.place.route + 1
        for route in range(following, len(routes)):
            if not self._lines[routes[route].upstream.name].is_unsound:
                return Onward(route, is_sound=True)
        return Onward(following % len(routes), is_sound=False)

    async def close(self) -> None:
        """Closes every connection."""
        for line in self._lines.values():
            if line.client is not None:
                await line.client.close()

    def _line(self, claim: Claim) -> _Line | None:
        return self._lines.get(claim.place.upstream or "") if claim.place else None


@dataclass(slots=True)
class _Room:
    """`Room`: how many each upstream takes, by name; of those not in `free` any number."""

    routes_of: Callable[[str], tuple[Route, ...]]
    models: Sequence[str]
    unsound: frozenset[str]
    free: dict[str, int] = field(default_factory=dict)

    @property
    def least(self) -> int | None:
        """See `Room.least`."""
        return min((left for left in self.free.values() if left), default=None)

    def shut(self) -> Sequence[tuple[str, int]]:
        """See `Room.shut`."""
        if all(self.free.values()):
            return ()
        return [
            (model, route)
            for model in self.models
            for route in range(MAX_ROUTES)
            if self._find(self.routes_of(model), route) is None
        ]

    def take(self, model: str, next_route: int) -> Place | None:
        """See `Room.take`."""
        routes = self.routes_of(model)
        if not routes:
            return Place(None, model)
        found = self._find(routes, next_route)
        if found is None:
            return None
        upstream = routes[found].upstream.name
        if upstream in self.free:
            self.free[upstream] -= 1
        return Place(upstream, routes[found].model, found)

    def _find(self, routes: tuple[Route, ...], first: int) -> int | None:
        """The first route, from `first` on and around, that is not failing. One that is only full is waited for."""
        for step in range(len(routes)):
            index = (first + step) % len(routes)
            name = routes[index].upstream.name
            if self.free.get(name, 1) > 0:
                return index
            if name not in self.unsound:
                return None
        return None
