"""A small cluster with every kind of object, and its evaluation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from moorage.evictor import kinds
from moorage.evictor.compaction import History, Settings
from moorage.evictor.configuration import Configuration
from moorage.evictor.evaluation import Evaluation, evaluate
from moorage.evictor.inventory import Inventory
from moorage.kube.unreadable import Unreadable
from moorage.objects import KubeObject, Workload
from tests.unit.evictor.build import NOW, Json, controller, merged, owner, pod
from tests.unit.evictor.compaction.build import replica, replica_set, room

ALL = Configuration(choice=Settings(most=None, percentage=100, utilisation=1.0))
WHERE = "a dump"
_TYPES = {each.kind: each.type for each in kinds.KINDS}
_NAMESPACE: Json = {"kind": "Namespace", "metadata": {"name": "shop"}}


def inventory(*manifests: Json, without: tuple[str, ...] = (), now: datetime = NOW) -> Inventory:
    """What is known of a cluster with these objects."""
    found: dict[str, dict[str, KubeObject]] = {}
    for manifest in (_NAMESPACE, *manifests):
        thing = msgspec.convert(manifest, _TYPES[manifest["kind"]])
        found.setdefault(manifest["kind"], {})[thing.key] = thing
    return Inventory(now, found, {kind: f"may not list {kind}" for kind in without})


def seen(*manifests: Json, configuration: Configuration = ALL, **more: Any) -> Evaluation:
    """The evaluation of the cluster."""
    return evaluate(inventory(*manifests, **more), configuration, History())


def typed(name: str, zone: str, spot: bool = False, **change: Any) -> Json:
    """A node with all the labels that are shown."""
    labels = {"node.kubernetes.io/instance-type": "m5.xlarge", "topology.kubernetes.io/zone": zone}
    if spot:
        labels["karpenter.sh/capacity-type"] = "spot"
    return merged(room(name, metadata={"labels": labels}), change)


def agent(on: str) -> Json:
    """A pod of a DaemonSet."""
    return pod(f"agent-{on}", of=owner("DaemonSet", "agent"), on=on)


PROTECTED: Json = {"metadata": {"annotations": {"autoscaling.cast.ai/removal-disabled": "true"}}}
SMALL: tuple[Json, ...] = (
    typed("n1", "a"),
    typed("n2", "b", spot=True),
    typed("n3", "a"),
    typed("n4", "a", **PROTECTED),
    typed("n5", "b"),
    typed("n6", "b"),
    replica("web-a", "n1"),
    replica("web-b", "n3"),
    replica("web-c", "n3"),
    pod("db-0", of=owner("StatefulSet", "db"), on="n3"),
    pod("db-1", of=owner("StatefulSet", "db"), on="n5"),
    merged(pod("tool", on="n5"), PROTECTED),
    replica("big", "n6", cpu="4", of="big-1"),
    agent("n1"),
    agent("n3"),
    replica_set(),
    replica_set("big-1", replicas=2),
    controller("StatefulSet", "db", spec={"replicas": 2}),
    controller("DaemonSet", "agent"),
    pod(
        "waits",
        of=owner("ReplicaSet", "web-1"),
        on="",
        spec={"nodeSelector": {"disk": "ssd"}},
        status={"phase": "Pending"},
    ),
)
"""One node is empty, one can be emptied, and four stay, each for a reason of its own."""


def small() -> Evaluation:
    """The small cluster, of which one kind could not be listed and one object not be read."""
    found = inventory(*SMALL, without=("CronJob",), now=NOW.astimezone(UTC))
    odd = Workload()
    unread = Unreadable("shop/odd", "uid-odd", "1", "spec.replicas: no number", odd, ("spec",))
    return evaluate(Inventory(found.now, found.objects, found.unseen, {"Job": {"shop/odd": unread}}), ALL, History())
