"""Budgets as they are set and told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.answers import Instant
from api.schemas.requests import MAX_BUDGET_TOKENS

Tokens = Annotated[int, Field(ge=0, le=MAX_BUDGET_TOKENS)]


class BudgetBody(BaseModel):
    """How many tokens may be used, input and output together. At least one of the two limits is given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens_per_day: Tokens | None = Field(None, description="From midnight to midnight in UTC.")
    tokens_per_month: Tokens | None = Field(None, description="A calendar month in UTC.")

    @model_validator(mode="after")
    def _has_limit(self) -> BudgetBody:  # noqa: N804  pydantic calls it on the instance
        if self.tokens_per_day is None and self.tokens_per_month is None:
            raise PydanticCustomError("missing", "Give tokens_per_day or tokens_per_month; DELETE lifts a budget")
        return self


class Budget(BaseModel):
    """A budget, and what was used of it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["tenant", "key", "end_user", "each_end_user"]
    id: str | None = Field(description="The key's or the end user's.")
    tokens_per_day: int | None
    tokens_per_month: int | None
    used_today: int | None = Field(description="Null for what each end user may use.")
    used_this_month: int | None
    day_ends_at: Instant
    month_ends_at: Instant
    updated_at: Instant


class BudgetPage(BaseModel):
    """A page of budgets."""

    model_config = ConfigDict(extra="forbid")

    data: list[Budget]
    next_cursor: str | None
    has_more: bool
