"""Addresses to listen on."""

from __future__ import annotations

import socket

import pytest

from cli.ports import (
    ANY_ADDRESS,
    BELOW_OUTGOING_PORTS,
    AddressError,
    check_can_listen,
    free_port,
    lasting_ports,
    url_of,
)
from shared.settings import is_loopback


def test_a_free_port_may_be_used_and_is_given_to_nobody_else() -> None:
    port = free_port()
    assert port in BELOW_OUTGOING_PORTS
    check_can_listen("127.0.0.1", port)


def test_lasting_ports_are_different_free_and_not_given_to_clients() -> None:
    first, second = lasting_ports(2)
    assert first != second
    assert {first, second} <= set(BELOW_OUTGOING_PORTS)
    for port in (first, second):
        check_can_listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ANY_ADDRESS[0]])
def test_a_port_in_use_is_named_with_a_way_out(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(AddressError, match=rf"port {port} on {host} is in use; choose another with --port, .* --p"):
            check_can_listen(host, port)


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError, match=r"192\.0\.2\.1 is not an address of this machine"):
        check_can_listen("192.0.2.1", free_port())


def test_a_host_that_cannot_be_a_name_is_refused() -> None:
    with pytest.raises(AddressError, match=r"the host 'a\.\.b' is unknown"):
        check_can_listen("a..b", free_port())


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        *((host, False) for host in ANY_ADDRESS),
    ],
)
def test_only_loopback_is_out_of_reach_for_others(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        (ANY_ADDRESS[0], "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_the_url_shown_is_one_that_can_be_opened_here(host: str, url: str) -> None:
    assert url_of(host, 80) == url
