"""The error that users see: a sentence that names the thing, the reason and the way out."""

from __future__ import annotations


class ImageError(Exception):
    """The image cannot be built. The text names the thing, the reason and the way out."""
