"""Builders of what is in a cluster, for tests of ``moorage install``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from moorage.cli.installed.gathering import Hidden
from moorage.cli.installed.programs import Program
from moorage.cli.installing.judging import Plan, Step, judge
from moorage.cli.installing.releases import Release
from moorage.cli.installing.standing import EVICTOR, PINNER, PLANNER
from moorage.cli.installing.surroundings import DEFINITIONS, Surroundings
from moorage.objects import Namespace, Node

NAMESPACE = "castai-agent"
VERSION = "2.0.0"
COMMANDS = {PINNER: "pod-pinner", EVICTOR: "evictor", PLANNER: "planner"}
REFUSED = Hidden("not allowed")
RESTRICTED = msgspec.convert({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}, Namespace)


def node(name: str = "n", *, provider: str = "", ready: bool = True, labels: Mapping[str, str] | None = None) -> Node:
    """A machine."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.36.0", "operatingSystem": "linux"}}
    spec = {"providerID": provider} if provider else {}
    return msgspec.convert({"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}, Node)


def deployment(
    name: str,
    *,
    namespace: str = NAMESPACE,
    release: str = "",
    chart: str = "",
    replicas: int = 1,
    ours: str = "",
    image: str = "",
    args: list[str] | None = None,
    **labels: str,
) -> Program:
    """A Deployment.

    Args:
        name: its own.
        namespace: its own.
        release: of Helm.
        chart: of Helm, with its version.
        replicas: wanted.
        ours: the part of Moorage that it runs.
        image: that it runs.
        args: of its container.
        labels: further ones.
    """
    all_labels = {"helm.sh/chart": chart, "app.kubernetes.io/name": name, **labels}
    if ours:
        all_labels["app.kubernetes.io/part-of"] = "moorage"
    meta = {
        "name": name,
        "namespace": namespace,
        "labels": {key: value for key, value in all_labels.items() if value},
        "annotations": {"meta.helm.sh/release-name": release} if release else {},
    }
    container = {"image": image, "args": [COMMANDS[ours]] if ours else args or []}
    spec = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
    return msgspec.convert({"metadata": meta, "spec": spec}, Program)


def ours(part: str, release: str = "", version: str = VERSION, **changes: Any) -> Program:
    return deployment(part, release=release or part, chart=f"{part}-{version}", ours=part, **changes)


def closed(part: str, release: str = "", **changes: Any) -> Program:
    return deployment(part, release=release or part, chart=f"{part}-1.12.2", **changes)


def found(*programs: Program, **changes: Any) -> Surroundings:
    """A cluster of two machines of no cloud, with these Deployments."""
    empty = Surroundings(
        server="https://a.b:6443",
        namespace=NAMESPACE,
        version="1.36.0",
        groups=frozenset(),
        monitors=frozenset(),
        nodes=(node("a"), node("b")),
        space=None,
        programs=programs,
        everywhere=True,
        crons=(),
        autoscaled=None,
        rules=None,
        definitions=dict.fromkeys(DEFINITIONS),
        releases=releases(programs),
    )
    return dataclasses.replace(empty, **changes)


def releases(programs: Sequence[Program]) -> dict[str, Release]:
    """What Helm has stored of the releases that hold these Deployments."""
    found: dict[str, Release] = {}
    for each in programs:
        name = each.metadata.annotations.get("meta.helm.sh/release-name", "")
        own = each.metadata.labels.get("helm.sh/chart", "x").rpartition("-")[0]
        around = "moorage" if "app.kubernetes.io/part-of" in each.metadata.labels else "castai"
        chart = around if name in found or name in ("moorage", "castai") else own
        if name and each.metadata.namespace == NAMESPACE:
            found[name] = Release(name, "deployed", 1, chart, {})
    return found


def step(plan: Plan) -> Step:
    (only,) = plan.steps
    return only


def said(plan: Plan) -> str:
    return "\n".join([*(f"{each.thing}: {each.conclusion}" for each in plan.findings), *plan.blockers])


def values_of(*programs: Program, **changes: Any) -> Mapping[str, str]:
    return step(judge(found(*programs, **changes), VERSION)).values
