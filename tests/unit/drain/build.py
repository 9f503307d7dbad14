"""Nodes, pods, workloads and budgets for the pure tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from moorage.drain import ClusterState, OnNode, Settings, Stance
from moorage.drain.answers import Answer, Meaning
from moorage.drain.evictions import Evictions
from moorage.drain.names import DRAIN_ANNOTATION, Mark, Phase, written
from moorage.drain.observation import Observation
from moorage.objects import Node, Pod, PodDisruptionBudget, Workload

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
NS = "shop"
US = "castai-agent/castai-evictor"


def at(seconds: float) -> str:
    """A time so many seconds from now, as the API server writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner(kind: str, name: str, version: str = "apps/v1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def pod(
    name: str,
    of: dict[str, Any] | None = None,
    *,
    on: str = "n",
    ready: float | None = -60.0,
    created: float = -3600.0,
    going: bool = False,
    phase: str = "Running",
    **labels: str,
) -> Pod:
    """A pod that has been ready since so many seconds from now; None: it is not."""
    condition = {"type": "Ready", "status": "False" if ready is None else "True", "lastTransitionTime": at(ready or 0)}
    meta: dict[str, Any] = {"name": name, "namespace": NS, "uid": f"uid-{name}", "labels": labels}
    meta |= {"creationTimestamp": at(created), "ownerReferences": [of] if of else []}
    if going:
        meta["deletionTimestamp"] = at(30)
    found = {"metadata": meta, "spec": {"nodeName": on}, "status": {"phase": phase, "conditions": [condition]}}
    return msgspec.convert(found, Pod)


def workload(name: str, replicas: int | None, of: dict[str, Any] | None = None, **spec: Any) -> Workload:
    meta = {"name": name, "namespace": NS, "uid": f"uid-{name}", "ownerReferences": [of] if of else []}
    return msgspec.convert({"metadata": meta, "spec": {"replicas": replicas, **spec}}, Workload)


def rolling(unavailable: int | str | None, kind: str = "RollingUpdate") -> dict[str, Any]:
    return {"type": kind, "rollingUpdate": {"maxUnavailable": unavailable}}


def budget(
    name: str,
    desired: int,
    allowed: int,
    *,
    generation: int = 1,
    disrupted: Iterable[str] = (),
    policy: str = "",
    labels: dict[str, str] | None = None,
) -> PodDisruptionBudget:
    """A budget of the pods labelled app=web."""
    selector = {"matchLabels": labels or {"app": "web"}}
    spec = {"selector": selector, "unhealthyPodEvictionPolicy": policy}
    status = {"observedGeneration": 1, "desiredHealthy": desired, "disruptionsAllowed": allowed}
    status["disruptedPods"] = {each: at(0) for each in disrupted}  # type: ignore[assignment]
    meta = {"name": name, "namespace": NS, "generation": generation}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": status}, PodDisruptionBudget)


def deployed(
    name: str, replicas: int, unavailable: int | str = 1, min_ready: int = 0
) -> dict[str, dict[str, Workload]]:
    """A Deployment with its ReplicaSet, as ``ClusterState.workloads`` has them."""
    top = workload(name, replicas, strategy=rolling(unavailable))
    maker = workload(f"{name}-1", replicas, owner("Deployment", name), minReadySeconds=min_ready)
    return {"Deployment": {top.key: top}, "ReplicaSet": {maker.key: maker}}


def cluster(
    *pods: Pod, workloads: Any = None, budgets: Iterable[PodDisruptionBudget] = (), **more: Any
) -> ClusterState:
    return ClusterState(NOW, {}, pods, workloads or {}, {each.key: each for each in budgets}, **more)


def node(mark: Mark | None = None, *, ready: bool = True, **spec: Any) -> Node:
    """A node; with the soft taint and the cordon that its mark says."""
    annotations = {DRAIN_ANNOTATION: written(mark)} if mark is not None else {}
    if mark is not None and mark.tainted:
        spec.setdefault("taints", [{"key": "evictor.cast.ai/evicted", "value": "true", "effect": "PreferNoSchedule"}])
    if mark is not None and mark.cordoned:
        spec.setdefault("unschedulable", True)
    meta = {"name": "n", "uid": "uid-n", "resourceVersion": "1", "annotations": annotations}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"conditions": conditions}}, Node)


def mark(phase: Phase, *, seconds: float = 0.0, **said: Any) -> Mark:
    """Our mark, as old as so many seconds."""
    said = {"tainted": not phase.over, "cordoned": phase is Phase.DRAINING, **said}
    return Mark(said.pop("by", US), "c1", phase, NOW - timedelta(seconds=seconds), **said)


def observed(of: Node | None, *pods: OnNode, **more: Any) -> Observation:
    settings = more.pop("settings", Settings())
    return Observation("n", NOW, of, pods, US, settings, **more)


def moves(found: Pod, *, exempt: bool = False) -> OnNode:
    return OnNode(found, Stance.MOVES, exempt)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ledger() -> tuple[Evictions, Clock]:
    clock = Clock()
    return Evictions(Settings(), clock), clock


def answered(meaning: Meaning, text: str = "no") -> Answer:
    return Answer(meaning, text)
