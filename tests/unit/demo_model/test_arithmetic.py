"""Small sums, and input that would hurt a careless calculator."""

from fractions import Fraction

import pytest

from demo_model.arithmetic import CannotCompute, NotASum, compute, show


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("12 * 7", "84"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("10 - 2 - 3", "5"),
        ("100 / 10 / 5", "2"),
        ("-3 - -3", "0"),
        ("1 / 8", "0.125"),
        ("0.1 + 0.2", "0.3"),
        ("10 / 4", "2.5"),
        ("1 / 3", "about 0.333333"),
        ("-2 / 3", "about -0.666667"),
        ("1000 * 10", "10000"),
        ("42", "42"),
    ],
)
def test_sums_follow_the_rules_of_school(expression: str, shown: str) -> None:
    assert show(compute(expression)) == shown


def test_tiny_results_are_not_shown_as_exact_zero() -> None:
    assert show(Fraction(1, 10**9)) == "about 0"


@pytest.mark.parametrize(
    "expression",
    [
        "1 / 0",
        "1 / (2 - 2)",
        "9" * 16 + " + 1",
        " * ".join(["999999999999999"] * 5),
        "(" * 40 + "1" + ")" * 40,
        "-" * 60 + "1",
        "1 + " * 1000 + "1",
    ],
)
def test_hostile_sums_get_a_sentence(expression: str) -> None:
    with pytest.raises(CannotCompute, match=r"^[A-Z].*\.$"):
        compute(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "   ",
        "1 +",
        "* 2",
        "(1",
        "1)",
        "1 2",
        "2 ** 99",
        "2^3",
        "1e9 + 1",
        "__import__('os')",
        "1 + x",
        "٣ + 1",
        "1..2",
    ],
)
def test_anything_else_is_not_a_sum(expression: str) -> None:
    with pytest.raises(NotASum):
        compute(expression)
