"""Where deliveries may not go, and whom a worker believes."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from shared.webhooks.targets import AddressInfo, Targets
from tests.fixtures.receiver import receiver
from tests.fixtures.workers import running_worker
from tests.integration.worker.hooks import HOME, NO_MODEL, Hooks

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize(
    "form",
    [
        *("http://localhost:{port}/", "https://localhost:{port}/", "https://127.0.0.1:{port}/", "http://127.1:{port}/"),
        *("https://2130706433:{port}/", "https://0x7f000001:{port}/", "https://[::ffff:127.0.0.1]:{port}/"),
        *("https://user@127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/", "file:///etc/passwd"),
    ],
)
async def test_an_address_of_this_machine_is_not_called_however_it_came_to_be_stored(
    form: str, database_url: str, hooks: Hooks
) -> None:
    async with receiver() as there:
        delivery_id = await hooks.add(await hooks.listen(form.format(port=there.port)))
        with running_worker(database_url, base_url=NO_MODEL):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["response_status"]) == ("failed", None)
    assert row["error"].startswith(("The host", "The URL"))
    assert there.connections == 0


@pytest.mark.usefixtures("one_try")
async def test_what_is_connected_to_is_checked_whatever_the_name_meant_before(
    database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a name that is a public address when it is checked, and another one a moment later."""

    async def rebound(_self: Targets, _host: str, port: int) -> list[AddressInfo]:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo("127.0.0.1", port)

    monkeypatch.setattr(Targets, "resolve", rebound)
    async with receiver() as there:
        delivery_id = await hooks.add(await hooks.listen(f"https://receiver.example:{there.port}/"))
        with running_worker(database_url, base_url=NO_MODEL):
            row = await hooks.until_ended(delivery_id)
    assert "not on the public internet" in row["error"]
    assert there.connections == 0


@pytest.mark.usefixtures("one_try")
async def test_no_proxy_of_the_environment_is_asked(
    database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as proxy, receiver() as there:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        delivery_id = await hooks.add(await hooks.listen(there.url))
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], proxy.connections) == ("delivered", 0)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context, with a certificate for that name which nobody has signed."""
    key, pem = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context, pem


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize(
    ("name", "is_trusted", "error"),
    [
        ("localhost", True, None),
        ("localhost", False, "The certificate of the receiver is not valid for its name."),
        ("other.example", True, "The certificate of the receiver is not valid for its name."),
    ],
)
async def test_a_certificate_must_be_signed_and_of_that_name(
    name: str,
    *,
    is_trusted: bool,
    error: str | None,
    database_url: str,
    hooks: Hooks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, pem = certificate(tmp_path, name)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    async with receiver(tls=context) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url))
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert row["error"] == error
    assert len(there.heard) == (0 if error else 1)
