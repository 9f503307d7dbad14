"""Structured logs: one JSON object per line for programs, aligned lines for a terminal.

Messages are constant sentences, and variable parts are fields (``logger.info("pod pinned", extra={"pod": key})``), so
that logs can be searched by sentence. Credentials are hidden: a ``Secret`` prints as ``***``, fields with a
credential's name are masked, and the text of every key that was passed to ``hide`` is replaced everywhere.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TextIO

from .secret import Secret

MASK = "***"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN = frozenset({"time", "level", "logger", "message"})
_CREDENTIALS = frozenset({"api_key", "apikey", "authorization", "bearer", "password", "secret", "token"})
_COLOURS = {"DEBUG": 2, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 31}
_hidden: set[str] = set()
_careful = json.JSONEncoder(separators=(",", ":")).encode


def hide(secret: Secret) -> None:
    """Replace this key by ``***`` in all later log lines, including those of libraries."""
    if len(secret.reveal()) >= 4:  # a shorter key would hide ordinary words
        _hidden.add(secret.reveal())


def configure(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all logs to one stream.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        style: ``json``, ``text``, or ``auto``: text on a terminal.
        stream: the stream; standard error by default.
    """
    out = stream or sys.stderr
    terminal = out.isatty()
    handler = logging.StreamHandler(out)
    people = style == "text" or (style == "auto" and terminal)
    handler.setFormatter(
        TextFormatter(colours=terminal and not os.environ.get("NO_COLOR")) if people else JsonFormatter()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    _gather_only_what_is_shown()


def _gather_only_what_is_shown() -> None:
    """Keep logging from looking up callers, threads, processes and tasks, which no line shows (logging HOWTO)."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # since Python 3.12


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", …fields}``; an exception as ``error`` and ``stack``."""

    def __init__(self) -> None:
        super().__init__()
        import msgspec  # imported here, so that `moorage --help` need not load it

        self._quick = msgspec.json.Encoder().encode

    def format(self, record: logging.LogRecord) -> str:
        """One line without line breaks in it."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry.setdefault("error", _clean(str(record.exc_info[1])))
            entry["stack"] = _clean("".join(traceback.format_exception(*record.exc_info)))
        return self._encode(entry)

    def _encode(self, entry: dict[str, Any]) -> str:
        """ASCII only: no line separator of Unicode splits the line, and no lone surrogate breaks the stream."""
        try:
            line = self._quick(entry)  # a sixth of the time; each pinned pod has a line
        except (UnicodeEncodeError, OverflowError):
            return _careful(entry)
        return line.decode() if line.isascii() else _careful(entry)


class TextFormatter(logging.Formatter):
    """``12:30:01 info  pod pinned  pod=shop/web-1 node=n1``; a stack only when debugging."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """One line, followed by the stack when the root logger logs at debug."""
        level = f"{record.levelname.lower():<8}"
        if self._colours:
            level = f"\x1b[{_COLOURS.get(record.levelname, 0)}m{level}\x1b[0m"
        fields = _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            fields.setdefault("error", _clean(str(record.exc_info[1])))
        pairs = "".join(f"  {name}={_short(value)}" for name, value in fields.items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {level} {_clean(record.getMessage())}{pairs}"
        if record.exc_info and logging.getLogger().level <= logging.DEBUG:
            line += "\n" + _clean("".join(traceback.format_exception(*record.exc_info))).rstrip()
        return line


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.created % 1 * 1e6):06d}Z"


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of ``extra``. A field cannot replace the time, level, logger or message of the line."""
    return {
        f"field_{name}" if name in _OWN else name: MASK if name.lower() in _CREDENTIALS else _clean(value)
        for name, value in vars(record).items()
        if name not in _STANDARD
    }


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        for hidden in _hidden:
            value = value.replace(hidden, MASK)
        return value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has no infinity
    if isinstance(value, Mapping):
        return {str(k): MASK if str(k).lower() in _CREDENTIALS else _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(each) for each in value]
    return _clean(str(value))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' \n\t"=') else text
