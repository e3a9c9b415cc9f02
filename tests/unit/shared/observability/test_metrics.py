"""What all processes measure, and the rules for every metric there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from shared.observability.metrics import exposition, is_metrics_token

OPERATIONS = Path(__file__).parents[4] / "docs" / "operations.md"
TOKEN = "scrape-me-7731"
# Words that only name what an operator knows already; each with its few values.
LABELS = {
    *("version", "role", "operation", "error", "outcome", "reason", "status", "code", "method", "route", "held", "by"),
    *("state", "model", "upstream", "direction", "le"),
}


def _ours() -> list[Metric]:
    for module in ("api.metrics", "worker.metrics"):
        import_module(module)
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("asyncchat_")]


def _name(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def test_every_metric_is_explained_to_operators_and_none_beside() -> None:
    table = OPERATIONS.read_text().partition("| metric, without")[2].partition("\n\n")[0]
    documented = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert documented == {_name(metric).removeprefix("asyncchat_") for metric in _ours()}


def test_every_metric_has_a_sentence_and_no_label_beyond_those_that_are_bounded() -> None:
    for metric in _ours():
        assert metric.documentation.endswith("."), metric.name
        assert {label for sample in metric.samples for label in sample.labels} <= LABELS, metric.name


def test_what_took_time_is_counted_in_seconds() -> None:
    assert {metric.name.rpartition("_")[2] for metric in _ours() if metric.type == "histogram"} <= {
        *("seconds", "second", "writes"),
    }


def test_what_may_happen_is_there_from_the_start() -> None:
    said = exposition().decode()
    assert 'asyncchat_doorbell_replies_total{outcome="dropped"}' in said
    assert 'asyncchat_replies_finished_total{code="worker_lost",status="failed"}' in said
    assert 'asyncchat_sweeper_moved_replies_total{reason="worker_died",status="queued"}' in said
    assert 'asyncchat_database_errors_total{error="storage_busy",operation="write"}' in said


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_is_known_as_bearer(header: str) -> None:
    assert is_metrics_token(header, TOKEN)


@pytest.mark.parametrize("header", ["", TOKEN, "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é", "Bearer"])
def test_anything_else_is_not(header: str) -> None:
    assert not is_metrics_token(header, TOKEN)
