"""Whatever a socket may send to a running gateway: a 4xx, or nothing; never a 5xx, never a hang, and nothing stored."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.databases import Databases
from tests.fixtures.valkey import Valkey
from tests.integration.api.bad_bodies import BAD_ASKS
from tests.integration.api.serving import Served, served_gateway

HOST = b"Host: localhost\r\n"
JSON_TYPE = b"Content-Type: application/json\r\n"
CONVERSATION = "conv_01m86nzqqk652jp7wdnyyebm22"
REPLY = "reply_01m86nzqqk652jp7wdnyyebm22"


@pytest.fixture(scope="module")
def served(databases: Databases, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all: after each it should be as before."""
    folder = tmp_path_factory.mktemp("hostile")
    with served_gateway(databases.new(folder), shared_valkey.url, folder / "gateway.log") as process:
        yield process


@pytest.fixture
def unharmed(served: Served) -> Iterator[Served]:
    """The process, which afterwards answers, has said nothing of an error and stores what it stored."""
    before = _stored(served)
    yield served
    assert _stored(served) == before
    assert "Traceback" not in served.log()
    assert "an unexpected error" not in served.log()


def _stored(served: Served) -> list[Any]:
    with served.client() as client:
        return [client.get(f"{path}?limit=100").json()["data"] for path in ("/conversations/", "/replies/", "/keys/")]


def status_of(received: bytes) -> int:
    """The status of an answer, 0 for none."""
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else 0


def post(path: str, body: bytes, headers: bytes = JSON_TYPE) -> bytes:
    """A request with a body."""
    head = f"POST {path} HTTP/1.1\r\n".encode() + HOST + headers
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def get(path: str, headers: bytes = b"", method: str = "GET") -> bytes:
    """A request without."""
    return f"{method} {path} HTTP/1.1\r\n".encode("latin-1") + HOST + headers + b"\r\n"


@pytest.fixture(scope="module")
def conversation(served: Served) -> str:
    """The path of one with a turn."""
    with served.client() as client:
        answer = client.post("/conversations/", json={"message": {"content": "Hello"}})
    return str(answer.headers["Location"])


