"""The one error that people meet: a sentence that names the thing, the reason and the way out."""

from __future__ import annotations


class ImageError(Exception):
    """The image cannot be had; the text names the thing, the reason and the way out."""
