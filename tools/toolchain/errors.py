"""The error that users see: a sentence that names the thing, the reason and the way out."""

from __future__ import annotations


class ToolError(Exception):
    """A tool is not available. The text names the thing, the reason and the way out."""
