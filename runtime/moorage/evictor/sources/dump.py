"""All objects of a cluster from the output of ``kubectl get -o json``, without access to the cluster.

Objects are read like answers of an API server: a malformed field makes only the verdicts unknown that it could change.
A malformed file is an error, because half a dump would show nodes without pods.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from moorage.evictor import kinds
from moorage.evictor.effective_configuration import ConfigurationMistake, ConfigurationSources, text_of
from moorage.evictor.inventory import Inventory
from moorage.files import prices, rules
from moorage.kube.errors import UNREADABLE
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.kube.wire import lenient
from moorage.objects import KubeObject

from . import dump_time, missing_kinds
from .command import COMMAND
from .dumpfile import DumpError, Item, content, items, shown
from .result import ConfigMaps, SourceResult

__all__ = ["DumpError", "read"]

_RESOURCES = {each.kind: each for each in kinds.KINDS}
_OLD_GROUPS = {"extensions": "apps"}
"""Where kinds were before."""
_IGNORED = frozenset(("Lease",))
"""Kinds of which only the times are of use."""
_SHOWN = 8
_CONFIG = "EvictorConfig"
_KIND = re.compile("[A-Za-z0-9]{1,63}")


class _Resource(NamedTuple):
    """How a kind is read."""

    resource: Resource[Any]
    decoder: msgspec.json.Decoder[Any]


_READERS = {kind: _Resource(each, msgspec.json.Decoder(each.type)) for kind, each in _RESOURCES.items()}
_config_map = msgspec.json.Decoder(kinds.ConfigMap)
_object = msgspec.json.Decoder(KubeObject)


def read(names: Sequence[str], where: ConfigMaps, progress: Callable[[str], None] = lambda _: None) -> SourceResult:
    """Read dumps of one cluster.

    Args:
        names: files, ``-`` is standard input; together they are one dump.
        where: where rules and prices are.
        progress: called with the name of each file.

    Raises:
        DumpError: a dump cannot be read.
    """
    there = _There(where)
    now: list[datetime] = []
    written: list[datetime] = []
    for name in dict.fromkeys(names):
        progress(f"reading {shown(name)}")
        data, moment = content(name)
        written.append(moment)
        for item in items(name, data):
            there.add(name, item)
        if (newest := dump_time.newest(data, datetime.now(UTC))) is not None:
            now.append(newest)
        del data  # not two files at once
    return there.gathered(names, max(now, default=None), max(written))


@dataclass
class _There:
    """The objects that were read so far."""

    where: ConfigMaps
    objects: dict[str, dict[str, KubeObject]] = field(default_factory=dict)
    unread: dict[str, dict[str, Unreadable[Any]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    namespaces: set[str] = field(default_factory=set)
    texts: dict[str, str | ConfigurationMistake] = field(default_factory=dict)
    resource: Any = None
    wrong: list[ConfigurationMistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, item: Item) -> None:
        """Add an object."""
        if not item.kind or not item.api_version:
            missing = "kind" if not item.kind else "apiVersion"
            raise DumpError(name, f"{item.place} has no {missing}, so that nobody can tell what it is")
        reader = _READERS.get(item.kind)
        group, version = _group(item.api_version), item.api_version
        if reader is not None and group == _group(reader.resource.group_version):
            if version == reader.resource.group_version:
                self._take(name, item, reader)
            else:
                self.versions[item.kind] = version
        elif reader is not None and _OLD_GROUPS.get(group) == _group(reader.resource.group_version):
            self.versions[item.kind] = version
        else:
            self._add_other(item)

    def _take(self, name: str, item: Item, reader: _Resource) -> None:
        found = _decoded(name, item, reader)
        thing = found.rest if isinstance(found, Unreadable) else found
        meta = thing.metadata
        if not meta.name or (reader.resource.namespaced and not meta.namespace):
            raise DumpError(name, f"{item.place} is a {item.kind} without a {'namespace' if meta.name else 'name'}")
        if meta.namespace and not reader.resource.namespaced:
            raise DumpError(name, f"{item.place} is a {item.kind} in a namespace, and these are in none")
        if meta.namespace:
            self.namespaces.add(meta.namespace)
        self._refuse_another(name, item, thing)
        kept = self.unread if isinstance(found, Unreadable) else self.objects
        for each in (self.objects, self.unread):
            each.setdefault(item.kind, {}).pop(thing.key, None)
        kept[item.kind][thing.key] = found

    def _refuse_another(self, name: str, item: Item, thing: KubeObject) -> None:
        """Two files may have the same object; different objects of one name are of two clusters, or of two times."""
        before = self.objects.get(item.kind, {}).get(thing.key)
        if before is not None and before.metadata.uid != thing.metadata.uid:
            sentence = (
                f"{item.place}, {item.kind} {thing.key}, is there twice with different uids. Dumps of one cluster"
            )
            raise DumpError(name, f"{sentence} and of one time can be looked at together")

    def _add_other(self, item: Item) -> None:
        """An object of another kind: it may be configuration, or show which namespaces the dump has."""
        try:
            meta = lenient.decode(item.data, _object).metadata
        except UNREADABLE:
            meta = KubeObject().metadata
        if meta.namespace:
            self.namespaces.add(meta.namespace)
        if item.kind == _CONFIG and _group(item.api_version) == "autoscaling.cast.ai":
            if meta.name == rules.NAME:
                self._add_resource(item)
        elif (item.kind, item.api_version) == ("ConfigMap", "v1"):
            self._add_config_map(item, meta.namespace, meta.name)
        elif item.kind not in _IGNORED:
            self.unknown[item.kind if _KIND.fullmatch(item.kind) else "of odd kinds"] += 1

    def _add_resource(self, item: Item) -> None:
        try:
            self.resource = msgspec.json.decode(item.data)
        except UNREADABLE as error:
            self.wrong.append(ConfigurationMistake(f"{_CONFIG} {rules.NAME}", "", f"cannot be read: {error}"))

    def _add_config_map(self, item: Item, namespace: str, name: str) -> None:
        keys = {self.where.rules: rules.KEY, self.where.prices: prices.KEY}
        if name not in keys:
            return
        if namespace != self.where.namespace:
            self.notes.append(f"ConfigMap {namespace}/{name} is not read: --namespace is {self.where.namespace}")
            return
        source = f"ConfigMap {namespace}/{name}"
        try:
            self.texts[name] = text_of(lenient.decode(item.data, _config_map).data, keys[name], source)
        except UNREADABLE:
            self.texts[name] = ConfigurationMistake(source, "data", "is no map of texts")

    def gathered(self, names: Sequence[str], now: datetime | None, written: datetime) -> SourceResult:
        """Return the result.

        Args:
            names: of the files.
            now: the newest time in them.
            written: when the newest of them was written.
        """
        source = ", ".join(shown(name) for name in dict.fromkeys(names))
        things = {kind: list(found.values()) for kind, found in self.objects.items()}
        for kind, odd in self.unread.items():
            things.setdefault(kind, []).extend(each.rest for each in odd.values())
        for kind in ("Node", "Pod"):
            if not things.get(kind):
                raise DumpError(
                    source, f"has no {kind}, so that there is nothing to look at. Write a whole one: {COMMAND}"
                )
        unseen = {kind: _another_version(kind, version) for kind, version in sorted(self.versions.items())}
        unseen |= {kind: why for kind, why in missing_kinds.unseen(things, unseen).items() if kind not in unseen}
        unseen |= dict(self._one_namespace())
        moment = now or written
        inventory = Inventory(moment, self.objects, unseen, {kind: odd for kind, odd in self.unread.items() if odd})
        origin = f"{source}, by {'the newest time in it' if now is not None else 'when it was written'}"
        return SourceResult(inventory, self._found(), origin, (*self._notes(things, unseen), *self.notes))

    def _one_namespace(self) -> Iterator[tuple[str, str]]:
        """Every cluster has Leases in kube-system and kube-node-lease, if the dump has all namespaces."""
        if len(self.namespaces) == 1:
            (only,) = self.namespaces
            yield "Pod", f"all of the dump is of namespace {only}: was -A left out?"

    def _found(self) -> ConfigurationSources:
        read = {key: self.texts.get(key) for key in (self.where.rules, self.where.prices)}
        texts = {key: text for key, text in read.items() if isinstance(text, str)}
        wrong = (*self.wrong, *(text for text in read.values() if isinstance(text, ConfigurationMistake)))
        return ConfigurationSources(texts.get(self.where.rules), texts.get(self.where.prices), self.resource, wrong)

    def _notes(self, things: missing_kinds.Objects, unseen: dict[str, str]) -> Iterator[str]:
        if nothing := missing_kinds.none(things, unseen):
            yield f"none in the dump, so taken for none in the cluster: {', '.join(nothing)}"
        if self.unknown:
            most = [f"{count} {kind}" for kind, count in self.unknown.most_common(_SHOWN)]
            more = ["others"] if len(self.unknown) > _SHOWN else []
            yield f"not looked at: {', '.join((*most, *more))}"


def _decoded(name: str, item: Item, reader: _Resource) -> Any:
    try:
        try:
            found = lenient.decode(item.data, reader.decoder)
        except msgspec.ValidationError as error:
            rest, fields = lenient.decode_rest(item.data, reader.decoder)
            meta = rest.metadata
            return Unreadable(rest.key, meta.uid, meta.resource_version, str(error), rest, fields)
    except UNREADABLE as error:
        raise DumpError(name, f"{item.place}, a {item.kind}, cannot be read at all: {error}") from error
    compact = reader.resource.compact
    return compact(found) if compact is not None else found


def _another_version(kind: str, version: str) -> str:
    wanted = _RESOURCES[kind]
    number, group = wanted.group_version.rpartition("/")[2], _group(wanted.group_version)
    asked = f"{wanted.plural}.{number}.{group}" if group else wanted.plural
    return f"the dump has {version} of it, and {wanted.group_version} is read: kubectl get {asked}"


def _group(version: str) -> str:
    return version.rpartition("/")[0]
