"""Small sums: + - * / and parentheses over bounded numbers, parsed by hand and never evaluated as code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 120  # characters of one expression: keeps the parser's recursion and its work small
MAX_DIGITS = 15  # digits of one number
MAX_DEPTH = 20  # open parentheses and signs
MAX_MAGNITUDE = Fraction(10**30)  # of every intermediate result
SHOWN_DECIMALS = 6

_TOKEN = re.compile(r" *(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<operator>[-+*/()]))")
_TRAILING_ZEROS = re.compile(r"\.?0+$")


class NotASum(ValueError):
    """The text is not an expression this module understands."""


class CannotCompute(ValueError):
    """The expression is understood and has no answer here; the message says why, in a sentence for people."""


def compute(expression: str) -> Fraction:
    """The exact value of a small sum. Raises NotASum or CannotCompute."""
    if len(expression) > MAX_LENGTH:
        raise CannotCompute("That sum is too long for me.")
    parser = _Parser(list(_tokens(expression)))
    value = parser.sum(0)
    if not parser.at_end():
        raise NotASum(expression)
    return value


def show(value: Fraction) -> str:
    """The value as people write it, with "about" where decimals were dropped."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(value * 10**SHOWN_DECIMALS)
    digits = f"{abs(scaled):0{SHOWN_DECIMALS + 1}d}"
    shown = f"{digits[:-SHOWN_DECIMALS]}.{digits[-SHOWN_DECIMALS:]}"
    sign = "-" if scaled < 0 else ""
    exact = Fraction(scaled, 10**SHOWN_DECIMALS) == value
    return ("" if exact else "about ") + sign + _TRAILING_ZEROS.sub("", shown)


def _tokens(expression: str) -> Iterator[str]:
    position = 0
    text = expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotASum(expression)
        number = match["number"]
        if number is not None and len(number) > MAX_DIGITS:
            raise CannotCompute("Those numbers are too large for me.")
        yield number or match["operator"]
        position = match.end()


@dataclass(slots=True)
class _Parser:
    """Recursive descent: a sum of products of signed numbers or parentheses."""

    tokens: list[str]
    position: int = 0

    def at_end(self) -> bool:
        return self.position == len(self.tokens)

    def sum(self, depth: int) -> Fraction:
        value = self.product(depth)
        while (operator := self._take("+", "-")) is not None:
            right = self.product(depth)
            value = _bounded(value + right if operator == "+" else value - right)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.factor(depth)
        while (operator := self._take("*", "/")) is not None:
            right = self.factor(depth)
            if operator == "/" and right == 0:
                raise CannotCompute("Nobody can divide by zero, not even a real model.")
            value = _bounded(value * right if operator == "*" else value / right)
        return value

    def factor(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise CannotCompute("That sum is nested too deeply for me.")
        if (sign := self._take("+", "-")) is not None:
            value = self.factor(depth + 1)
            return -value if sign == "-" else value
        if self._take("(") is not None:
            value = self.sum(depth + 1)
            if self._take(")") is None:
                raise NotASum("unbalanced parentheses")
            return value
        if self.at_end() or not self.tokens[self.position][0].isdigit():
            raise NotASum("a number is missing")
        self.position += 1
        return Fraction(self.tokens[self.position - 1])

    def _take(self, *wanted: str) -> str | None:
        if self.at_end() or self.tokens[self.position] not in wanted:
            return None
        self.position += 1
        return self.tokens[self.position - 1]


def _bounded(value: Fraction) -> Fraction:
    if abs(value) > MAX_MAGNITUDE:
        raise CannotCompute("The result is too large for me.")
    return value
