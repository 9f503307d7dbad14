"""Files of other tools that hold values of a chart: of Flux, Argo CD, kustomize, Helmfile, Rancher and Pulumi."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from . import CHARTS, UMBRELLA
from .mistakes import Path
from .yamlfile import Document, Location


class Held(NamedTuple):
    """Values in a file of another tool.

    Attributes:
        path: where they stand.
        chart: one of ``CHARTS`` or ``UMBRELLA``, when the file names it.
        is_text: whether they are one text instead of a map.
        is_list: whether they are a list of names and values, as Helm's ``--set`` takes them.
    """

    path: Path
    chart: str | None
    is_text: bool = False
    is_list: bool = False


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

    The fields are those of Flux's ``helm.toolkit.fluxcd.io/v2``, Argo CD's ``argoproj.io/v1alpha1``, kustomize's
    ``helmCharts``, Helmfile's ``releases``, Rancher's ``helm.cattle.io/v1`` and Fleet, and Pulumi's ``resources``.
    """
    value = document.value
    group, kind = str(_get(value, "apiVersion")).partition("/")[0], str(_get(value, "kind"))
    known = _KINDS.get((group, kind)) or _KINDS.get(("", kind))
    if known is not None:
        return known(value)
    if kind.endswith("List") and isinstance(_get(value, "items"), list):
        return _of_list(value["items"])
    if isinstance(_get(value, "helmCharts"), list):
        return _of_kustomize(value)
    if isinstance(_get(value, "releases"), list):
        return _of_helmfile(value)
    if isinstance(_get(value, "helm", "chart"), str):
        return _of_fleet(value)
    if isinstance(value, Mapping) and value and value.keys() <= _SETS:
        return _of_sets(value)
    if isinstance(_get(value, "resources"), Mapping) and "yaml" in (
        _get(value, "runtime"),
        _get(value, "runtime", "name"),
    ):
        return _of_pulumi(value)
    return None


def as_values(document: Document, held: Held) -> Document:
    """A list of names and values as Helm makes values of them (``pkg/strvals``).

    Args:
        document: the file.
        held: where the list stands.
    """
    result: dict[str, Any] = {}
    locations: dict[Path, Location] = {(): document.location(held.path)}
    for index, entry in enumerate(document.below(*held.path).value):
        name, given = _get(entry, "name"), _get(entry, "value")
        if not isinstance(name, str):
            continue
        path = _keys(name)
        for depth in range(1, len(path) + 1):
            locations[path[:depth]] = document.location((*held.path, index))
        is_text = _get(entry, "forceString") is True or _get(entry, "type") == "string" or not isinstance(given, str)
        _put(result, path, given if is_text else _typed(given))
    return Document(result, locations)


_STEP = re.compile(r"((?:[^.\\\[]|\\.)*)((?:\[[0-9]+\])*)(?:\.|\Z)")
_MOST, _DEEPEST = 1000, 32
"""So many entries a list has at most here, where Helm takes 65536, and so deep a name nests."""


def _keys(name: str) -> Path:
    """A name in its parts: dots nest, ``[0]`` is an entry of a list, and a backslash takes a dot its meaning."""
    path: list[str | int] = []
    at = 0
    while at < len(name):
        step = _STEP.match(name, at)
        numbers = [int(each) for each in re.findall("[0-9]+", step[2])] if step is not None else []
        if step is None or any(number >= _MOST for number in numbers) or len(path) + len(numbers) >= _DEEPEST:
            return (name,)
        path += [re.sub(r"\\(.)", r"\1", step[1]), *numbers]
        at = step.end()
    return tuple(path) or (name,)


def _put(result: dict[str, Any], path: Path, given: Any) -> None:
    """Set a value; lists and maps around it are made as they are needed."""
    inside: Any = result
    for key, following in zip(path, (*path[1:], None), strict=True):
        if isinstance(key, int):
            inside.extend([None] * (key + 1 - len(inside)))
        there = inside[key] if isinstance(key, int) else inside.get(key)
        kind = list if isinstance(following, int) else dict
        if following is None:
            inside[key] = given
        elif isinstance(there, kind):
            inside = there
        else:
            inside[key] = kind()
            inside = inside[key]


