"""Errors as they are told and explained."""

from __future__ import annotations

from pydantic import Field

from api.schemas.answers import Answer


class ErrorDetail(Answer):
    """One mistake."""

    pointer: str = Field(description="`#/n` is a field of the body, `?limit` a query parameter.", examples=["#/n"])
    code: str
    detail: str


class ProblemAnswer(Answer):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=["/errors/not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["not_found"])
    request_id: str
    errors: list[ErrorDetail]


class ErrorExplanation(Answer):
    """An error code, its cause and its cure."""

    type: str
    code: str
    status: int | None = Field(description="Null for the codes that a failed reply carries.")
    title: str
    cause: str
    cure: str
