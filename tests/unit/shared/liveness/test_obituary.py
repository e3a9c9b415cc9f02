"""Who is dead: told from readings of the beats, at instants that the test chooses."""

from __future__ import annotations

from shared.liveness.sweeper import DEAD_READS, DEAD_SECONDS, MAX_GAP_SECONDS, Obituary

STEP = 1.5


def test_a_process_whose_beat_stands_still_long_enough_is_dead() -> None:
    obituary = Obituary()
    told = [obituary.read({"worker_a": 7}, at=step * STEP) for step in range(6)]
    assert told == [{}, {}, {}, {}, {"worker_a": 7}, {"worker_a": 7}]


def test_those_count_as_living_whose_beat_was_found_the_same_once_at_most() -> None:
    obituary = Obituary()
    readings = (
        {"worker_a": 1, "worker_b": 5, "api_c": 1},
        {"worker_a": 2, "worker_b": 5},
        {"worker_a": 3, "worker_b": 5},
    )
    living = []
    for step, beats in enumerate(readings):
        obituary.read(beats, at=step * STEP)
        living.append(obituary.living("worker"))
    assert living == [["worker_a", "worker_b"], ["worker_a", "worker_b"], ["worker_a"]]


def test_few_reads_do_not_do_however_long_they_take() -> None:
    obituary = Obituary()
    told = [obituary.read({"worker_a": 7}, at=step * MAX_GAP_SECONDS) for step in range(DEAD_READS)]
    assert told == [{}] * (DEAD_READS - 1) + [{"worker_a": 7}]
    assert (DEAD_READS - 2) * MAX_GAP_SECONDS >= DEAD_SECONDS


def test_many_quick_reads_do_not_do() -> None:
    obituary = Obituary()
    assert not any(obituary.read({"worker_a": 7}, at=step * 0.01) for step in range(500))


def test_a_new_beat_starts_over() -> None:
    obituary = Obituary()
    for step in range(4):
        obituary.read({"worker_a": 7}, at=step * STEP)
    told = [obituary.read({"worker_a": 8}, at=step * STEP) for step in range(4, 9)]
    assert told == [{}, {}, {}, {}, {"worker_a": 8}]


def test_a_pause_of_the_reader_starts_over() -> None:
    obituary = Obituary()
    for step in range(4):
        obituary.read({"worker_a": 7}, at=step * STEP)
    late = 3 * STEP + MAX_GAP_SECONDS + 0.1
    assert [obituary.read({"worker_a": 7}, at=late + step * STEP) for step in range(4)] == [{}] * 4


def test_one_long_pause_kills_nobody() -> None:
    obituary = Obituary()
    obituary.read({"worker_a": 7, "worker_b": 1}, at=0)
    assert obituary.read({"worker_a": 7, "worker_b": 1}, at=3600) == {}


def test_each_process_is_told_apart() -> None:
    obituary = Obituary()
    told = [obituary.read({"worker_a": 7, "worker_b": step}, at=step * STEP) for step in range(5)]
    assert told[-1] == {"worker_a": 7}


def test_a_process_that_signed_off_is_forgotten() -> None:
    obituary = Obituary()
    for step in range(4):
        obituary.read({"worker_a": 7}, at=step * STEP)
    obituary.read({}, at=4 * STEP)
    assert obituary.read({"worker_a": 7}, at=5 * STEP) == {}
