"""Parses plan files (YAML). Every mistake has its line. The shape is ``schemas/plan/plan.schema.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Any

from moorage.files import schemas
from moorage.files.mistakes import FileMistakes, Mistake, Path
from moorage.files.yamlfile import Document, parse
from moorage.objects import Taint
from moorage.protocol import BindWhen, Owner, PodRef, Promise, Slot, validate

from .plan import Plan, PlannedNode, Rebalance, Wanted

REBALANCE = "rebalance"
"""The kind of a plan that drains nodes."""
DEADLINE = timedelta(minutes=8)
"""Below the 10 minutes of a Deployment's progressDeadlineSeconds: pods that come late go elsewhere before their rollout
is reported failed (apps/v1, ``SetDefaults_Deployment``)."""
DRAIN_DEADLINE = timedelta(hours=1)
MAX_DEADLINE = timedelta(hours=24)
MAX_NODES = 5000

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_MACHINE_KEYS = (
    "template",
    "allocatable",
    "labels",
    "taints",
    "startupTaints",
    "bindWhen",
    "profile",
    "providerID",
    "nodeClaim",
    "matchLabels",
    "allowNewZone",
    "staticPods",
)
_ONE_MACHINE = ("providerID", "nodeClaim")
"""Fields that belong to one machine only."""
_MACHINE_MAPS = ("allocatable", "labels", "matchLabels", "staticPods")


def read(name: str, data: bytes) -> Plan:
    """Parse the content of a file into a plan.

    Args:
        name: the file's name, for messages and as the default name of the plan.
        data: the content.

    Raises:
        FileMistakes: the content is not a valid plan.
    """
    document = parse(name, data)
    if document.value is None:
        raise FileMistakes(name, [Mistake(0, "the file is empty; a plan has at least one of nodes, delete, release")])
    return of_document(name, document, digest=hashlib.sha256(data).hexdigest())


def of_document(name: str, document: Document, *, digest: str) -> Plan:
    """Build a plan from a parsed document, for example from one key of another file.

    Args:
        name: as for ``read``.
        document: a mapping with the location of each value.
        digest: identifies the content.

    Raises:
        FileMistakes: the document is not a valid plan.
    """
    if mistakes := list(schemas.mistakes("plan.schema.json", document, document.value)):
        raise FileMistakes(name, mistakes)
    reader = _Reader(document)
    plan = reader.plan(default_name=_plan_name(name), digest=digest)
    if reader.mistakes:
        raise FileMistakes(name, reader.mistakes)
    return plan


def _plan_name(file: str) -> str:
    return FilePath(file).stem[:63] or "plan"


class _Reader:
    """Converts a document of the right shape into a plan, and collects the mistakes that a schema cannot find."""

    def __init__(self, document: Document) -> None:
        self.mistakes: list[Mistake] = []
        self._document = document
        self._root: Mapping[str, Any] = document.value
        self._templates: Mapping[str, Any] = self._root.get("templates", {})
        self._node_lines: dict[str, int] = {}
        self._pod_lines: dict[PodRef, int] = {}
        self._instance_lines: dict[tuple[str, str], int] = {}

    def plan(self, *, default_name: str, digest: str) -> Plan:
        nodes = tuple(self._nodes())
        return Plan(
            name=self._root.get("plan", default_name),
            digest=digest,
            lasting=self._deadline("deadline", DEADLINE),
            nodes=nodes,
            fill=tuple(
                self._wanted(entry, ("fill", index), count=entry.get("perNode"))
                for index, entry in enumerate(self._root.get("fill", ()))
            ),
            delete=self._names("delete"),
            release=self._names("release"),
            rebalance=self._rebalance(nodes),
        )

    def _wrong(self, path: Path, sentence: str) -> None:
        self.mistakes.append(self._document.mistake(path, sentence))

    def _deadline(self, key: str, default: timedelta) -> timedelta:
        text = self._root.get(key)
        if text is None:
            return default
        amount = int(text[:-1]) if len(text) <= 9 else 10**9
        if not 0 < amount * {"s": 1, "m": 60, "h": 3600}[text[-1]] <= MAX_DEADLINE.total_seconds():
            self._wrong((key,), f"{key}: {text[:20]} is not more than 0 and at most 24h")
            return default
        return timedelta(**{_UNITS[text[-1]]: amount})

    def _names(self, key: str) -> tuple[str, ...]:
        names = self._root.get(key, ())
        for index, name in enumerate(names):
            if sentence := validate.subdomain_problem(name):
                self._wrong((key, index), f"{key}: {sentence}")
            if name in self._node_lines:
                self._wrong((key, index), f"{key}: node {name} is planned in line {self._node_lines[name]}, too")
        return tuple(names)

    def _rebalance(self, nodes: tuple[PlannedNode, ...]) -> Rebalance | None:
        """The nodes to drain; None for a plan of another kind, which must not name any."""
        if self._root.get("kind") != REBALANCE:
            for key in ("drain", "drainDeadline"):
                if key in self._root:
                    self._wrong((key,), f"{key}: only in a plan of kind {REBALANCE}; add kind: {REBALANCE}")
            return None
        for key in ("fill", "delete", "release"):
            if key in self._root:
                self._wrong((key,), f"{key}: not in a plan of kind {REBALANCE}; serve it with a plan of its own")
        for index, entry in enumerate(self._root.get("nodes", ())):
            if entry.get("existing"):
                self._wrong(("nodes", index, "existing"), f"existing: a plan of kind {REBALANCE} creates its nodes")
        if "drain" not in self._root:
            self._wrong(("kind",), f"drain is missing: a plan of kind {REBALANCE} says which nodes are emptied")
        if not nodes and not self.mistakes:
            self._wrong(("kind",), f"nodes is empty: a plan of kind {REBALANCE} says where the pods are to go")
        drain = self._names("drain")
        for index, name in enumerate(drain):
            if name in drain[:index]:
                self._wrong(("drain", index), f"drain: node {name} is there already")
        return Rebalance(drain, self._deadline("drainDeadline", DRAIN_DEADLINE))

    def _nodes(self) -> Iterator[PlannedNode]:
        total = 0
        for index, entry in enumerate(self._root.get("nodes", ())):
            path: Path = ("nodes", index)
            count = entry.get("count", 1)
            total += count
            if total > MAX_NODES:
                self._wrong(path, f"more than {MAX_NODES} nodes")
                return
            numbered = "count" in entry
            if numbered and "{}" not in entry["name"]:
                self._wrong((*path, "name"), "name: with count, {} in it must stand for the number")
                continue
            node = self._node(entry, path)
            if node is None:
                continue
            for number in range(1, count + 1):
                name = entry["name"].replace("{}", str(number)) if numbered else entry["name"]
                if self._is_new(name, path, node):
                    yield _named(node, name)

    def _is_new(self, name: str, path: Path, node: PlannedNode) -> bool:
        where = (*path, "name")
        known = self._node_lines.get(name)
        self._node_lines.setdefault(name, self._document.line(where))
        sentence = validate.subdomain_problem(name)
        if not sentence and node.promise is not None and not node.late:
            sentence = validate.registration_problem(name, node.promise.labels)
        if sentence:
            self._wrong(where, f"name: {sentence}")
        elif known is not None:
            self._wrong(where, f"name: node {name} is there already, in line {known}")
        return not sentence and known is None

    def _node(self, entry: Mapping[str, Any], path: Path) -> PlannedNode | None:
        """A node without its name; None when its template is unknown."""
        template_name = entry.get("template")
        if template_name is not None and template_name not in self._templates:
            known = ", ".join(self._templates) or "there are none"
            self._wrong((*path, "template"), f"template: {template_name!r} is none of the templates ({known})")
            return None
        existing = entry.get("existing", False)
        if existing:
            for key in _MACHINE_KEYS:
                if key in entry:
                    self._wrong((*path, key), f"{key}: not for an existing node, it has its own")
            promise = None
        else:
            promise = self._promise(entry, path)
        return PlannedNode("", promise, tuple(self._pods(entry, path)), tuple(self._slots(entry, path)))

    def _promise(self, entry: Mapping[str, Any], path: Path) -> Promise:
        template = self._templates.get(entry.get("template", ""), {})
        machine = {**template, **entry}
        for key in _MACHINE_MAPS:
            machine[key] = {**template.get(key, {}), **entry.get(key, {})}
        promise = Promise(
            name="n",
            allocatable={resource: _quantity(value) for resource, value in machine["allocatable"].items()},
            labels=machine["labels"],
            taints=_taints(machine.get("taints", ())),
            startup_taints=_taints(machine.get("startupTaints", ())),
            provider_id=machine.get("providerID", ""),
            profile=machine.get("profile", ""),
            node_claim=machine.get("nodeClaim", ""),
            match_labels=machine["matchLabels"],
            allow_new_zone=machine.get("allowNewZone", False),
            static_pods={resource: _quantity(value) for resource, value in machine["staticPods"].items()},
            bind_when=BindWhen(machine.get("bindWhen", BindWhen.IMMEDIATELY.value)),
        )
        self._instance(entry, path)
        for problem in validate.promise_problems(promise):
            where = (*path, *problem.path)
            in_template = ("templates", entry.get("template", ""), *problem.path)
            line = where if where in self._document.locations else in_template
            self._wrong(line if line in self._document.locations else path, str(problem))
        return promise

    def _instance(self, entry: Mapping[str, Any], path: Path) -> None:
        """Find instances that several nodes are to be."""
        for key in _ONE_MACHINE:
            named, where = entry.get(key, ""), (*path, key)
            known = self._instance_lines.get((key, named))
            if not named:
                continue
            self._instance_lines.setdefault((key, named), self._document.line(where))
            if entry.get("count", 1) > 1:
                self._wrong(where, f"{key}: it belongs to one machine, and count asks for {entry['count']}")
            elif known is not None:
                self._wrong(where, f"{key}: {named} is the instance of another node already, in line {known}")

    def _pods(self, entry: Mapping[str, Any], path: Path) -> Iterator[Wanted]:
        for index, pods in enumerate(entry.get("pods", ())):
            where: Path = (*path, "pods", index)
            wanted = self._wanted(pods, where, count=pods.get("count", 1))
            if wanted.name and ("count" in pods or "count" in entry):
                self._wrong(where, "pods: one pod cannot be on several nodes; leave count out, or name an owner")
            if wanted.uid and not wanted.name:
                self._wrong((*where, "uid"), "uid: only together with name")
            if wanted.name:
                self._once(PodRef(wanted.namespace, wanted.name, wanted.uid), where)
            yield wanted

    def _once(self, pod: PodRef, path: Path) -> None:
        key = replace(pod, uid="")
        known = self._pod_lines.get(key)
        self._pod_lines.setdefault(key, self._document.line(path))
        if known is not None:
            self._wrong(path, f"pods: {pod} is planned already, in line {known}")
        if sentence := validate.subdomain_problem(pod.name):
            self._wrong((*path, "name"), f"name: {sentence}")

    def _wanted(self, entry: Mapping[str, Any], path: Path, *, count: int | None) -> Wanted:
        namespace = entry["namespace"]
        if sentence := validate.namespace_problem(namespace):
            self._wrong((*path, "namespace"), f"namespace: {sentence}")
        return Wanted(
            namespace=namespace,
            name=entry.get("name", ""),
            uid=entry.get("uid", ""),
            owner=_owner(namespace, entry["owner"]) if "owner" in entry else None,
            labels=tuple(sorted(entry.get("labels", {}).items())),
            count=count,
            line=self._document.line(path),
        )

    def _slots(self, entry: Mapping[str, Any], path: Path) -> Iterator[Slot]:
        for index, slot in enumerate(entry.get("expect", ())):
            where: Path = (*path, "expect", index)
            if sentence := validate.namespace_problem(slot["namespace"]):
                self._wrong((*where, "namespace"), f"namespace: {sentence}")
            requests = {resource: _quantity(value) for resource, value in slot["requests"].items()}
            for problem in validate.quantity_problems(requests, "requests"):
                self._wrong((*where, *problem.path), str(problem))
            yield Slot(_owner(slot["namespace"], slot["owner"]), requests, slot.get("count", 1))


def _named(node: PlannedNode, name: str) -> PlannedNode:
    promise = replace(node.promise, name=name) if node.promise is not None else None
    return replace(node, name=name, promise=promise)


def _owner(namespace: str, text: str) -> Owner:
    kind, _, name = text.partition("/")
    return Owner(kind, namespace, name)


def _quantity(value: object) -> str:
    """The quantity as the user wrote it, or as YAML parsed it: 4 and 1.5 are numbers, 16Gi is a text."""
    return str(value)


def _taints(taints: Any) -> tuple[Taint, ...]:
    return tuple(Taint(key=taint["key"], value=taint.get("value", ""), effect=taint["effect"]) for taint in taints)
