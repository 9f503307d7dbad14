"""Sentences for people: counts with their nouns, and sentences after each other."""

from __future__ import annotations

_ENDS = ".?!…:"


def counted(count: float, noun: str, plural: str = "") -> str:
    """A count and its noun: ``1 node``, ``2 nodes``, ``0 old replicas``.

    Args:
        count: how many; a fraction is rounded.
        noun: in the singular, with its adjectives.
        plural: where it is more than ``noun`` with an s.
    """
    number = round(count)
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def be(count: float) -> str:
    """The verb to a count: ``is`` or ``are``."""
    return "is" if round(count) == 1 else "are"


def followed(text: str, sentence: str) -> str:
    """A text, and a sentence after it. The text gets a full stop, unless it ends as a sentence does.

    Args:
        text: often the message of another program.
        sentence: what comes after it.
    """
    said = text.rstrip()
    said = said.rstrip(".") if not said.endswith("...") else said
    return f"{said} {sentence}" if said.endswith(tuple(_ENDS)) else f"{said}. {sentence}" if said else sentence