def test_bodies(unharmed: Served, conversation: str) -> None:
    found = {}
    bodies = {str(case.id): case.values for case in BAD_ASKS}
    for name, (body, status, _) in bodies.items():
        assert isinstance(body, bytes)
        got = status_of(unharmed.answer_to(post(f"{conversation}ask-message/", body)))
        if got != status:
            found[name] = (got, status)
        # The other dialect has other fields; what is wrong with JSON itself is as wrong there.
        for path in ("/v1/responses", "/v1/chat/completions", "/v1/conversations", "/keys/"):
            if path == "/v1/conversations" and body in {b"", b"{}"}:
                continue  # All of it is optional there.
            if not 400 <= (got := status_of(unharmed.answer_to(post(path, body)))) < 500:
                found[f"{path}: {name}"] = (got, 400)
    assert found == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(b"Content-Type: text/xml\r\n", 415, id="xml"),
        pytest.param(b"", 415, id="no type"),
        pytest.param(JSON_TYPE + b"Content-Encoding: gzip\r\n", 415, id="gzip"),
        pytest.param(JSON_TYPE + b"Content-Encoding: br, gzip\r\n", 415, id="brotli"),
        pytest.param(JSON_TYPE + b"Idempotency-Key: \r\n", 422, id="empty key"),
        pytest.param(JSON_TYPE + b"Idempotency-Key: " + b"k" * 256 + b"\r\n", 422, id="long key"),
        pytest.param(JSON_TYPE + b"Idempotency-Key: \xff\r\n", 422, id="key not ASCII"),
        pytest.param(JSON_TYPE + b"Idempotency-Key: a\x01b\r\n", 400, id="control character"),
        pytest.param(JSON_TYPE + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 422, id="two keys"),
        pytest.param(JSON_TYPE + b"X-Long: " + b"a" * 100_000 + b"\r\n", 431, id="100 KiB"),
        pytest.param(JSON_TYPE + b"Origin: https://evil.example\r\n", 403, id="origin"),
        pytest.param(JSON_TYPE + b"X-Forwarded-For: 203.0.113.9\r\n", 403, id="proxy"),
        pytest.param(JSON_TYPE + b"Host: evil.example\r\n", 403, id="two hosts"),
        pytest.param(JSON_TYPE + b"Bad Name: x\r\n", 400, id="bad name"),
        pytest.param(JSON_TYPE + b": x\r\n", 400, id="no name"),
        pytest.param(JSON_TYPE + b"A: b\r\n continued\r\n", 400, id="folded"),
    ],
)
def test_headers(unharmed: Served, conversation: str, headers: bytes, status: int) -> None:
    body = gzip.compress(b" " * 50_000_000) if b"gzip" in headers else b'{"content": "x"}'
    got = status_of(unharmed.answer_to(post(f"{conversation}ask-message/", body, headers)))
    assert got in {status, 0} if status == 431 else got == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Last-Event-ID", b"\xff\x00"[:1]),
        ("Last-Event-ID", b"' or 1=1"),
        ("Last-Event-ID", b"9" * 300),
        ("Last-Event-ID", b"99999999999999999999-1"),
        ("If-None-Match", b'W/"'),
        ("If-None-Match", b"," * 5000),
        ("Prefer", b"wait=-1, wait=NaN, wait=" + b"9" * 400),
        ("Accept", b"text/event-stream;q=x, */*" * 50),
        ("Range", b"bytes=0-0,-1"),
        ("Cookie", b"=" * 4000),
        ("Expect", b"200-ok"),
        ("X-HTTP-Method-Override", b"DELETE"),
        ("Authorization", b"Basic \xff\xfe"),
        ("X-Request-ID", b"a\tb"),
    ],
)
def test_headers_that_say_nothing_are_refused_or_left_alone(
    unharmed: Served, conversation: str, name: str, value: bytes
) -> None:
    header = name.encode() + b": " + value + b"\r\n"
    for path in (conversation, f"{conversation}turns/1/", f"{conversation}turns/1/events/", "/replies/", "/v1/models"):
        got = unharmed.answer_to(get(path, header))
        assert 200 <= status_of(got) < 500, (path, got[:200])


@pytest.mark.parametrize(
    "path",
    [
        *("/conversations/x/", "/conversations/conv_/", f"/conversations/{CONVERSATION}/", "/conversations/%00/"),
        *("/conversations/../replies/", "/conversations/%2e%2e%2fkeys/", "/conversations/\xff/", "//conversations/"),
        *(f"/replies/{REPLY}/", "/replies/%F0%9F%98%80/", f"/replies/{REPLY.upper()}/", f"/replies/{CONVERSATION}/"),
        *("/v1/responses/resp_x", "/v1/conversations/%2F", "/v1/models/..%2f", "/keys/key_x/", "/errors/%00"),
        *("/docs/..%2f..%2fapp.py", "/docs/%2e%2e/%2e%2e/etc/passwd", "/conversations/?limit=0", "/replies/?limit=1e9"),
        *("/conversations/?limit=-1", "/conversations/?after=AAAA", "/conversations/?after='--", "/replies/?after=%00"),
        *("/keys/?after=e30", "/replies/?status=done", "/conversations/?order=up", "/v1/conversations?after=conv_x"),
        *("/replies/?conversation_id=x' or '1'='1".replace(" ", "%20"), "/conversations/?end_user=%00"),
        *("{conversation}?wait=-1", "{conversation}?wait=NaN", "{conversation}?wait=inf", "{conversation}?wait=x"),
        *("{conversation}?since=9e99", "{conversation}turns/0/", "{conversation}turns/99999999999999999999/"),
        *(
            "{conversation}turns/-1/",
            "{conversation}turns/1.5/",
            "{conversation}messages/?before=x",
            "{conversation}nope/",
        ),
        *("{conversation}turns/1/events/?after=x", "/a" * 5000, "/%", "/%zz", "/conversations/?%zz=%zz&limit=%zz"),
    ],
)
def test_addresses(unharmed: Served, conversation: str, path: str) -> None:
    got = unharmed.answer_to(get(path.replace("{conversation}", conversation)))
    assert 400 <= status_of(got) < 500, got[:300]


