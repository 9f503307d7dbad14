"""Files of other tools that hold values of a chart: a HelmRelease of Flux, an Application of Argo CD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import CHARTS
from .mistakes import Path
from .yamlfile import Document


class Held(NamedTuple):
    """Values in a file of another tool.

    Attributes:
        path: where they stand.
        chart: one of ``CHARTS``, when the file names it.
        is_text: whether they are one text instead of a map.
    """

    path: Path
    chart: str | None
    is_text: bool


class Holder(NamedTuple):
    """A file of another tool.

    Attributes:
        kind: what it is, for sentences.
        held: the values in it; there may be none.
        unseen: where it has values that are not looked at.
    """

    kind: str
    held: list[Held]
    unseen: list[Path]


def holder(document: Document) -> Holder | None:
    """What tool a file is for; None when it is no file of these.

    The fields are those of Flux's ``helm.toolkit.fluxcd.io/v2`` and Argo CD's ``argoproj.io/v1alpha1``.
    """
    kind = _get(document.value, "kind")
    group = str(_get(document.value, "apiVersion")).partition("/")[0]
    match group, kind:
        case "helm.toolkit.fluxcd.io", "HelmRelease":
            return _of_flux(document.value)
        case "argoproj.io", "Application":
            return _of_argo(document.value, ("spec",), "an Application of Argo CD")
        case "argoproj.io", "ApplicationSet":
            return _of_argo(document.value, ("spec", "template", "spec"), "an ApplicationSet of Argo CD")
    return None


def _of_flux(value: Any) -> Holder:
    chart = _known(_get(value, "spec", "chart", "spec", "chart"))
    held = [Held(("spec", "values"), chart, is_text=False)] if _get(value, "spec", "values") is not None else []
    unseen: list[Path] = [("spec", "valuesFrom")] if _get(value, "spec", "valuesFrom") else []
    return Holder("a HelmRelease of Flux", held, unseen)


def _of_argo(value: Any, at: Path, kind: str) -> Holder:
    found = Holder(kind, [], [])
    for path, source in _sources(value, at):
        chart = _known(_get(source, "chart") or str(_get(source, "path") or "").rstrip("/").rpartition("/")[2])
        for key in ("valuesObject", "values"):
            given = _get(source, "helm", key)
            if isinstance(given, str | Mapping):
                found.held.append(Held((*path, "helm", key), chart, is_text=isinstance(given, str)))
        found.unseen.extend((*path, "helm", key) for key in ("valueFiles", "parameters") if _get(source, "helm", key))
    return found


def _sources(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    spec = _get(value, *at)
    if (one := _get(spec, "source")) is not None:
        yield (*at, "source"), one
    several = _get(spec, "sources")
    for index, each in enumerate(several if isinstance(several, list) else ()):
        yield (*at, "sources", index), each


def _known(chart: Any) -> str | None:
    return chart if chart in CHARTS else None


def _get(value: Any, *keys: str | int) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
