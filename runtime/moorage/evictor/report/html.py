"""The report as one page."""

from __future__ import annotations

from html import escape

from .model import Report
from .text import as_wide


def as_html(report: Report) -> str:
    """The report as one file without foreign parts.

    Args:
        report: what is shown.
    """
    title = "What the evictor sees"
    body = f"<h1>{title}</h1><pre>{escape(as_wide(report))}</pre>"
    return f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>{body}</html>\n'
