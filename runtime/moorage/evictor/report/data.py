"""The report for programs."""

from __future__ import annotations

import msgspec

from .model import Data, Report


def as_json(report: Report) -> str:
    """The report as JSON, indented; ``docs/reference/evictor-report.md`` says what is in it.

    Args:
        report: what is written.
    """
    return indented(report)


def indented(data: Data) -> str:
    """Plain data as JSON, indented by two blanks."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Report:
    """A report as it was written.

    Args:
        text: what ``as_json`` made.

    Raises:
        msgspec.ValidationError: it is none.
    """
    return msgspec.json.decode(text, type=Report)
