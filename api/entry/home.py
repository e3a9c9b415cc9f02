"""Where an open server is at home: this machine, by a name that it knows, and pages that may use it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import Scope as AsgiScope

from api.entry.refusal import Refusal
from api.headers import only_value
from shared.settings import Settings, is_loopback

_NAMES = frozenset({"localhost"})
# Where a proxy says for whom it asks.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"})


class Home:
    """The names and origins by which an open server is used."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = frozenset({*_NAMES, settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)})
        self._origins = frozenset(settings.cors_origins)

    def require(self, scope: AsgiScope) -> None:
        """Refuses what a web page elsewhere may have a browser send here, also by a name that leads here.

        Raises:
            Refusal: it is such a request.
        """
        host = _hostname(only_value(scope, b"host"))
        if host not in self._hosts and not _is_address(host):
            raise Refusal(
                "forbidden_host",
                f"This server is open to this machine only, and does not serve the host {host!r:.100}. "
                "Set ASYNCCHAT_ALLOWED_HOSTS to serve it under more names, or ASYNCCHAT_AUTH=keys.",
            )
        origin = only_value(scope, b"origin")
        if not origin or origin in self._origins:
            return
        if _netloc(origin) != only_value(scope, b"host").lower():
            raise Refusal(
                "forbidden_origin",
                f"Web pages of {origin!r:.100} may not use this server. Set ASYNCCHAT_CORS_ORIGINS to let them.",
            )


def is_home(scope: AsgiScope) -> bool:
    """Whether the request came to an address that only this machine reaches, whatever the server was told to bind."""
    server = scope.get("server")
    return server is None or is_loopback(server[0])


def require_direct(scope: AsgiScope) -> None:
    """Refuses what a proxy on this machine hands on, where nobody said that the server is open to more than it.

    Raises:
        Refusal: it came through a proxy.
    """
    if any(name in _FORWARDED for name, _ in scope["headers"]):
        raise Refusal(
            "forbidden_proxy",
            "This server is open to this machine only, and the request came through a proxy, whom others may reach. "
            "Set ASYNCCHAT_AUTH=keys and make a key with `asyncchat keys create`, or ASYNCCHAT_AUTH=open if whoever "
            "reaches the proxy may use it.",
        )


def _hostname(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def _is_address(host: str) -> bool:
    """Whether it is a number: no name that somebody else's server has given out."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
