"""Which name does what, and when the words leave."""

from pathlib import Path

import pytest

import demo_model
from demo_model import behaviours
from demo_model.pacing import spread, steady

README = Path(demo_model.__file__).with_name("README.md")


def test_the_readme_has_every_name_with_its_meaning() -> None:
    table = [line for line in README.read_text().splitlines() if line.startswith("| `demo")]
    assert table == [f"| `{row.name}` | {row.meaning} |" for row in behaviours.BEHAVIOURS.values()]


@pytest.mark.parametrize("name", list(behaviours.BEHAVIOURS))
def test_every_name_can_be_had_once(name: str) -> None:
    whole, once = behaviours.find(name), behaviours.find(f"{name}-once")
    assert whole is not None
    assert once is not None
    assert (whole.once, once.once) == (False, True)
    assert (once.says, once.refusal, once.deliver) == (whole.says, whole.refusal, whole.deliver)


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "gpt-5", "chatgpt-4o-latest", "o3", "o4-mini"])
def test_openais_own_names_answer_as_the_demo(name: str) -> None:
    assert behaviours.find(name) is behaviours.BEHAVIOURS["demo"]


@pytest.mark.parametrize("name", ["llama", "gpt-", "openchat", "", "Demo", "my-demo", "\x00"])
def test_other_names_are_unknown(name: str) -> None:
    assert behaviours.find(name) is None


@pytest.mark.parametrize("name", ["demo-of-my-own", "demo-12345678901234567890ms", "demo-ms", "demo-of-my-own-once"])
def test_other_names_that_start_with_demo_answer_as_demo(name: str) -> None:
    assert behaviours.find(name) is behaviours.BEHAVIOURS["demo"]


def test_a_steady_pace() -> None:
    assert steady(first=0.5, each=2)(3) == [0.5, 2.5, 4.5]


@pytest.mark.parametrize(
    ("first", "count", "moments"),
    [(None, 4, [0.5, 1.0, 1.5, 2.0]), (1.0, 3, [1.0, 1.5, 2.0]), (1.0, 1, [1.0]), (None, 0, []), (1.0, 0, [])],
)
def test_a_pace_that_ends_on_time(first: float | None, count: int, moments: list[float]) -> None:
    assert spread(2.0, first=first)(count) == moments