def test_a_very_long_wait_is_a_long_one_and_ends_when_the_client_goes(unharmed: Served, conversation: str) -> None:
    assert status_of(unharmed.answer_to(get(f"{conversation}turns/1/?wait=1e9"), is_cut=True)) == 0
    assert unharmed.is_well()


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "HEAD", "PUT", "PROPFIND", "GETT", "get", "\x00"])
def test_methods(unharmed: Served, conversation: str, method: str) -> None:
    for path in ("/conversations/", f"{conversation}ask-message/", "/v1/responses", "*"):
        got = unharmed.answer_to(get(path, method=method))
        assert status_of(got) < 500, got[:300]
        assert status_of(got) >= 400 or method in {"HEAD", "CONNECT"}, got[:300]


CHUNKED = b"POST /conversations/ HTTP/1.1\r\n" + HOST + JSON_TYPE + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n", id="bad chunk"),
        pytest.param(CHUNKED + b"\r\nfffffffffffffffff\r\n{}", id="huge chunk"),
        pytest.param(CHUNKED + b"\r\n-1\r\n{}\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(CHUNKED + b"\r\n3\r\n{}\r\n0\r\n\r\n", id="chunk lies"),
        pytest.param(CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="length and chunks"),
        pytest.param(
            CHUNKED.replace(b"chunked", b"chunked, identity") + b"\r\n2\r\n{}\r\n0\r\n\r\n", id="not the last"
        ),
        pytest.param(CHUNKED.replace(b"chunked", b"xchunked") + b"\r\n2\r\n{}\r\n0\r\n\r\n", id="unknown coding"),
        pytest.param(
            CHUNKED + b"\r\n" + b"".join(b"%x\r\n%b\r\n" % (65_536, b" " * 65_536) for _ in range(40)), id="endless"
        ),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: 2\r\nContent-Length: 3"), id="two"),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: -2"), id="negative length"),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: +2"), id="signed length"),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: 2, 2"), id="list of lengths"),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: 0x2"), id="hexadecimal length"),
        pytest.param(post("/conversations/", b"{}").replace(b"Length: 2", b"Length: " + b"9" * 30), id="huge length"),
        pytest.param(post("/conversations/", b"{}").replace(b"HTTP/1.1", b"HTTP/9.9"), id="version"),
        pytest.param(post("/conversations/", b"{}").replace(b"HTTP/1.1", b""), id="no version"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, id="TLS"),
        pytest.param(b"\x00" * 1000, id="zeros"),
        pytest.param(b"GET\r\n\r\n", id="no address"),
        pytest.param(b"GET /conversations/ HTTP/1.1\nHost: localhost\n\n", id="bare newlines"),
        pytest.param(get("/conversations/").replace(HOST, b""), id="no host"),
        pytest.param(get("http://elsewhere/conversations/").replace(HOST, b"Host: elsewhere\r\n"), id="absolute"),
    ],
)
def test_framing(unharmed: Served, request_bytes: bytes) -> None:
    got = unharmed.answer_to(request_bytes)
    assert 400 <= status_of(got) < 500 or not got, got[:300]


@pytest.mark.parametrize(
    "body", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"2\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n"]
)
def test_chunks_that_are_none_are_told_so(unharmed: Served, body: bytes) -> None:
    assert status_of(unharmed.answer_to(CHUNKED + b"\r\n" + body)) == 400


