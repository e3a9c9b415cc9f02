"""Usage: what the tenant's replies have cost, by UTC day; for keys with the scope `admin`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import page_answer
from api.cursors import read_usage_cursor, usage_cursor
from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import Row
from api.routes.documentation import LINK, answer, problems
from api.schemas.usage import UsagePage
from shared.clock import day_of, now_ms
from shared.errors import InvalidValue
from shared.store import usage_report
from shared.store.usage_report import By

router = APIRouter(route_class=JsonRoute, tags=["Usage"])

# So far back by itself, and so many days at once.
USUAL_DAYS, MAX_DAYS = 30, 366
MAX_GROUPS = 1000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
_EPOCH = date(1970, 1, 1)
_ENDS = ("completed", "incomplete", "failed", "cancelled")


@router.get(
    "/usage/",
    summary="Read what was used",
    responses={200: answer(UsagePage, "A page of sums", headers=LINK), **problems("invalid_value", "invalid_cursor")},
)
async def read(
    request: Request,
    since: Annotated[
        str | None,
        Query(alias="from", description="The first day, or an instant on it. 30 days back if not given."),
    ] = None,
    until: Annotated[
        str | None, Query(alias="to", description="The last day, or an instant that ends it. Today if not given.")
    ] = None,
    by: Annotated[
        str | None,
        Query(
            description="`day`, `model`, `end_user`, `key`, or several with commas between them. `day` if not given."
        ),
    ] = None,
    *,
    limit: Annotated[int, Query(ge=1, le=MAX_GROUPS, description="How many sums at most.")] = 100,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """A sum for each group, in order: what every try cost, also those that were cancelled, failed or lost.

    It stays when conversations are deleted. The newest counts, too. Days are those of UTC.
    """
    _ = by  # It may come several times.
    groups = _by(request.query_params.getlist("by"))
    first, last = _days(since, until)
    rows = await resources_of(request).database.read(
        usage_report.page,
        tenant_of(request),
        first_day=first,
        last_day=last,
        by=groups,
        limit=limit + 1,
        after=None if after is None else read_usage_cursor(after, parameter="after", by=groups),
    )
    shown = rows[:limit]
    cursor = usage_cursor({each: shown[-1][each.column] for each in groups}) if len(rows) > limit else None
    told = {"from": _written(first), "to": _written(last), "by": groups}
    return page_answer(request, [_sum_dict(row, groups) for row in shown], next_cursor=cursor, more=told)


def _by(given: Sequence[str]) -> list[By]:
    names = [name.strip() for value in given or [By.DAY] for name in value.split(",")]
    try:
        return list(dict.fromkeys(By(name) for name in names))
    except ValueError:
        known = ", ".join(By)
        raise InvalidValue(f"Usage is told apart by {known}, with commas between them.", pointer="?by") from None


def _days(since: str | None, until: str | None) -> tuple[int, int]:
    """The first and the last day, both included."""
    last = day_of(now_ms()) if until is None else day_of(_read(until, "?to", is_end=True))
    first = last - USUAL_DAYS + 1 if since is None else day_of(_read(since, "?from", is_end=False))
    if first > last:
        raise InvalidValue("The first day is after the last one.", pointer="?from")
    if last - first >= MAX_DAYS:
        raise InvalidValue(f"These are {last - first + 1} days; ask for {MAX_DAYS} at most.", pointer="?from")
    return first, last


def _read(text: str, pointer: str, *, is_end: bool) -> int:
    """Milliseconds since 1970 on the day that is meant: an instant that ends something is not part of it."""
    moment: datetime | None
    try:
        if _DAY.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            is_end = False
        elif _INSTANT.fullmatch(text):
            moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
        else:
            moment = None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise InvalidValue(
            "Write a day as 2026-01-31, or an instant as 2026-01-31T12:00:00Z (a + in it as %2B).", pointer=pointer
        )
    milliseconds = round(moment.timestamp() * 1000) - is_end
    if milliseconds < 0:
        raise InvalidValue("Nothing was used before 1970.", pointer=pointer)
    return milliseconds


def _written(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _sum_dict(row: Row, by: Sequence[By]) -> dict[str, Any]:
    """One sum. What has no model, key or end user is of null."""
    groups = {each.value: row[each.column] or None for each in by}
    if By.DAY in by:
        groups["day"] = _written(row["day"])
    read, written = int(row["input_tokens"]), int(row["output_tokens"])
    return {
        **groups,
        "replies": {name: int(row[name]) for name in _ENDS},
        "attempts": int(row["attempts"]),
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "estimated_tokens": int(row["estimated_tokens"]),
    }
