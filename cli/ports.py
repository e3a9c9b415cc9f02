"""Addresses to listen on: is one free, who can reach it, and how a browser spells it."""

from __future__ import annotations

import errno
import os
import random
import socket

from shared.errors import AsyncChatError

# Linux gives out 32768 and up, macOS 49152 and up.
BELOW_OUTGOING_PORTS = range(20_000, 32_000)
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to


class AddressError(AsyncChatError):
    """Nothing can listen on the wanted address. The message is one sentence that says what to do."""


def check_can_listen(host: str, port: int) -> None:
    """Bind to the address for a moment.

    Raises:
        AddressError: the port is taken, forbidden, or the host is none of this machine's.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise AddressError(f"the host {host!r} is unknown; choose another with --host, for example 127.0.0.1") from None
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            # The server sets it too: without it a port stays taken for a minute after its last connection closed.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise AddressError(_sentence(error, host, port)) from None


def _sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with --port, for example --port {port + 1}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"you may not listen on port {port} of {host}; choose one above 1023 with --port, for example --port 8000"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose another with --host, for example 127.0.0.1"
    return f"cannot listen on port {port} of {host}: {os.strerror(error.errno or 0)}; choose another with --port"


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on, and that nobody else is given by the system before it is used."""
    (port,) = lasting_ports(1, host)
    return port


def lasting_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different free ports that stay free while their servers are restarted.

    They lie below those that systems give away, to outgoing connections and to whoever listens on port 0: another
    process could otherwise be given the very port while nobody listens on it, or a client connect to itself.
    """
    found: list[int] = []
    for port in random.sample(BELOW_OUTGOING_PORTS, len(BELOW_OUTGOING_PORTS)):
        if len(found) == count:
            break
        try:
            check_can_listen(host, port)
        except AddressError:
            continue
        found.append(port)
    return found


def local_address(host: str) -> str:
    """The host to connect to from this machine when a server listens on `host`."""
    if host in ANY_ADDRESS or not host:
        return "::1" if host == "::" else "127.0.0.1"
    return host


def url_of(host: str, port: int) -> str:
    """The address as a browser on this machine spells it."""
    address = local_address(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
