"""From a component's arguments to a release and a values document, and what is wrong with them.

Values are judged by the code of ``moorage validate``, in its words. What is not known yet counts as not given, and
nothing that is said of it, or of what is in it, is passed on. Secrets are looked at, and never quoted.
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
_ALWAYS = ("namespace", "create_namespace")  # the provider's own defaults are others
_SECRET: tuple[str, str] = ("castai", "apiKey")
_HIDDEN = "(a secret)"


class Parts(NamedTuple):
    """What a component is made of.

    Attributes:
        chart: whose values they are.
        release: arguments of the release, by their names in Python.
        values: the values document, or an Output of it where parts cannot be told from each other yet.
        unknown: arguments that do not exist.
    """

    chart: str
    release: dict[str, Any]
    values: Any
    unknown: dict[str, Any]


def parts(chart: str, keys: Mapping[str, str], short: Mapping[str, Sequence[str]], settings: Settings) -> Parts:
    """Sort the arguments.

    Args:
        chart: the component's chart.
        keys: argument to top-level key of the values.
        short: arguments that stand for a nested key, which is secret if its path is castai.apiKey.
        settings: the arguments; a top-level key may have its name in the values file. None counts as not given.
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
    """The same with the values of all Outputs that are known, secrets masked."""
    return given._replace(release=await _awaited(given.release), values=await _awaited(given.values))


def mistakes(given: Parts) -> list[str]:
    """What is wrong, a sentence each."""
    release = _View({**given.release, **given.unknown})
    found = [each.full_sentence for each in release.of(schemas.mistakes(_RELEASE, release.document, release.value))]
    found += _without_source(given)
    view = _View(given.values)
    found += [each.full_sentence for each in view.of(values.mistakes(given.chart, view.document))]
    return found


def kept_secret(document: Any) -> Any:
    """The values document for the release: a key in it is a secret, however it was given."""
    if isinstance(document, pulumi.Output):
        return document.apply(lambda known: pulumi.Output.from_input(kept_secret(known)))
    outer, inner = _SECRET
    group = document.get(outer)
    if not isinstance(group, Mapping) or group.get(inner) is None:
        return document
    return {**document, outer: {**group, inner: pulumi.Output.secret(group[inner])}}


def notes(given: Parts) -> Iterator[str]:
    """What is no mistake and ought to be known."""
    view = _View(given.values)
    for each in view.of(values.notes(given.chart, view.document)):
        yield each.full_sentence


def refusal(components: Iterable[tuple[str, str, list[str]]]) -> str:
    """The text for a person.

    Args:
        components: kind, name and mistakes of each.
    """
    lines = []
    for kind, name, found in components:
        lines.append(f"{kind} {name} is not installed, because its arguments are not right:")
        lines += [f"  {sentence}" for sentence in found]
    return "\n".join(lines)


def _without_source(given: Parts) -> Iterator[str]:
    chart = given.release.get("chart", given.chart)
    if given.release.get("repository") is None and isinstance(chart, str) and "/" not in chart and chart[:1] != ".":
        yield (
            f"repository: is missing, and {chart} is a chart's name; give the URL of the repository that has it, or a "
            "path or an oci:// address in chart"
        )


# --- what is known ---


class _View:
    """A document as far as it is known, and what may be said of it."""

    def __init__(self, given: Any) -> None:
        self._unknown: list[Path] = []
        self._secrets: dict[Path, str] = {}
        self._locations: dict[Path, Location] = {}  # in the order in which things are written
        self.value = self._known(given, ())
        self.document = Document(self.value, self._locations)

    def of(self, found: Iterable[Mistake]) -> Iterator[Mistake]:
        """The mistakes that are about what is known, without secrets, in the order of the document."""
        for each in sorted(found, key=lambda mistake: mistake.line):
            if any(each.path[: len(path)] == path for path in self._unknown):
                continue
            yield each._replace(sentence=self._without_secrets(each))

    def _without_secrets(self, mistake: Mistake) -> str:
        sentence = mistake.sentence
        if any(path[: len(mistake.path)] == mistake.path for path in self._secrets):
            sentence = sentence.replace(shown(_at(self.value, mistake.path)), _HIDDEN)
        # What is quoted of elsewhere; a shorter text is in many a sentence.
        if any(len(text) > 2 and text in sentence for text in self._secrets.values()):
            return "is not right; it depends on a secret, which is not shown"
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
    """The same value, which messages quote as a secret."""
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


# --- putting together ---


def _inputs(value: Any) -> Any:
    """Maps, lists, Outputs and plain values only."""
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
    """Both, where maps meet; else the second."""
    if isinstance(first, pulumi.Output) or isinstance(second, pulumi.Output):
        if first == {}:
            return second
        return pulumi.Output.all(first, second).apply(lambda both: _merged(*both))
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    common = {key: _merged(first[key], second[key]) for key in first if key in second}
    return {**first, **second, **common}
