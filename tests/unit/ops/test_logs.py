"""Log lines: their format for programs and people, and secrets that must not be in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from moorage.ops import logs
from moorage.ops.secret import Secret

logger = logging.getLogger("moorage.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hidden = root.handlers[:], root.level, set(logs._hidden)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs._hidden.clear()
    logs._hidden.update(hidden)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def as_json(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    return stream


def test_a_line_has_time_level_logger_message_and_fields() -> None:
    stream = as_json()
    logger.info("pod pinned", extra={"pod": "shop/web-1", "node": "n1", "took_s": 0.25, "pods": ["a", "b"]})
    (line,) = lines(stream)
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.tzinfo == UTC
    assert line == {
        "level": "info",
        "logger": "moorage.test",
        "message": "pod pinned",
        "pod": "shop/web-1",
        "node": "n1",
        "took_s": 0.25,
        "pods": ["a", "b"],
    }


def test_fields_cannot_pose_as_the_lines_own() -> None:
    stream = as_json()
    logger.info("pod pinned", extra={"level": "critical", "time": "yesterday", "logger": "kernel"})
    (line,) = lines(stream)
    assert (line["level"], line["logger"]) == ("info", "moorage.test")
    assert line["field_level"] == "critical"


def test_one_event_is_one_line_whatever_is_in_it() -> None:
    stream = as_json()
    logger.info(
        "answer was %s",
        'a\nb\r\u2028"c"',
        extra={"error": "x\n\ud800", "odd": float("inf"), "thing": object(), "huge": 1 << 70},
    )
    assert (
        len(stream.getvalue().splitlines()) == len(stream.getvalue().split("\n")) - 1 or "\u2028" in stream.getvalue()
    )
    line = json.loads(stream.getvalue())
    assert line["message"] == 'answer was a\nb\r\u2028"c"'
    assert (line["odd"], line["huge"]) == ("inf", 1 << 70)
    assert stream.getvalue().isascii()


def test_an_exception_is_a_field() -> None:
    stream = as_json()
    try:
        raise ValueError("no such thing")
    except ValueError:
        logger.exception("subscriber failed")
    (line,) = lines(stream)
    assert line["error"] == "no such thing"
    assert line["stack"].endswith("ValueError: no such thing\n")


def test_levels_are_obeyed() -> None:
    stream = as_json("warning")
    logger.info("quiet")
    logger.warning("loud")
    assert [line["message"] for line in lines(stream)] == ["loud"]


def test_credentials_are_in_no_line() -> None:
    logs.hide(Secret("sesame-1234"))
    stream = as_json()
    try:
        raise ValueError("metadata: authorization=Bearer sesame-1234")
    except ValueError:
        logger.exception("call failed with %s", "sesame-1234", extra={"headers": {"Authorization": "Bearer x"}})
    logger.info("settings", extra={"api_key": "anything", "key": Secret("other-key"), "nested": [{"token": "t0k3n"}]})
    text = stream.getvalue()
    assert not any(word in text for word in ("sesame", "anything", "other-key", "t0k3n", "Bearer x"))
    assert text.count("***") >= 6


def test_a_blank_key_hides_nothing() -> None:
    logs.hide(Secret(""))
    stream = as_json()
    logger.info("pod pinned")
    assert lines(stream)[0]["message"] == "pod pinned"


def test_people_get_columns_and_no_stack() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    try:
        raise ValueError("no such thing")
    except ValueError:
        logger.exception("subscriber failed", extra={"pod": "shop/web-1", "empty": "", "spaced": "a b"})
    (line,) = stream.getvalue().splitlines()
    assert line[9:] == 'error    subscriber failed  pod=shop/web-1  empty=""  spaced="a b"  error="no such thing"'


def test_text_debugging_shows_the_stack() -> None:
    stream = io.StringIO()
    logs.configure("debug", "text", stream)
    try:
        raise ValueError("no such thing")
    except ValueError:
        logger.exception("subscriber failed")
    assert "Traceback" in stream.getvalue()


def test_auto_is_for_people_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, terminal = io.StringIO(), Terminal()
    logs.configure("info", "auto", pipe)
    logger.info("pod pinned")
    logs.configure("info", "auto", terminal)
    logger.info("pod pinned")
    assert json.loads(pipe.getvalue())["message"] == "pod pinned"
    assert "\x1b[32minfo" in terminal.getvalue()


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    logs.configure("info", "auto", terminal)
    logger.info("pod pinned")
    assert "\x1b" not in terminal.getvalue()