def test_a_body_that_is_cut_off_stores_nothing(unharmed: Served, conversation: str) -> None:
    whole = post(f"{conversation}ask-message/", json.dumps({"content": "Hello"}).encode())
    for size in (len(whole) - 1, len(whole) - 10):
        unharmed.answer_to(whole[:size], is_cut=True)


def test_states(unharmed: Served) -> None:
    """What is right by itself and comes at the wrong time."""
    with unharmed.client() as client:
        created = client.post("/conversations/", json={"message": {"content": "Hello"}})
        path, reply = created.headers["Location"], created.json()["turn"]["replies"][0]["url"]
        for _ in range(2):
            assert client.post(f"{reply}cancel/").json()["status"] == "cancelled"
        assert client.post(f"{reply}select/").status_code == 409
        assert client.post(f"{path}fork/", json={"up_to_turn": 99}).status_code == 422
        assert client.post(f"{path}fork/", json={"up_to_turn": -1}).status_code == 422
        assert client.delete(path).status_code == 204
        for method, where, body in (
            ("POST", f"{path}ask-message/", {"content": "x"}),
            ("POST", f"{path}messages/", {"role": "user", "content": "x"}),
            ("POST", f"{reply}retry/", {}),
            ("POST", f"{reply}regenerate/", {}),
            ("POST", f"{reply}cancel/", {}),
            ("GET", f"{path}events/", None),
            ("DELETE", path, None),
        ):
            assert client.request(method, where, json=body).status_code == 404, (method, where)


@pytest.fixture(scope="module")
def locked(
    databases: Databases, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, bytes]]:
    """A gateway that asks for keys, and the only one there is."""
    folder = tmp_path_factory.mktemp("locked")
    url = databases.new(folder)
    command = [sys.executable, "-m", "cli", "keys", "create", "--name", "test"]
    made = subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, capture_output=True, check=True)
    with served_gateway(url, shared_valkey.url, folder / "gateway.log", ASYNCCHAT_AUTH="keys") as process:
        yield process, made.stdout.strip()


@pytest.mark.parametrize(
    "shown",
    [
        *(b"", b"Authorization:\r\n", b"Authorization: Bearer\r\n", b"Authorization: Bearer  \r\n"),
        *(b"Authorization: Basic KEY\r\n", b"Authorization: KEY\r\n", b"Authorization: Bearer KEYx\r\n"),
        *(b"Authorization: Bearer KEY KEY\r\n", b"Authorization: Bearer KEY\r\nAuthorization: Bearer other\r\n"),
        *(b"Authorization: Bearer \xff\xfe\r\n", b"Authorization: Bearer ak_\xc3\xa4\r\n", b"X-Api-Key: KEY\r\n"),
        *(b"Authorization: Bearer ct_.\r\n", b"Authorization: Bearer ct_" + b"A" * 60_000 + b"\r\n"),
        *(
            b"Authorization: Bearer ak_000000000000_' or '1'='1\r\n",
            b"Authorization: Bearer " + b"A" * 60_000 + b"\r\n",
        ),
        b"Cookie: access_token=KEY\r\n",
    ],
)
def test_keys(locked: tuple[Served, bytes], shown: bytes) -> None:
    served, key = locked
    headers = shown.replace(b"KEY", key)
    for request in (
        get("/conversations/", headers),
        get(f"/conversations/{CONVERSATION}/events/?access_token={key.decode()}", headers),
        post("/v1/responses", b'{"input": "x"}', JSON_TYPE + headers),
    ):
        answer = served.answer_to(request)
        assert status_of(answer) == 401, answer[:300]
        assert b"www-authenticate: bearer" in answer.lower()
    assert status_of(served.answer_to(get("/conversations/", b"Authorization: Bearer " + key + b"\r\n"))) == 200
    assert "Traceback" not in served.log()
    assert key.decode() not in served.log()
