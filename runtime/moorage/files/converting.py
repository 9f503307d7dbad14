"""Values of the closed product's charts, made into values of the chart moorage; and what has no effect in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from . import CHARTS, closed, values
from .mistakes import FileMistakes, Mistake, Path, dotted
from .yamlfile import Document

EVICTOR = "castai-evictor"
GLOBAL, CASTAI = "global", "castai"
_SCALED_LATER = ("replicaCount", "deploy")
"""Keys of onboarding scripts: the closed product scales up what they stop."""
_MANAGED = "managedByCASTAI"


class Converted:
    """Values of the chart moorage.

    Attributes:
        values: to be written.
        left_out: what the file says and these do not, with the reason.
        remarks: what means something else than before.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.left_out: list[Mistake] = []
        self.remarks: list[Mistake] = []


def convert(name: str, document: Document, chart: str | None = None) -> Converted | None:
    """Make values of the chart moorage.

    Args:
        name: the file's, for mistakes.
        document: values of the closed umbrella, of a chart that has ours as dependencies, or of one chart.
        chart: whose values they are, if they are of one chart.

    Returns:
        None when the keys do not say whose values they are.

    Raises:
        FileMistakes: the values of a part are wrong; Helm would refuse them, too.
    """
    if not isinstance(document.value, dict | NoneType):
        raise FileMistakes(name, [document.mistake((), values.NO_MAP)])
    parts = {} if chart else values.parts(document)
    if not parts:
        alone = chart or values.guess(document)
        if alone is None:
            return None
        parts = {(): alone}
    made = Converted()
    wrong = [*_twice(document, parts), *(_no_maps(document) if () not in parts else ())]
    if () not in parts:
        _around(made, document, parts)
    elif others := [each for each in CHARTS if each not in parts.values()]:
        sentence = f"the chart moorage installs {' and '.join(others)}, too; enabled: false below a name leaves it out"
        made.remarks.append(document.mistake((), sentence))
    if () not in parts:
        wrong += values.mistakes_in_global(document, parts.values())
    for path, each in parts.items():
        below = document.below(*path)
        wrong += [found._replace(path=(*path, *found.path)) for found in values.mistakes(each, below)]
        if not wrong:
            _part(made, below, path, each)
    if wrong:
        raise FileMistakes(name, wrong)
    return made


def _twice(document: Document, parts: Mapping[Path, str]) -> Iterator[Mistake]:
    """Values of one chart in several places: Moorage has each part once."""
    first: dict[str, Path] = {}
    for path, chart in parts.items():
        if (before := first.setdefault(chart, path)) != path:
            sentence = f"{path[-1]}: is there twice, first as {dotted(before)}; keep one of them"
            yield document.mistake(path, sentence)


def _no_maps(document: Document) -> Iterator[Mistake]:
    """What stands at the top in the place of a part's values, or of what is for all, and is none."""
    for name in (GLOBAL, *CHARTS):
        inner = document.value.get(name) if isinstance(document.value, Mapping) else None
        if inner is not None and not isinstance(inner, Mapping):
            yield document.mistake((name,), f"{name}: {values.NO_MAP}")


def _part(made: Converted, document: Document, path: Path, chart: str) -> None:
    """The values of one part, without what has no effect."""
    found = copy.deepcopy(document.value) or {}
    switch = found.pop("enabled", None)
    shared = found.pop(GLOBAL, None)
    _leave_out(made, Document(found, document.locations), path, chart)
    if "replicaCount" in found:
        found = {("replicas" if key == "replicaCount" else key): inner for key, inner in found.items()}
    if isinstance(switch, bool):
        found = {"enabled": switch, **found}
    if chart == EVICTOR and found.get("dryRun") is False:
        sentence = (
            "dryRun: false: the evictor acts as soon as this is installed; true has it say first what it would do"
        )
        made.remarks.append(document.mistake(("dryRun",), sentence)._replace(path=(*path, "dryRun")))
    elif chart == EVICTOR and found.get("dryRun") is None:
        sentence = "dryRun is not set: the closed chart evicts then, this one only says what it would do"
        made.remarks.append(document.mistake((), sentence)._replace(path=path))
    if found:
        made.values[chart] = found
    if isinstance(shared, Mapping):
        _shared(made, document.below(GLOBAL), (*path, GLOBAL))