_NAMED = {"true": True, "false": False, "null": None}
_WHOLE = re.compile(r"0|[-+]?[1-9][0-9]{0,18}|[-+]0[0-9]{0,17}")


def _typed(text: str) -> Any:
    """A text as ``--set`` reads it: only true, false, null, whole numbers and lists in braces are not texts."""
    if text.startswith("{") and text.endswith("}"):
        return [_typed(each) for each in text[1:-1].split(",")]
    if text.lower() in _NAMED:
        return _NAMED[text.lower()]
    return int(text) if _WHOLE.fullmatch(text) else text


def _of_list(items: list[Any]) -> Holder | None:
    """What `kubectl get` shows of several objects."""
    found = [(index, each) for index, item in enumerate(items) if (each := holder(Document(item, {}))) is not None]
    if not found:
        return None
    return Holder(
        " and ".join(dict.fromkeys(each.kind for _, each in found)),
        [held._replace(path=("items", index, *held.path)) for index, each in found for held in each.held],
        [("items", index, *path) for index, each in found for path in each.unseen],
    )


def _of_config_map(value: Any) -> Holder | None:
    """What Flux reads by ``valuesFrom``."""
    texts = {key: text for key in _KEYS_OF_VALUES if isinstance(text := _get(value, "data", key), str)}
    return Holder("a ConfigMap", [Held(("data", key), None, is_text=True) for key in texts], []) if texts else None


_KEYS_OF_VALUES = ("values.yaml", "values.yml")


def _of_flux(value: Any) -> Holder:
    chart = _known(_get(value, "spec", "chart", "spec", "chart")) or _known(_get(value, "spec", "chartRef", "name"))
    return Holder(
        "a HelmRelease of Flux", _maps(value, ("spec", "values"), chart), _there(value, ("spec", "valuesFrom"))
    )


def _of_argo(at: Path, kind: str) -> Callable[[Any], Holder]:
    def made(value: Any) -> Holder:
        found = Holder(kind, [], [])
        for path, source in _sources(value, at):
            chart = _known(_get(source, "chart") or str(_get(source, "path") or "").rstrip("/"))
            for key in ("valuesObject", "values"):
                given = _get(source, "helm", key)
                if given is not None:
                    is_text = key == "values" and isinstance(given, str)
                    found.held.append(Held((*path, "helm", key), chart, is_text=is_text))
            if isinstance(_get(source, "helm", "parameters"), list):
                found.held.append(Held((*path, "helm", "parameters"), chart, is_list=True))
            found.unseen.extend(
                (*path, "helm", key) for key in ("valueFiles", "fileParameters") if _get(source, "helm", key)
            )
        return found

    return made


