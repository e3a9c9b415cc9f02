"""The processes and their beats."""

from __future__ import annotations

from shared.store import workers
from tests.integration.shared.rows import Tables


def test_a_process_begins_with_its_first_beat_and_counts_on(tables: Tables) -> None:
    tables.worker("worker_a")
    tables.worker("api_b")
    assert tables(workers.beat, "worker_a")
    assert tables(workers.beats) == {"worker_a": 2, "api_b": 1}


def test_a_process_that_is_gone_cannot_beat(tables: Tables) -> None:
    tables.worker("worker_a")
    tables(workers.remove, "worker_a")
    assert not tables(workers.beat, "worker_a")
    assert not tables(workers.lock, "worker_a")
    assert tables(workers.beats) == {}


def test_only_a_process_that_has_not_beaten_since_is_taken_out(tables: Tables) -> None:
    tables.worker("worker_a")
    tables(workers.beat, "worker_a")
    assert not tables(workers.remove_silent, "worker_a", last_beat=1)
    assert tables(workers.lock, "worker_a")
    assert tables(workers.remove_silent, "worker_a", last_beat=2)
    assert not tables(workers.remove_silent, "worker_a", last_beat=2)


def test_processes_are_counted_by_role(tables: Tables) -> None:
    for process in ("worker_a", "worker_b", "api_c", "workerx"):
        tables.worker(process)
    assert (tables(workers.count, "worker"), tables(workers.count, "api"), tables(workers.count, "cli")) == (2, 1, 0)


def test_the_beats_of_one_role_on_one_host(tables: Tables) -> None:
    for process in ("worker_a", "api_b"):
        tables.worker(process)
    tables(workers.register, "worker_c", host="there", now=1)
    assert tables(workers.beats_on, "here", role="worker") == {"worker_a": 1}
