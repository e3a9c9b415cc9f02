"""The catalogue of error codes is whole."""

from __future__ import annotations

from api.problems import CATALOGUE
from shared import errors
from shared.reply_status import ReplyError

# What a request may be told for the same reason.
ALSO_ANSWERS = {ReplyError.RATE_LIMITED, ReplyError.BUDGET_EXCEEDED}


def test_every_code_of_a_failed_reply_is_explained_and_most_are_no_http_answer() -> None:
    for code in ReplyError:
        assert (CATALOGUE[code].status is None) is (code not in ALSO_ANSWERS)


def test_every_request_error_has_a_code_of_the_catalogue() -> None:
    kinds: list[type[errors.RequestError]] = [
        errors.NotFound,
        errors.Conflict,
        errors.InvalidValue,
        errors.IdempotencyMismatch,
    ]
    assert [CATALOGUE[kind.code].status for kind in kinds] == [404, 409, 422, 422]


def test_every_problem_says_what_and_why_and_what_to_do() -> None:
    for problem in CATALOGUE.values():
        assert not problem.title.endswith(".")
        assert problem.cause.endswith(".")
        assert problem.cure.endswith((".", "…}'` in single quotes does it."))
