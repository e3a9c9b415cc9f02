"""Log lines, for people and for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from shared.observability.logging import JsonFormatter, TextFormatter, configure
from shared.settings import Settings

INSTANT = 1_769_860_800.25  # 2026-01-31T12:00:00.250Z


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("shared.liveness.sweeper", logging.WARNING, __file__, 1, message, arguments, None)
    made.created = INSTANT
    made.__dict__.update(extra)
    return made


def failed_record() -> logging.LogRecord:
    try:
        raise ValueError("no")  # noqa: TRY301  The record needs a real traceback.
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
        return made


def test_a_text_line_has_time_level_logger_message_and_extras() -> None:
    line = TextFormatter().format(record("took over from %s", "worker_1", replies=3))
    assert line == "2026-01-31T12:00:00.250Z WARNING shared.liveness.sweeper: took over from worker_1 replies=3"


def test_a_json_line_has_the_same_as_an_object() -> None:
    line = JsonFormatter().format(record("took over from %s", "worker_1", replies=3))
    assert json.loads(line) == {
        "time": "2026-01-31T12:00:00.250Z",
        "level": "warning",
        "logger": "shared.liveness.sweeper",
        "message": "took over from worker_1",
        "replies": 3,
    }


def test_a_json_line_takes_any_value() -> None:
    assert json.loads(JsonFormatter().format(record("hm", path=object)))["path"] == "<class 'object'>"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_message_of_several_lines_stays_one_line(formatter: logging.Formatter) -> None:
    """Words from outside cannot forge a log line of their own."""
    line = formatter.format(record("the model said: %s", "oh\n2026-01-31T12:00:00.000Z INFO api: all is well\r"))
    assert len(line.splitlines()) == 1


def test_an_extra_of_several_lines_stays_one_line() -> None:
    assert len(TextFormatter().format(record("hm", said="a\nb")).splitlines()) == 1


def test_a_traceback_follows_its_text_line() -> None:
    lines = TextFormatter().format(failed_record()).splitlines()
    assert lines[0].endswith("shared.liveness.sweeper: it failed")
    assert lines[-1] == "ValueError: no"


def test_a_traceback_is_inside_its_json_line() -> None:
    line = JsonFormatter().format(failed_record())
    assert len(line.splitlines()) == 1
    assert json.loads(line)["exception"].endswith("ValueError: no")


@pytest.fixture
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("api", "worker", "shared"))]
    levels = [logger.level for logger in loggers]
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("_loggers_as_before")
def test_our_loggers_speak_from_the_chosen_level_on_and_libraries_from_warnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = ["api.app", "worker.slots", "shared.liveness.sweeper"]
    configure(Settings(log_level="info"))
    for name in [*ours, "library"]:
        logging.getLogger(name).debug("debug")
        logging.getLogger(name).info("info")
        logging.getLogger(name).warning("warning")
    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    expected = [f"{level.upper()} {name}: {level}" for name in ours for level in ("info", "warning")]
    assert said == [*expected, "WARNING library: warning"]


@pytest.mark.usefixtures("_loggers_as_before")
def test_the_json_format_is_chosen_by_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"))
    logging.getLogger("api").warning("hm")
    assert json.loads(capsys.readouterr().err)["message"] == "hm"
