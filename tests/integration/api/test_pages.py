"""The pages as the server gives them out: to browsers, with everything they need on board, and closed to the rest."""

from __future__ import annotations

import gzip
import re

import pytest

from api import page_files
from tests.integration.api.gateway import Gateway

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_the_page_and_curl_hears_where_to_go(gateway: Gateway) -> None:
    page = await gateway.client.get("/", headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    told = await gateway.client.get("/", headers={"Accept": "*/*"})
    assert told.json()["docs"] == "/docs"
    assert "Accept" in page.headers["Vary"]
    assert "Accept" in told.headers["Vary"]


@pytest.mark.parametrize("path", ["/", "/ops"])
async def test_a_page_runs_nothing_that_is_not_its_own(gateway: Gateway, path: str) -> None:
    page = await gateway.client.get(path, headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<style|<script>|\sstyle=|\son\w+=|//", page.text.replace("http://www.w3.org", ""))


async def test_all_files_are_on_board_and_may_be_kept_for_good(gateway: Gateway) -> None:
    pages = [(await gateway.client.get(path, headers=HTML)).text for path in ("/", "/ops")]
    named = re.findall(r'(?:href|src)="(/assets/[^"]+)"', "".join(pages))
    imported = {f"/assets/{page_files.version()}/{path}" for path in page_files.assets()}
    assert set(named) < imported
    for path in imported:
        answer = await gateway.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        kept = {"If-None-Match": answer.headers["ETag"]}
        assert (await gateway.client.get(path, headers=kept)).status_code == 304


async def test_every_import_of_a_module_leads_to_a_file() -> None:
    files = page_files.assets()
    for path, file in files.items():
        if path.startswith("vendor/") or not path.endswith(".js"):
            continue
        folder = path.split("/")[:-1]
        for name in re.findall(r'(?:from|import|import\()\s*"(\.[^"]+)"', file.content.decode()):
            parts = [*folder]
            for part in name.split("/"):
                if part == "..":
                    parts.pop()
                elif part != ".":
                    parts.append(part)
            assert "/".join(parts) in files, f"{path} imports {name}"


async def test_what_is_asked_for_under_another_version_is_not_kept(gateway: Gateway) -> None:
    answer = await gateway.client.get("/assets/of-another-version/chat/main.js")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_files_are_compressed_for_who_understands_it(gateway: Gateway) -> None:
    path = f"/assets/{page_files.version()}/vendor/highlight.js"
    plain = await gateway.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    small = await gateway.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert small.content == plain.content
    assert len(gzip.compress(plain.content)) < len(plain.content) / 2


@pytest.mark.parametrize("path", ["chat/nope.js", "../page_files.py", "vendor/README.md", "%2e%2e/gate.py", ""])
async def test_there_are_no_other_files(gateway: Gateway, path: str) -> None:
    answer = await gateway.client.get(f"/assets/{page_files.version()}/{path}")
    assert answer.status_code == 404
