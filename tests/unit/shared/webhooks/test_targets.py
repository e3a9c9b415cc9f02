"""Where webhooks may go, and all the ways to write an address that they may not."""

from __future__ import annotations

import ipaddress

import pytest

from shared.webhooks.targets import TargetRefused, Targets

pytestmark = pytest.mark.anyio

PUBLIC = Targets()
HOME = Targets([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")])

GOOD = ("https://93.184.216.34/hook", "https://93.184.216.34:8443/hook?a=b%20c", "https://[2606:4700::1111]/")
# Not the form of a URL that is called, whatever is allowed.
MALFORMED = (
    *("", "//93.184.216.34/", "93.184.216.34", "https://", "https:///x", "https:\\\\93.184.216.34/", "https://a b/"),
    *("file:///etc/passwd", "gopher://93.184.216.34:70/", "ftp://93.184.216.34/", "javascript:alert(1)"),
    *("http://93.184.216.34/", "http://receiver.example/"),
    *("https://user@93.184.216.34/", "https://user:secret@93.184.216.34/", "https://@93.184.216.34/"),
    *("https://93.184.216.34\\@127.0.0.1/", "https://93.184.216.34#@127.0.0.1/", "https://93.184.216.34/#x"),
    *("http://127.1/", "https://127.1/", "https://2130706433/", "https://0177.0.0.1/", "https://017700000001/"),
    *("https://0x7f000001/", "https://0x7f.1/", "https://127.0.0.1./", "https://①②⑦.0.0.1/"),
    *("https://93.184.216.34:0/", "https://93.184.216.34:99999/", "https://[fe80::1%25eth0]/", "https://[::1/"),
    *("https://xn--a/", "https://a\x7f/", "https://a%00b/", "https://a;b/", "http://..][|http@", "https://[v1.x]/"),
    *("https://93.184.216.34/\r\nX-Header: 1", "https://93.184.216.34/" + "a" * 2048),
)
# Of this machine.
LOOPBACK = ("127.0.0.1", "127.255.255.254", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]")
# Of other networks that are not the public one.
ELSEWHERE = (
    *(
        str(ipaddress.IPv4Address(0)),
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.8",
        "192.0.2.1",
    ),
    *("192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("[::]", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]", "[::7f00:1]", "[::ffff:10.0.0.1]"),
    *("[::ffff:169.254.169.254]", "[5f00::1]"),
)


@pytest.mark.parametrize("url", GOOD)
async def test_the_public_internet_may_be_called(url: str) -> None:
    await PUBLIC.check(url)
    assert str(PUBLIC.check_url(url)) == url


@pytest.mark.parametrize("url", MALFORMED)
async def test_what_has_not_the_form_is_refused_whatever_is_allowed(url: str) -> None:
    with pytest.raises(TargetRefused):
        await HOME.check(url)


@pytest.mark.parametrize("host", [*LOOPBACK, *ELSEWHERE])
async def test_no_address_of_another_network_may_be_called(host: str) -> None:
    with pytest.raises(TargetRefused):
        await PUBLIC.check(f"https://{host}/")


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_allowing_one_network_allows_no_other(host: str) -> None:
    with pytest.raises(TargetRefused):
        await HOME.check(f"https://{host}/")


@pytest.mark.parametrize("host", [*LOOPBACK, "localhost"])
async def test_this_machine_may_be_called_where_that_is_allowed_even_without_tls(host: str) -> None:
    await HOME.check(f"https://{host}/")
    await HOME.check(f"http://{host}:8080/")


async def test_an_allowed_network_takes_tls() -> None:
    targets = Targets([ipaddress.ip_network("10.1.0.0/16")])
    await targets.check("https://10.1.2.3/")
    for refused in ("http://10.1.2.3/", "https://10.2.0.1/", "http://localhost/"):
        with pytest.raises(TargetRefused):
            await targets.check(refused)


async def test_a_name_is_judged_by_where_it_leads() -> None:
    with pytest.raises(TargetRefused, match="not on the public internet") as refused:
        await PUBLIC.check("https://localhost/")
    assert "127" not in str(refused.value), "what names mean in here is not told"


async def test_a_name_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(TargetRefused, match="cannot be found"):
        await PUBLIC.check("https://receiver.invalid/")
