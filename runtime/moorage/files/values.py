"""Checks values files of our charts: which chart a file is for, its mistakes, and keys without an effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import CHARTS, closed, evictor, podspec, rules, schemas, together
from .mistakes import Mistake, Path, get
from .schema_errors import shown
from .schemas import Schema
from .yamlfile import Document

MAX_BYTES = 1 << 20
"""A release with its values must fit into one Secret. Helm refuses larger ones."""

NO_MAP = "is not a map; values are a map of keys"
KEY_OF_STRATEGY = "updateStrategy"
TERRAFORM = {"evictor": "castai-evictor", "pod_pinner": "castai-pod-pinner"}
"""What our Terraform module calls its parts, whose keys it spells in its own way."""
SAME = (
    ("replicas", "replicaCount"),
    ("planner.address", "castai.grpcURL"),
    ("global.registry", "global.imageRegistry"),
)


_HEADER = re.compile(rb"\A(\xef\xbb\xbf)?(USER-SUPPLIED|COMPUTED) VALUES:[ \t]*(?=\r?\n|\Z)")
"""What `helm get values` writes above the values, unless it is given ``-o yaml``."""


def without_header(data: bytes) -> bytes:
    """A file without the line that `helm get values` writes above it; the other lines keep their numbers."""
    return _HEADER.sub(b"#", data)


def schema_of(chart: str) -> Schema:
    """The schema of a chart's values."""
    return schemas.load(_path(chart))


def guess(document: Document) -> str | None:
    """The chart of a values file, if it has keys that only one chart has; else None.

    Keys with an effect come first: a key without one may be a leftover in the file of another chart.
    """
    names = {_folded(each) for each in _names(document.value)}
    named = {TERRAFORM[each] for each in TERRAFORM if isinstance(get(document.value, each), dict)}
    if len(named) == 1:
        return named.pop()
    for of in (_used, _declared):
        known = {chart: {_folded(each) for each in of(schema_of(chart))} for chart in CHARTS}
        charts = [each for each in CHARTS if names & known[each].difference(*(known[c] for c in CHARTS if c != each))]
        if charts:
            return charts[0] if len(charts) == 1 else None
    return None


def parts(document: Document) -> dict[Path, str]:
    """Where the values of a chart that depends on ours contain values of ours: location to chart."""
    result: dict[Path, str] = {}
    for name, inner in document.value.items() if isinstance(document.value, dict) else ():
        if name in CHARTS and isinstance(inner, dict):
            result[(name,)] = name
        elif isinstance(inner, dict):
            result |= {(name, each): each for each in inner if each in CHARTS and isinstance(inner[each], dict)}
    return result


def mistakes(chart: str, document: Document) -> list[Mistake]:
    """What Helm or the chart's templates would refuse in a values file.

    Args:
        chart: one of ``CHARTS``.
        document: the file. An empty file changes no value and is valid.
    """
    if document.value is None:
        return []
    schema = schema_of(chart)
    value = without_nulls(document.value, default_values(schema))
    found = schemas.mistakes(_path(chart), document, value, _places_of_keys(schema))
    result = [_of_terraform(chart, document, each) for each in found]
    if isinstance(value, dict) and not result:
        result += _differing(schema, document, value)
        result += podspec.mistakes(chart, document)
        result += together.mistakes(chart, document)
        if chart == closed.PINNER:
            result += closed.keys_that_leave(document)
        if chart == evictor.CHART:
            result += evictor.mistakes(document)
        if isinstance(value.get("customConfig"), str):
            result += rules.mistakes_in_text(document, "customConfig")
    return result


def mistakes_in_global(document: Document, charts: Iterable[str]) -> list[Mistake]:
    """What Helm would refuse below global of a chart around ours: each part's schema judges it.

    Args:
        document: values of the chart around them, a map.
        charts: the parts.
    """
    if not isinstance(document.value.get("global"), dict):
        return []
    shared = Document({"global": document.value["global"]}, document.locations)
    return list(dict.fromkeys(each for chart in charts for each in mistakes(chart, shared)))


def _of_terraform(chart: str, document: Document, found: Mistake) -> Mistake:
    """For those who have copied what Terraform is given: a chart's values have no level of that name."""
    name = str(found.path[0]) if len(found.path) == 1 else ""
    if TERRAFORM.get(name) != chart or not isinstance(document.value.get(name), dict):
        return found
    known = {_folded(each): each for each in _used(schema_of(chart))}
    spelled = [known[_folded(key)] for key in document.value[name] if _folded(key) in known]
    below = f": {', '.join(spelled)}" if spelled else ""
    sentence = (
        f"{name}: is what Terraform and charts around this one call it, and no key of its values; write what is below "
        f"it at the top level{below}"
    )
    return found._replace(sentence=sentence)


def notes(chart: str, document: Document) -> Iterator[Mistake]:
    """Warnings: keys without an effect, values with which nothing runs, and an API key of the closed product."""
    schema = schema_of(chart)
    yield from closed.zero_replicas(schema, document)
    yield from _in_vain(schema, document, document.value, ())
    yield from _rolling_in_vain(schema, document)
    if chart == closed.PINNER:
        yield from closed.shown_keys(document)


def default_values(schema: Schema) -> dict[str, Any]:
    """The chart's values.yaml, from which Helm starts."""
    result = {}
    for name, inner in schema["properties"].items():
        if _is_group(inner):
            if inside := default_values(inner):
                result[name] = inside
        elif "default" in inner and not inner.get("x-no-value"):
            result[name] = inner["default"]
    return result


