"""Bodies of an ask that are refused: each with its status, and where in it the mistake is."""

from __future__ import annotations

import json
from typing import Any

import pytest

LONG = 200_001


def _ask(**values: Any) -> bytes:
    return json.dumps({"content": "Hello", **values}).encode()


BAD_ASKS = [
    pytest.param(b"", 422, "#", id="empty"),
    pytest.param(b'{"content": "He', 400, None, id="cut"),
    pytest.param(b"{'content': 'x'}", 400, None, id="python"),
    pytest.param(b"null", 422, "#", id="null"),
    pytest.param(b"[]", 422, "#", id="array"),
    pytest.param(b'"text"', 422, "#", id="string"),
    pytest.param(b"1e999", 422, "#", id="infinite root"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, 422, "#", id="deep array"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 422, "#", id="deep object"),
    pytest.param(b'{"content":' + b"[" * 33 + b"]" * 33 + b"}", 422, "#", id="33 deep"),
    pytest.param(b'{"content": "x", "n": ' + b"1" * 5000 + b"}", 422, "#", id="5000 digits"),
    pytest.param(b'{"content": "x", "n": 9223372036854775808}', 422, "#/n", id="2^63"),
    pytest.param(b'{"content": "x", "parameters": {"seed": 9223372036854775808}}', 422, "#/parameters/seed", id="seed"),
    pytest.param(b'{"content": "x", "parameters": {"temperature": NaN}}', 400, None, id="NaN"),
    pytest.param(b'{"content": "x", "parameters": {"temperature": Infinity}}', 400, None, id="Infinity"),
    pytest.param(b'{"content": "x", "parameters": {"temperature": 1e999}}', 422, "#", id="1e999"),
    pytest.param(b'{"content": "\\ud800"}', 422, "#/content", id="half a surrogate pair"),
    pytest.param(b'{"content": "x", "metadata": {"\\udfff": "x"}}', 422, "#/metadata", id="half a pair as a key"),
    pytest.param(b'{"content": "a\\u0000b"}', 422, "#/content", id="NUL"),
    pytest.param(b'{"content": "x", "metadata": {"a": ["\\u0000"]}}', 422, "#/metadata/a/0", id="NUL inside"),
    pytest.param(b'{"content": "x", "metadata": {"\\u0000": "a"}}', 422, "#/metadata", id="NUL as a key"),
    pytest.param(b'{"content": "\x00"}', 400, None, id="raw NUL"),
    pytest.param(b'{"content": "\xff"}', 400, None, id="not UTF-8"),
    pytest.param('{"content": "x"}'.encode("utf-16"), 400, None, id="UTF-16"),
    pytest.param(b'\xef\xbb\xbf{"content": "x"}', 400, None, id="byte order mark"),
    pytest.param(b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}", 422, "#", id="100k keys"),
    pytest.param(b'{"content": [' + b"1," * 400_000 + b"1]}", 422, "#", id="many elements"),
    pytest.param(b'{"content": "' + b"x" * (1 << 20) + b'"}', 413, None, id="over a MiB"),
    pytest.param(_ask(content=None), 422, "#/content", id="no content"),
    pytest.param(b"{}", 422, "#/content", id="content missing"),
    pytest.param(_ask(content=7), 422, "#/content", id="content a number"),
    pytest.param(_ask(content=["x"]), 422, "#/content", id="content a list"),
    pytest.param(_ask(content=""), 422, "#/content", id="content empty"),
    pytest.param(_ask(content=" \n\t\u3000"), 422, "#/content", id="content blank"),
    pytest.param(_ask(content="x" * LONG), 422, "#/content", id="content long"),
    pytest.param(_ask(n=0), 422, "#/n", id="n 0"),
    pytest.param(_ask(n=9), 422, "#/n", id="n 9"),
    pytest.param(_ask(n=1_000_000_000), 422, "#/n", id="n 1e9"),
    pytest.param(_ask(n="3"), 422, "#/n", id="n text"),
    pytest.param(_ask(n=True), 422, "#/n", id="n true"),
    pytest.param(_ask(n=2.5), 422, "#/n", id="n fraction"),
    pytest.param(_ask(n=None), 422, "#/n", id="n null"),
    pytest.param(_ask(model=""), 422, "#/model", id="model empty"),
    pytest.param(_ask(model="m" * 201), 422, "#/model", id="model long"),
    pytest.param(_ask(deadline_seconds=0), 422, "#/deadline_seconds", id="deadline 0"),
    pytest.param(_ask(deadline_seconds=86_401), 422, "#/deadline_seconds", id="deadline long"),
    pytest.param(_ask(parameters=[]), 422, "#/parameters", id="parameters a list"),
    pytest.param(_ask(parameters={"temperature": "hot"}), 422, "#/parameters/temperature", id="temperature text"),
    pytest.param(_ask(parameters={"temperature": 2.1}), 422, "#/parameters/temperature", id="temperature 2.1"),
    pytest.param(_ask(parameters={"top_p": -0.1}), 422, "#/parameters/top_p", id="top_p"),
    pytest.param(_ask(parameters={"max_output_tokens": -1}), 422, "#/parameters/max_output_tokens", id="tokens -1"),
    pytest.param(_ask(parameters={"max_output_tokens": 10**7}), 422, "#/parameters/max_output_tokens", id="tokens"),
    pytest.param(_ask(parameters={"stop": ["a"] * 5}), 422, "#/parameters/stop", id="five stops"),
    pytest.param(_ask(parameters={"stop": ["a", 1]}), 422, "#/parameters/stop", id="stop a number"),
    pytest.param(_ask(parameters={"stop": 1}), 422, "#/parameters/stop", id="stop no text"),
    pytest.param(_ask(parameters={"reasoning_effort": "max"}), 422, "#/parameters/reasoning_effort", id="effort"),
    pytest.param(_ask(parameters={"logprobs": True}), 422, "#/parameters/logprobs", id="unknown parameter"),
    pytest.param(_ask(metadata={str(n): "" for n in range(17)}), 422, "#/metadata", id="17 pairs"),
    pytest.param(_ask(metadata={"a": 1}), 422, "#/metadata/a", id="metadata number"),
    pytest.param(_ask(metadata={"a": "x" * 513}), 422, "#/metadata/a", id="metadata long"),
    pytest.param(_ask(metadata={"k" * 65: "x"}), 422, f"#/metadata/{'k' * 65}", id="metadata key long"),
    pytest.param(_ask(on_busy="wait"), 422, "#/on_busy", id="on_busy unknown"),
    pytest.param(_ask(on_busy=1), 422, "#/on_busy", id="on_busy number"),
    pytest.param(_ask(on_crash="explode"), 422, "#/on_crash", id="on_crash unknown"),
    pytest.param(_ask(tenant_id="x"), 422, "#/tenant_id", id="tenant smuggled"),
    pytest.param(_ask(status="completed"), 422, "#/status", id="status smuggled"),
    pytest.param(_ask(role="system"), 422, "#/role", id="role smuggled"),
    pytest.param(_ask(**{"a/b~c d": 1}), 422, "#/a~1b~0c%20d", id="odd name"),
]
