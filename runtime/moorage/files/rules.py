"""Rules of the evictor: what is wrong with a file of them."""

from __future__ import annotations

from . import schemas
from .mistakes import FileMistakes, Mistake
from .yamlfile import Document, parse

MAX_BYTES = 1 << 20
"""A ConfigMap holds no more."""


def mistakes(document: Document) -> list[Mistake]:
    """What is wrong with a file of rules; one without any content has no rules, and is right."""
    if document.value is None:
        return []
    return list(schemas.mistakes("rules.schema.json", document, document.value))


def mistakes_in_text(document: Document, key: str) -> list[Mistake]:
    """What is wrong with rules that are one text in another file.

    Args:
        document: the other file.
        key: the top-level key with the text.
    """
    try:
        inner = parse(key, document.value[key].encode(), max_bytes=MAX_BYTES, merge=True)
        found = mistakes(inner)
    except FileMistakes as error:
        found = error.mistakes
    return [document.mistake((key,), f"{key}: in line {each.line} of the text: {each.full_sentence}") for each in found]