def without_nulls(value: Any, defaults: Mapping[str, Any]) -> Any:
    """The values without null keys: Helm removes the chart's own value then."""
    if not isinstance(value, dict):
        return value
    result = {}
    for name, inner in value.items():
        if inner is None and name in defaults:
            continue
        inside = defaults.get(name)
        result[name] = without_nulls(inner, inside) if isinstance(inside, dict) else inner
    return result


def _folded(key: str) -> str:
    """A key as it is compared: Terraform writes dry_run where a chart has dryRun."""
    return key.replace("_", "").lower()


def _names(value: Any, above: str = "") -> Iterator[str]:
    """The keys of a file, and those one level deeper after a dot; what is below global may be any chart's."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield f"{above}{name}"
        if not above and name != "global":
            yield from _names(inner, f"{name}.")


def _used(schema: Schema) -> set[str]:
    return {name for name, inner in _of_two_levels(schema) if inner.get("x-effect") != "none"}


def _declared(schema: Schema) -> set[str]:
    return {name for name, _ in _of_two_levels(schema)}


def _of_two_levels(schema: Schema, above: str = "") -> Iterator[tuple[str, Schema]]:
    for name, inner in schema["properties"].items():
        yield f"{above}{name}", inner
        if not above and _is_group(inner):
            yield from _of_two_levels(inner, f"{name}.")


def _path(chart: str) -> str:
    return f"values/{chart}.schema.json"


def _is_group(schema: Schema) -> bool:
    return "properties" in schema and "x-kubernetes" not in schema


def _differing(schema: Schema, document: Document, value: Mapping[str, Any]) -> Iterator[Mistake]:
    """Two names of the same value with different values, which a schema cannot find."""
    for first, second in SAME:
        one, other = get(value, first), get(value, second)
        if one in (None, "") or other in (None, "") or one == other:
            continue
        if _counts_as_unset(schema, first, one) or _counts_as_unset(schema, second, other):
            continue
        path = tuple(second.split("."))
        sentence = f"{path[-1]}: is {other} and {first} is {one}: they mean the same; keep one of them"
        yield document.mistake(path, sentence)


def _counts_as_unset(schema: Schema, key: str, value: Any) -> bool:
    for part in key.split("."):
        schema = schema["properties"][part]
    return counts_as_unset(schema, value)


def counts_as_unset(schema: Schema, value: Any) -> bool:
    """Whether a value is the closed product's where it means nothing here.

    Args:
        schema: of its key.
        value: what is given.
    """
    pattern = schema.get("x-unset")
    return pattern is not None and isinstance(value, str) and re.search(pattern, value) is not None


def _rolling_in_vain(schema: Schema, document: Document) -> Iterator[Mistake]:
    """How pods are replaced one by one, where all end before the first new one begins."""
    given = get(document.value, KEY_OF_STRATEGY)
    kind = (get(given, "type") or schema["properties"][KEY_OF_STRATEGY]["default"]["type"]) if given else None
    if kind == "Recreate" and given.get("rollingUpdate"):
        sentence = "rollingUpdate: without effect, because type is Recreate"
        yield document.mistake((KEY_OF_STRATEGY, "rollingUpdate"), sentence)


def _in_vain(schema: Schema, document: Document, value: Any, path: Path) -> Iterator[Mistake]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        declared = schema["properties"].get(name)
        where = (*path, name)
        if declared is None or inner is None:
            continue
        if declared.get("x-effect") == "none":
            yield document.mistake(where, f"{name}: accepted, without effect. {declared['description']}")
        elif _is_group(declared):
            yield from _in_vain(declared, document, inner, where)
        elif "x-unset-with" in declared:
            yield from _in_vain_with(schema, document, value, where)
        elif counts_as_unset(declared, inner):
            yield document.mistake(where, f"{name}: {shown(inner)} is the closed product's, and counts as not set")


def _in_vain_with(schema: Schema, document: Document, value: Mapping[str, Any], where: Path) -> Iterator[Mistake]:
    """A value that needs another one to have an effect. Alone it may be a value of the closed product."""
    name = str(where[-1])
    declared, other = schema["properties"][name], schema["properties"][name]["x-unset-with"]
    beside, inner = value.get(other), value[name]
    if inner and counts_as_unset(schema["properties"][other], beside):
        yield document.mistake(where, f"{name}: belongs to {other}, and counts as not set like that")
    elif counts_as_unset(declared, inner) and beside in (None, "", schema["properties"][other].get("x-default")):
        sentence = (
            f"{name}: {shown(inner)} is the closed product's, and counts as not set; one of yours needs {other} too"
        )
        yield document.mistake(where, sentence)


def _places_of_keys(schema: Schema, path: Sequence[str] = ()) -> dict[str, str]:
    """Keys in small letters with their path, the outermost if there are several: for misplaced keys."""
    result: dict[str, list[str]] = {}
    for name, where in _all_keys(schema, path):
        result.setdefault(name.lower(), []).append(where)
    outermost = {name: _outermost(places) for name, places in result.items()}
    return {name: " or ".join(places) for name, places in outermost.items() if len(places) <= 2}


def _outermost(places: list[str]) -> list[str]:
    least = min(place.count(".") for place in places)
    return [place for place in places if place.count(".") == least]


def _all_keys(schema: Schema, path: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, inner in schema["properties"].items():
        if inner.get("x-effect") != "none":
            yield name, ".".join((*path, name))
        if _is_group(inner):
            yield from _all_keys(inner, (*path, name))