def _sources(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    spec = _get(value, *at)
    if (one := _get(spec, "source")) is not None:
        yield (*at, "source"), one
    several = _get(spec, "sources")
    for index, each in enumerate(several if isinstance(several, list) else ()):
        yield (*at, "sources", index), each


def _of_kustomize(value: Any) -> Holder:
    found = Holder("a kustomization with Helm charts", [], [])
    for index, each in _ours(value["helmCharts"], "name"):
        path: Path = ("helmCharts", index)
        found.held.extend(_maps(value, (*path, "valuesInline"), _known(each["name"])))
        for key in ("valuesFile", "additionalValuesFiles"):
            found.unseen.extend(_there(value, (*path, key)))
    return found


def _of_generator(value: Any) -> Holder:
    chart = _known(_get(value, "chartName") or _get(value, "name"))
    held = [each for key in ("valuesInline", "values") for each in _maps(value, (key,), chart)]
    return Holder("a HelmChartInflationGenerator of kustomize", held, _there(value, ("valuesFile",)))


def _of_helmfile(value: Any) -> Holder:
    found = Holder("a Helmfile", [], [])
    for index, each in _ours(value["releases"], "chart"):
        chart, path = _known(each["chart"]), ("releases", index)
        given = each.get("values")
        for number, inner in enumerate(given if isinstance(given, list) else ()):
            if isinstance(inner, Mapping):
                found.held.append(Held((*path, "values", number), chart))
            else:
                found.unseen.append((*path, "values", number))
        if isinstance(each.get("set"), list):
            found.held.append(Held((*path, "set"), chart, is_list=True))
    return found


def _of_rancher(value: Any) -> Holder:
    chart = _known(_get(value, "spec", "chart") or _get(value, "metadata", "name"))
    found = Holder(f"a {value['kind']} of Rancher", _maps(value, ("spec", "values"), chart), [])
    if isinstance(_get(value, "spec", "valuesContent"), str):
        found.held.append(Held(("spec", "valuesContent"), chart, is_text=True))
    found.unseen.extend(path for key in ("set", "valuesSecrets") for path in _there(value, ("spec", key)))
    return found


def _of_fleet(value: Any) -> Holder:
    held = _maps(value, ("helm", "values"), _known(value["helm"]["chart"]))
    unseen = [path for key in ("valuesFiles", "valuesFrom") for path in _there(value, ("helm", key))]
    return Holder("a fleet.yaml of Rancher", held, unseen)


def _of_pulumi(value: Any) -> Holder:
    found = Holder("a program of Pulumi", [], [])
    for name, each in value["resources"].items():
        if str(_get(each, "type")).startswith("kubernetes:helm.sh/"):
            chart = _known(_get(each, "properties", "chart"))
            found.held.extend(_maps(value, ("resources", name, "properties", "values"), chart))
            found.unseen.extend(_there(value, ("resources", name, "properties", "valueYamlFiles")))
    return found


_SETS = frozenset({"set", "set_sensitive", "set_list"})
"""Terraform's arguments of a ``helm_release``, as people copy them."""


def _of_sets(value: Any) -> Holder:
    held = [Held((key,), None, is_list=True) for key, given in value.items() if isinstance(given, list)]
    return Holder("Terraform's list of names and values", held, [])


_KINDS: Mapping[tuple[str, str], Callable[[Any], Holder | None]] = {
    ("helm.toolkit.fluxcd.io", "HelmRelease"): _of_flux,
    ("argoproj.io", "Application"): _of_argo(("spec",), "an Application of Argo CD"),
    ("argoproj.io", "ApplicationSet"): _of_argo(("spec", "template", "spec"), "an ApplicationSet of Argo CD"),
    ("helm.cattle.io", "HelmChart"): _of_rancher,
    ("helm.cattle.io", "HelmChartConfig"): _of_rancher,
    ("", "HelmChartInflationGenerator"): _of_generator,
    ("v1", "ConfigMap"): _of_config_map,
}


_ARCHIVE = re.compile(r"-v?[0-9]+[.][^/]*[.]tgz")


def _ours(entries: list[Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The entries of a list that name one of our charts; all others are somebody else's."""
    for index, each in enumerate(entries):
        if isinstance(each, Mapping) and _known(each.get(key)) is not None:
            yield index, each


def _maps(value: Any, path: Path, chart: str | None) -> list[Held]:
    return [Held(path, chart)] if _get(value, *path) is not None else []


def _there(value: Any, path: Path) -> list[Path]:
    return [path] if _get(value, *path) else []


def _known(chart: Any) -> str | None:
    """The chart that a reference names: alone, in a repository, in a folder, or in a registry with its tag."""
    name = _ARCHIVE.sub("", str(chart).rpartition("/")[2].partition(":")[0])
    return name if name in (*CHARTS, UMBRELLA) else None


def _get(value: Any, *keys: str | int) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value
