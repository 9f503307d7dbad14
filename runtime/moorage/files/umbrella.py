"""Checks values of the chart moorage: each part's values below its name, and what is for all of them below global."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from . import CHARTS, UMBRELLA, values
from .mistakes import Mistake, Path
from .opposites import are_opposite
from .yamlfile import Document

GLOBAL, TAGS, ENABLED = "global", "tags", "enabled"
MAPS = (GLOBAL, TAGS, *CHARTS)
KEYS = (ENABLED, *MAPS)
"""What a file may have at its top, as the chart's schema says. The first is a condition of a chart around this one."""


def recognises(document: Document) -> bool:
    """Whether a file is for this chart: it has several parts, and nothing else. One part alone may be of any chart."""
    if not isinstance(document.value, Mapping) or not set(document.value) <= set(KEYS):
        return False
    return sum(isinstance(document.value.get(part), Mapping) for part in CHARTS) > 1


def mistakes(document: Document) -> list[Mistake]:
    """What Helm or the charts' templates would refuse. An empty file changes no value and is valid."""
    found = document.value
    if found is None:
        return []
    if not isinstance(found, Mapping):
        return [document.mistake((), values.NO_MAP)]
    result = [document.mistake((key,), _unknown(key)) for key in found if key not in KEYS]
    given = {key: inner for key, inner in found.items() if inner is not None or key == TAGS}  # which has no default
    flat = [key for key in MAPS if not isinstance(given.get(key, {}), Mapping)]
    result += [document.mistake((key,), f"{key}: is not a map") for key in flat]
    result += _of_switch(document, found, ())
    if result:
        return result
    result += values.mistakes_in_global(document, CHARTS)
    for part in _given(found):
        below = document.below(part)
        result += _at(part, values.mistakes(part, below))
        result += _of_switch(document, below.value, (part,)) if not result else []
    wrong = [key for key, tag in found.get(TAGS, {}).items() if not isinstance(tag, bool)]
    return result + [document.mistake((TAGS, key), f"{key}: is not true or false") for key in wrong]


def notes(document: Document) -> Iterator[Mistake]:
    """Keys without an effect, in a file without mistakes."""
    found = document.value or {}
    for part in _given(found):
        yield from without_switch(_at(part, values.notes(part, document.below(part))), (part,))
    for key in found.get(GLOBAL) or {}:
        if key not in _global_keys():
            yield document.mistake((GLOBAL, key), f"{key}: no part of Moorage makes use of it")
    if all((found.get(part) or {}).get(ENABLED) is False for part in CHARTS):
        yield document.mistake((), "each part has enabled: false: NOTHING is installed")


def without_switch(found: Iterable[Mistake], part: Path) -> Iterator[Mistake]:
    """Notes without that on ``enabled``: in a chart around ours it is the switch of a part.

    Args:
        found: the notes.
        part: where the part's values stand.
    """
    return (each for each in found if each.path != (*part, ENABLED))


def part_like(key: str) -> str | None:
    """The part whose name a key looks like, but is not; None when there is none."""
    return next(iter(get_close_matches(key, CHARTS, 1, 0.85)), None) if key not in KEYS else None


def _of_switch(document: Document, found: Mapping[str, Any], path: Path) -> list[Mistake]:
    fine = isinstance(found.get(ENABLED, True), bool)
    return [] if fine else [document.mistake((*path, ENABLED), f"{ENABLED}: is not true or false")]


def _given(found: Mapping[str, Any]) -> list[str]:
    return [part for part in CHARTS if isinstance(found.get(part), Mapping)]


def _at(part: str, found: Iterable[Mistake]) -> list[Mistake]:
    return [each._replace(path=(part, *each.path)) for each in found]


def _global_keys() -> set[str]:
    return {key for chart in CHARTS for key in values.schema_of(chart)["properties"][GLOBAL]["properties"]}


def _unknown(key: str) -> str:
    """A key that stands where only names of parts do."""
    near = [each for each in get_close_matches(key, KEYS, 1, 0.8) if not are_opposite(key, each)]
    if near:
        return f"{key}: unknown field {key!r}; did you mean {near[0]}?"
    belongs = [part for part in CHARTS if key in values.schema_of(part)["properties"]]
    if belongs:
        places = " or ".join(f"{part}.{key}" for part in belongs)
        return f"{key}: is a value of a part: write {places}"
    return f"{key}: unknown field {key!r}; chart {UMBRELLA} has {', '.join(MAPS)}"
