"""Converts a component's arguments to a release and a values document, and finds their mistakes.

The code of ``moorage validate`` validates the values, with the same messages. An unknown value counts as not given, and
no message about it or its content is passed on. Secrets are validated and never quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import isawaitable
from typing import Any, NamedTuple

import pulumi
from pulumi.output import Unknown, contains_unknowns

from ._files import schemas, values
from ._files.mistakes import Mistake, Path
from ._files.schema_errors import shown
from ._files.yamlfile import Document, Location

Settings = Mapping[str, Any]
_RELEASE = "release.schema.json"
_ALWAYS = ("namespace", "create_namespace")  # the provider's own defaults differ
_SECRET: tuple[str, str] = ("castai", "apiKey")
_HIDDEN = "(a secret)"


class Parts(NamedTuple):
    """The content of a component.

    Attributes:
        chart: name of the chart.
        release: arguments of the release, by their names in Python.
        values: the values document, or an Output of it if its parts cannot be separated yet.
        unknown: arguments that do not exist.
    """

    chart: str
    release: dict[str, Any]
    values: Any
    unknown: dict[str, Any]


def parts(chart: str, keys: Mapping[str, str], short: Mapping[str, Sequence[str]], settings: Settings) -> Parts:
    """Sort the arguments into release and values.

    Args:
        chart: the component's chart.
        keys: argument to top-level key of the values.
        short: arguments for a nested key. It is secret if its path is castai.apiKey.
        settings: the arguments. A top-level key may have its name in the values file. None counts as not given.
    """
    release_keys = schemas.load(_RELEASE)["properties"]
    top_level = set(schemas.load(f"values/{chart}.schema.json")["properties"])
    release = {name: each["default"] for name, each in release_keys.items() if name in _ALWAYS}
    nested: Any = {}
    document: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in settings.items():
        given = _inputs(value)
        if given is None:
            continue
        if name in release_keys:
            release[name] = given
        elif name in short:
            nested = _merged(nested, _nested(short[name], given))
        elif name in keys or name in top_level:
            document[keys.get(name, name)] = given
        elif get_close_matches(name, release_keys, 1):
            unknown[name] = given
        else:
            document[name] = given
    merged = _merged(_merged(nested, document), release.pop("values", {}))
    return Parts(chart, release, merged, unknown)


async def awaited(given: Parts) -> Parts:
    """A copy with the values of all known Outputs. Secrets are masked."""
    return given._replace(release=await _awaited(given.release), values=await _awaited(given.values))


def mistakes(given: Parts) -> list[str]:
    """The mistakes, one sentence each."""
    release = _View({**given.release, **given.unknown})
    found = [each.full_sentence for each in release.of(schemas.mistakes(_RELEASE, release.document, release.value))]
    found += _without_source(given)
    view = _View(given.values)
    found += [each.full_sentence for each in view.of(values.mistakes(given.chart, view.document))]
    return found


def kept_secret(document: Any) -> Any:
    """The values document for the release. The API key is always a secret in it."""
    if isinstance(document, pulumi.Output):
        return document.apply(lambda known: pulumi.Output.from_input(kept_secret(known)))
    outer, inner = _SECRET
    group = document.get(outer)
    if not isinstance(group, Mapping) or group.get(inner) is None:
        return document
    return {**document, outer: {**group, inner: pulumi.Output.secret(group[inner])}}


def notes(given: Parts) -> Iterator[str]:
    """The notes: settings that are valid and have a surprising effect, or none."""
    view = _View(given.values)
    for each in view.of(values.notes(given.chart, view.document)):
        yield each.full_sentence


def refusal(components: Iterable[tuple[str, str, list[str]]]) -> str:
    """The error text.

    Args:
        components: kind, name and mistakes of each.
    """
    lines = []
    for kind, name, found in components:
        lines.append(f"{kind} {name} is not installed, because its arguments have mistakes:")
        lines += [f"  {sentence}" for sentence in found]
    return "\n".join(lines)


def _without_source(given: Parts) -> Iterator[str]:
    chart = given.release.get("chart", given.chart)
    if given.release.get("repository") is None and isinstance(chart, str) and "/" not in chart and chart[:1] != ".":
        yield (
            f"repository: is missing, and {chart} is a chart's name; set the URL of its repository, or a "
            "path or an oci:// address in chart"
        )


# --- known values ---


class _View:
    """The known part of a document, and what messages may quote."""

    def __init__(self, given: Any) -> None:
        self._unknown: list[Path] = []
        self._secrets: dict[Path, str] = {}
        self._locations: dict[Path, Location] = {}  # in the order of writing
        self.value = self._known(given, ())
        self.document = Document(self.value, self._locations)

    def of(self, found: Iterable[Mistake]) -> Iterator[Mistake]:
        """The mistakes about known values, without secrets, in the order of the document."""
        for each in sorted(found, key=lambda mistake: mistake.line):
            if any(each.path[: len(path)] == path for path in self._unknown):
                continue
            yield each._replace(sentence=self._without_secrets(each))

    def _without_secrets(self, mistake: Mistake) -> str:
        sentence = mistake.sentence
        if any(path[: len(mistake.path)] == mistake.path for path in self._secrets):
            sentence = sentence.replace(shown(_at(self.value, mistake.path)), _HIDDEN)
        # A secret in another place must not be quoted. A shorter text occurs in many sentences.
        if any(len(text) > 2 and text in sentence for text in self._secrets.values()):
            return "is not valid; it depends on a secret, which is not shown"
        return sentence

    def _known(self, value: Any, path: Path, *, secret: bool = False) -> Any:
        self._locations[path] = Location(len(self._locations), 0)
        secret = secret or path == _SECRET
        if isinstance(value, pulumi.Output | Unknown):
            self._unknown.append(path)
            return None
        if isinstance(value, Mapping):
            return {key: self._known(each, (*path, key), secret=secret) for key, each in value.items()}
        if isinstance(value, list):
            return [self._known(each, (*path, index), secret=secret) for index, each in enumerate(value)]
        value = _masked(value) if secret else value
        if isinstance(value, _Text | _Whole | _Number):
            self._secrets[path] = f"{value}"
        return value


def _at(value: Any, path: Path) -> Any:
    for key in path:
        try:
            value = value[key]
        except (LookupError, TypeError):
            return None
    return value


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return _HIDDEN


class _Whole(int):
    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = int.__repr__


class _Number(float):
    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = float.__repr__


def _masked(value: Any) -> Any:
    """The same value, but messages quote it as a secret."""
    for kind, masked in ((str, _Text), (int, _Whole), (float, _Number)):
        if type(value) is kind:
            return masked(value)
    return value


async def _awaited(value: Any, *, secret: bool = False) -> Any:
    if isinstance(value, pulumi.Output):
        found = await value.future(with_unknowns=True)
        if not await value.is_known() and not contains_unknowns(found):
            return value
        return await _awaited(_inputs(found), secret=secret or await value.is_secret())
    if isinstance(value, Mapping):
        return {key: await _awaited(each, secret=secret) for key, each in value.items()}
    if isinstance(value, list):
        return [await _awaited(each, secret=secret) for each in value]
    return _masked(value) if secret else value


# --- merging ---


def _inputs(value: Any) -> Any:
    """Convert to maps, lists, Outputs and plain values."""
    if isinstance(value, Mapping):
        return {str(key): _inputs(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_inputs(each) for each in value]
    return pulumi.Output.from_input(value) if isawaitable(value) else value


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    found: dict[str, Any] = value
    return found


def _merged(first: Any, second: Any) -> Any:
    """Merge maps; otherwise the second value wins."""
    if isinstance(first, pulumi.Output) or isinstance(second, pulumi.Output):
        if first == {}:
            return second
        return pulumi.Output.all(first, second).apply(lambda both: _merged(*both))
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    common = {key: _merged(first[key], second[key]) for key in first if key in second}
    return {**first, **second, **common}
