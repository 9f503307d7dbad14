"""The report as JSON."""

from __future__ import annotations

import msgspec

from .model import Data, Report


def as_json(report: Report) -> str:
    """Return the report as indented JSON; ``docs/reference/evictor-report.md`` describes it.

    Args:
        report: what is written.
    """
    return indented(report)


def indented(data: Data) -> str:
    """Return plain data as JSON, indented by two blanks."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Report:
    """Read a report.

    Args:
        text: what ``as_json`` made.

    Raises:
        msgspec.ValidationError: it is none.
    """
    return msgspec.json.decode(text, type=Report)