def _leave_out(made: Converted, document: Document, path: Path, chart: str) -> None:
    """Take away from a part's values what has no effect."""
    while notes := list(_in_vain(document, chart)):  # one may hide another
        for note in notes:
            _remove(document.value, note.path)
            made.left_out.append(note._replace(path=(*path, *note.path)))


def _in_vain(document: Document, chart: str) -> Iterator[Mistake]:
    """What is to be left out of a part's values."""
    if document.value.get(_MANAGED) in (True, "true"):
        sentence = (
            f"{_MANAGED}: without it a controller of the closed product in the namespace leaves the release alone"
        )
        yield document.mistake((_MANAGED,), sentence)
    for note in values.notes(chart, document):
        key = note.path[0]
        if key == "replicas":
            continue
        if key in _SCALED_LATER:
            sentence = f"{key}: the closed product scales up later what this stops; here nobody does"
            yield note._replace(sentence=sentence)
        elif note.path in closed.KEYS:
            sentence = (
                f"{note.path[-1]}: is the closed product's key; pod pinners find that of the planner by themselves"
            )
            yield note._replace(sentence=sentence)
        else:
            yield note._replace(sentence=note.sentence.replace("accepted, without effect", "without effect"))


def _around(made: Converted, document: Document, parts: Mapping[Path, str]) -> None:
    """What an umbrella says besides the values of our parts."""
    places = {path[:end] for path in parts for end in range(1, len(path) + 1)}

    def look(value: Mapping[str, Any], above: Path) -> None:
        for name, inner in value.items():
            path = (*above, name)
            if path in parts or (inner is None and name in (GLOBAL, *CHARTS)):
                continue
            if path in places:
                look(inner, path)
            elif name == GLOBAL and isinstance(inner, Mapping):
                _shared(made, document.below(*path), path)
            else:
                made.left_out.append(document.mistake(path, f"{name}: is of no part that Moorage takes the place of"))

    look(document.value, ())


def _shared(made: Converted, document: Document, path: Path) -> None:
    """What is for all parts: what any of our charts makes use of."""
    known = {
        name: inner
        for chart in CHARTS
        for name, inner in values.schema_of(chart)["properties"][GLOBAL]["properties"].items()
    }
    for name, inner in (document.value or {}).items():
        if name == CASTAI and isinstance(inner, Mapping):
            inner = _planner_for_all(made, document, path)
            if not inner:
                continue
        if name not in known:
            sentence = f"{name}: no part of Moorage makes use of it"
        elif values.counts_as_unset(known[name], inner):
            sentence = f"{name}: is the closed product's"
        elif made.values.get(GLOBAL, {}).get(name, inner) != inner:
            sentence = f"{name}: is another one than that of all parts or of the part before, which counts"
        else:
            made.values.setdefault(GLOBAL, {})[name] = copy.deepcopy(inner)
            continue
        made.left_out.append(document.mistake((name,), sentence)._replace(path=(*path, name)))


def _planner_for_all(made: Converted, document: Document, path: Path) -> dict[str, Any]:
    """What the pod pinner makes use of in what all charts of the closed product are told of it: a planner's address."""
    found: dict[str, Any] = {GLOBAL: {CASTAI: copy.deepcopy(dict(document.value[CASTAI]))}}
    without = Converted()
    _leave_out(without, Document(found, {}), (), closed.PINNER)
    kept: dict[str, Any] = found.get(GLOBAL, {}).get(CASTAI, {})
    mistakes = [(each.path[2:], each.sentence) for each in without.left_out]
    for name in [each for each in kept if (GLOBAL, CASTAI, each) not in closed.ADDRESSES]:
        mistakes.append(((name,), f"{name}: no part of Moorage makes use of it"))
        del kept[name]
    for inner, sentence in mistakes:
        mistake = document.mistake((CASTAI, *inner), sentence)
        made.left_out.append(mistake._replace(path=(*path, CASTAI, *inner)))
    return kept


def _remove(value: dict[str, Any], path: Path) -> None:
    """Take a value away, and the maps around it that are empty then."""
    around: list[tuple[Any, str | int]] = []
    inside: Any = value
    for key in path:
        if not isinstance(inside, dict) or key not in inside:
            return
        around.append((inside, key))
        inside = inside[key]
    for outer, key in reversed(around):
        del outer[key]
        if outer:
            return
