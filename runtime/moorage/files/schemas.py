"""The JSON Schemas of the package, and the check of documents against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import islice
from typing import Any

from jsonschema import Draft7Validator, ValidationError
from jsonschema.validators import extend

from .mistakes import Mistake
from .schema_errors import sentences
from .yamlfile import Document

MAX_MISTAKES = 100

Schema = dict[str, Any]


@cache
def load(path: str) -> Schema:
    """A schema of the package.

    Args:
        path: below ``moorage/schemas``.
    """
    text = resources.files(__name__.partition(".")[0]).joinpath("schemas", *path.split("/")).read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def mistakes(
    path: str, document: Document, value: Any, elsewhere: Mapping[str, str] | None = None
) -> Iterator[Mistake]:
    """The mistakes that a schema finds in a document: at most ``MAX_MISTAKES``, then a note about the rest.

    Args:
        path: the schema, below ``moorage/schemas``.
        document: the document, for locations.
        value: the value to check, normally the document's.
        elsewhere: see ``schema_errors.sentences``.
    """
    mistakes = _without_repetition(
        document.mistake(where, sentence)
        for error in _validator(path).iter_errors(value)
        for where, sentence in sentences(error, elsewhere, document.location(tuple(error.absolute_path)).written)
    )
    yield from islice(mistakes, MAX_MISTAKES)
    if next(mistakes, None) is not None:
        yield Mistake(0, f"there is more wrong than these {MAX_MISTAKES} mistakes")


def _without_repetition(mistakes: Iterator[Mistake]) -> Iterator[Mistake]:
    seen = set()
    for each in mistakes:
        if each not in seen:
            seen.add(each)
            yield each


@cache
def _validator(path: str) -> Draft7Validator:
    validator: Draft7Validator = _Validator(load(path))
    return validator


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """As in Helm's validator: ``$`` in Go's expressions is the end of the text, not before a last newline."""
    if isinstance(instance, str) and not _expression(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", pattern))


_Validator: Any = extend(Draft7Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
