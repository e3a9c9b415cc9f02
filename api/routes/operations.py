"""Operations: what is under way, what failed and how it went lately; for keys with the scope `admin`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import Row, attempt_dict
from api.routes.documentation import answer, problems
from api.schemas.operations import OperationsAnswer
from api.services.minutes import MINUTE_MS, Figures, Minutes, percentile
from api.services.operations import waiting_for
from shared.reply_body import error_dict, instant, instant_or_none, queue_dict

router = APIRouter(route_class=JsonRoute, tags=["Health"])

MAX_MINUTES = 60
_ENDS = ("completed", "incomplete", "failed", "cancelled")


@router.get(
    "/operations/",
    summary="Read what is under way and how it went",
    responses={200: answer(OperationsAnswer, "As it was a moment ago"), **problems("invalid_value")},
)
async def read(
    request: Request,
    minutes: Annotated[
        int, Query(ge=1, le=MAX_MINUTES, description="How far back the figures go, the present minute included.")
    ] = MAX_MINUTES,
) -> Response:
    """Of the tenant's replies: how many wait and for what, those that are live, those that failed lately with their
    attempts, and figures of each of the last minutes. Only `all_tenants` is of the whole installation.

    It is looked up once in two seconds, from the newest 20,000 replies that were accepted in that time, or so long
    before it as a reply usually may take.
    """
    found = await resources_of(request).operations.read(tenant_of(request), minutes=minutes)
    return json_answer(
        {
            "queue": waiting_for(found),
            "all_tenants": {str(status): count for status, count in found.of_all.items()},
            "live": [_listed(row) for row in found.live],
            "failed": [
                {**_listed(row), "attempts": [attempt_dict(each) for each in found.attempts[row["id"]]]}
                for row in found.failed
            ],
            **_minutes_dict(found.minutes),
        }
    )


def _listed(row: Row) -> dict[str, Any]:
    """A reply without what is said in it."""
    names = ("id", "conversation_id", "turn", "candidate", "status", "model", "attempt", "stop_requested")
    return {
        **{name: row[name] for name in names},
        "worker": row["worker_id"],
        "error": error_dict(row),
        "queue": queue_dict(row),
        "created_at": instant(row["created_at"]),
        "started_at": instant_or_none(row["started_at"]),
        "finished_at": instant_or_none(row["finished_at"]),
    }


def _minutes_dict(minutes: Minutes) -> dict[str, Any]:
    return {
        "from": instant(minutes.begins_at),
        "to": instant(minutes.ends_at),
        "complete_from": instant(minutes.complete_from),
        "whole": _figures_dict(minutes.whole()),
        "minutes": [
            {"at": instant(minutes.begins_at + index * MINUTE_MS), **_figures_dict(figures)}
            for index, figures in enumerate(minutes.each)
        ],
    }


def _figures_dict(figures: Figures) -> dict[str, Any]:
    return {
        "accepted": figures.accepted,
        "ended": {name: figures.ended[name] for name in _ENDS},
        "failures": _by_count(figures.failures),
        "attempt_failures": _by_count(figures.attempt_failures),
        "queue_wait_seconds": _spread(figures.queue_waits),
        "first_token_seconds": _spread(figures.first_tokens),
        "total_seconds": _spread(figures.totals),
    }


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent one first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _spread(milliseconds: Sequence[int]) -> dict[str, float] | None:
    if not milliseconds:
        return None
    values = sorted(milliseconds)
    return {name: percentile(values, percent) / 1000 for name, percent in (("p50", 50), ("p95", 95))}
