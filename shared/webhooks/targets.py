"""Where webhooks may go: to the public internet over https, and to networks that the operator has named.

Whoever may make endpoints chooses addresses for our workers to call, and could reach through them what only our own
network reaches. The check is made when an endpoint is made, and again of the very address that each delivery connects
to: a name may lead somewhere else by then.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yarl import URL

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# A socket's address as `getaddrinfo` tells it: family, type, protocol, name, address.
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]

MAX_URL_CHARS = 2048
RESOLVE_SECONDS = 5.0
# What Python 3.11 takes for global although it leads elsewhere.
_NOT_PUBLIC = [ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24")]
# All that is given out of IPv6 (RFC 4291), without what has another address inside (Teredo, 6to4) or is no address.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC_6 = [ipaddress.ip_network(name) for name in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
# A name in ASCII, or an address. Others would reach a dozen layers that each read them in their own way.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
# Browsers take a name with such an end for an address, and so does the C library: 127.1, 0x7f000001, 017700000001.
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


class TargetRefused(Exception):
    """Nothing may be sent there. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What may be called. `allowed` are the networks that the operator has named."""

    allowed: Sequence[Network] = ()

    def check_url(self, text: str) -> URL:
        """The URL, if its form is one that may be called. The address is checked by whoever resolves it.

        Raises:
            TargetRefused: it may not.
        """
        url = _parse(text)
        if url.scheme not in {"https", "http"}:
            raise TargetRefused("The URL must begin with https://.")
        if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
            raise TargetRefused("The URL must not have a user or a password in it.")
        if url.raw_fragment or "#" in text:
            raise TargetRefused("The URL must not have a fragment, since that is never sent.")
        host = url.raw_host or ""
        if not _HOST.fullmatch(host) or not url.port:
            raise TargetRefused("The URL must name a host.")
        address = _literal(host)
        if address is None and _NUMERIC_END.fullmatch(host):
            raise TargetRefused("The host must be a name or an address in its usual form, like 203.0.113.7.")
        if url.scheme == "http" and not self._is_home(host, address):
            raise TargetRefused("The URL must begin with https://.")
        if address is not None:
            self.check_address(address)
        return url

    def check_address(self, address: Address) -> None:
        """Makes sure that what listens there may be called.

        Raises:
            TargetRefused: it may not.
        """
        address = _unwrapped(address)
        if any(address in network for network in self.allowed) or _is_public(address):
            return
        # Not which address: what names mean inside our network is nobody's business.
        raise TargetRefused(
            "The host of the URL is not on the public internet, nor in a network of ASYNCCHAT_WEBHOOK_NETWORKS."
        )

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of a host, if all of them may be called: a name that also leads elsewhere is up to no good.

        Raises:
            TargetRefused: one of them may not.
            OSError: it has none, or nobody could tell in time.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(RESOLVE_SECONDS):  # A TimeoutError is an OSError.
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for info in found:
            self.check_address(address_of(info))
        return found

    async def check(self, text: str) -> None:
        """The whole check of a URL, as far as it can be made beforehand.

        Raises:
            TargetRefused: nothing may be sent there, or the host cannot be found.
        """
        url = self.check_url(text)
        try:
            await self.resolve(str(url.raw_host), int(url.port or 0))
        except (OSError, UnicodeError):
            raise TargetRefused("The host of the URL cannot be found.") from None

    def _is_home(self, host: str, address: Address | None) -> bool:
        """Whether it is this machine, and that is allowed: for development."""
        if address is None:
            return host == "localhost" and any(network.is_loopback for network in self.allowed)
        return _unwrapped(address).is_loopback


def address_of(info: AddressInfo) -> Address:
    """The address that a socket would connect to."""
    return ipaddress.ip_address(str(info[4][0]).partition("%")[0])


def _parse(text: str) -> URL:
    if len(text) > MAX_URL_CHARS or not all("!" <= character <= "~" for character in text):
        raise TargetRefused(f"The URL must be at most {MAX_URL_CHARS} visible ASCII characters.")
    try:
        # The same parser that the client uses: two might see two hosts.
        return URL(text)
    except (ValueError, IndexError):  # The latter for some brackets in odd places.
        raise TargetRefused("This is not a URL.") from None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """Of an IPv4 address that is written as an IPv6 one, the former: that is where the packets go."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)
    return not any(address in network for network in _NOT_PUBLIC)
