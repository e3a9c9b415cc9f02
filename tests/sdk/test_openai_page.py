"""The programs in docs/openai.md print what it says, and its table of what is refused is the server's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

import pytest
from pydantic import BaseModel

from api.openai_compat.schemas import CreateChatCompletion, CreateResponse, ReasoningSettings
from api.openai_compat.unsupported import CHAT, RESPONSES, Refusal
from tests.fixtures.pages import assert_prints_what_it_says, programs
from tests.fixtures.up import ROOT
from tests.sdk.node_client import run, why_without_node

PATH = ROOT / "docs" / "openai.md"
PAGE = PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize("program", programs(PATH, "python"))
def test_a_program_in_python_prints_what_the_page_says(url: str, program: str) -> None:
    assert_prints_what_it_says(program, run(sys.executable, "-", url=url, given=program))


# As in test_node.py: never in CI on Linux.
@pytest.mark.skipif(why_without_node() is not None, reason=str(why_without_node()))
@pytest.mark.parametrize("program", programs(PATH, "js"))
def test_a_program_for_node_prints_what_the_page_says(url: str, program: str) -> None:
    assert_prints_what_it_says(program, run("node", "--input-type=module", "-", url=url, given=program))


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/responses", CreateResponse), ("/v1/chat/completions", CreateChatCompletion)]
)
def test_it_names_all_that_is_supported(path: str, body: type[BaseModel]) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `POST {path}` |")]
    assert [name for name in body.model_fields if not re.search(rf"`{name}\b", row)] == []


def refused(title: str, refusals: Mapping[str, Refusal], *, within: str = "") -> list[str]:
    """The rows of the page's table; what is refused with one sentence is one row."""
    names: dict[str, list[str]] = {}
    for name, refusal in refusals.items():
        names.setdefault(refusal.sentence, []).append(f"`{within}{name}`")
    return [f"| {title} | {', '.join(each)} | {sentence} |" for sentence, each in names.items()]


def test_its_table_has_all_that_is_refused() -> None:
    rows = [
        "| | parameter | |",
        "|---|---|---|",
        *refused("responses", RESPONSES),
        *refused("responses", ReasoningSettings.unsupported, within="reasoning."),
        *refused("chat completions", CHAT),
    ]
    table = "\n".join(rows)
    assert f"\n\n{table}\n\n" in PAGE, f"the table should be\n{table}"
