"""A body with a mistake is told what to do about it."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.mistakes import in_words


class Inner(BaseModel):
    """What may be asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)
    content: str = ""
    since: str = Field("", alias="from")


class Outer(BaseModel):
    """A body with an object and a list of objects in it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    message: Annotated[Inner | None, Field(description="What is asked.")] = None
    parts: list[Inner] = []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"mesage": {}}, "There is no such field; did you mean message?"),
        ({"content": "Hi"}, "There is no such field; there is message, parts"),
        ({"message": {"contents": "Hi"}}, "There is no such field; did you mean content?"),
        ({"message": {"zzz": "Hi"}}, "There is no such field; there is content, from"),
        ({"parts": [{}, {"contnt": "Hi"}]}, "There is no such field; did you mean content?"),
        ({"message": "Hi"}, "Input should be a JSON object"),
        ({"parts": 3}, "Input should be a valid list"),
    ],
)
def test_a_mistake_is_told_with_what_there_is(body: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[Outer](Outer).validate_python(body)
    assert in_words(dict(caught.value.errors()[0]), Outer | None)["msg"] == told
