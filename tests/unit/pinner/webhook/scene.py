"""Promised nodes with expected pods of a Deployment, and the API server's reviews of such pods."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from moorage.kube.clock import ServerClock
from moorage.objects import Node, ObjectMeta, Pod
from moorage.ops.slices import at_once
from moorage.pinner.decisions.ends import Ends
from moorage.pinner.decisions.slot_reservations import Standing, judge
from moorage.pinner.decisions.sweeps import Sweeps
from moorage.pinner.names import FINALIZER, PREPARING_TAINT, RESERVATION_ANNOTATION
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.state.caches import Caches
from moorage.pinner.state.cluster import ClusterState
from moorage.pinner.webhook.mutate import Mutator
from moorage.reservations import (
    LATE,
    NodeReservation,
    Owner,
    Promise,
    Record,
    Slot,
    SlotReservation,
    Spec,
    merging,
)
from tests.unit.cluster.told import told

Json = dict[str, Any]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = "2026-01-31T12:10:00Z"
SINCE = "2026-01-31T11:59:00Z"
WEB = Owner(kind="Deployment", name="web", namespace="ns")
REVISION = "5d4f"
PROMISE = Promise(allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"}, labels={"pool": "a"}, profile="generic")


def pod(*, cpu: str = "1", **spec: Any) -> Json:
    """A pod of the Deployment as its controller sends it: without uid and name."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{REVISION}", "uid": "rs", "controller": True}
    labels = {"app": "web", "pod-template-hash": REVISION}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": f"web-{REVISION}-", "labels": labels, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}], **spec},
    }


def review(obj: Any, **more: Any) -> bytes:
    """The API server's question about the creation of a pod."""
    request = {"uid": "q", "namespace": "ns", "operation": "CREATE", "object": obj, "dryRun": False, **more}
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def patch_in(answer: bytes) -> list[Json]:
    """The patch in an answer that admits."""
    response = msgspec.json.decode(answer)["response"]
    assert (response["allowed"], response["uid"]) == (True, "q")
    if "patch" not in response:
        return []
    assert response["patchType"] == "JSONPatch"
    return cast("list[Json]", msgspec.json.decode(base64.b64decode(response["patch"])))


def patched(obj: Any, patch: list[Json]) -> Any:
    """The object after a JSON patch, as the API server applies it. A missing parent is an error."""
    obj = msgspec.json.decode(msgspec.json.encode(obj))
    for operation in patch:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        holder = obj
        for part in path:
            holder = holder[part]
        if operation["op"] == "remove":
            del holder[last]
        elif isinstance(holder, list):
            assert last == "-"
            holder.append(operation["value"])
        else:
            holder[last] = operation["value"]
    return obj


class Scene:
    """What the webhook knows, and the webhook.

    Args:
        most_ends: how many times the pins of an owner may come to nothing.
    """

    def __init__(self, most_ends: int = 1) -> None:
        caches = told(Caches.over(cast("Any", None)))
        self.stirred: list[str] = []
        self.settled: list[str] = []
        self.now = NOW
        self.ends = Ends(most_ends, lambda: self.now)
        caches["pods"].subscribe(self.ends.follow)
        self.slots, self.daemon_sets = caches["slot_reservations"], caches["daemon_sets"]
        self.cluster = ClusterState(
            Caches(**caches),
            default_profile="generic",
            enqueue=self.stirred.append,
            enqueue_later=self.settled.append,
            enqueue_slots=self.steer,
            ends=self.ends,
        )
        at_once(self.cluster.follow())
        self.reservations, self.nodes, self.pods = caches["reservations"], caches["nodes"], caches["pods"]
        self.leads = True
        clock = cast("ServerClock", type("Clock", (), {"now": staticmethod(lambda: self.now)}))
        self.sweeps = Sweeps(1, lambda: 0.0)
        self.mutator = Mutator(self.cluster, clock, lambda: self.leads)
        self.softly = Mutator(self.cluster, clock, lambda: self.leads, hard=False)
        self.standing: dict[str, Standing] = {}
        self._version = 0

    def late(self, name: str, *slots: Slot, machine: str = "") -> None:
        """A node whose machine brings its own Node, or has: then the reservation has learned it."""
        promise = msgspec.structs.replace(PROMISE, profile=LATE, provider_id="p")
        self._reserve(name, *slots, promise=promise, node_name=machine, node_uid="n-" + machine if machine else "")
        if machine:
            made = {
                "metadata": {"name": machine, "uid": "n-" + machine, "labels": {"pool": "a"}},
                "spec": {"taints": [msgspec.to_builtins(PREPARING_TAINT)], "providerID": "p"},
                "status": {"allocatable": PROMISE.allocatable, "nodeInfo": {"kubeletVersion": "v1.36.3"}},
            }
            self.nodes.put(msgspec.convert(made, Node), self.next())

    def _reserve(self, name: str, *slots: Slot, promise: Promise, until: str = LATER, **more: Any) -> None:
        record = Record("expect-" + name, "ExpectPods", 1, 2, until)
        spec = Spec(promise=promise, deadline=LATER, slots=slots, expected_until=until, instructions=(record,), **more)
        stored = msgspec.json.decode(msgspec.json.encode(merging.changes(None, spec)))
        meta = ObjectMeta(name=name, uid="r-" + name, finalizers=(FINALIZER,))
        self.reservations.put(NodeReservation(metadata=meta, spec=stored), self.next())

    def node(self, name: str, *slots: Slot, until: str = LATER, promise: Promise = PROMISE, **node: Any) -> None:
        """A placeholder with expected pods."""
        self._reserve(name, *slots, promise=promise, until=until)
        made = {
            "metadata": {"name": name, "uid": "n-" + name, "annotations": {RESERVATION_ANNOTATION: "r-" + name}},
            "spec": {"taints": [msgspec.to_builtins(PREPARING_TAINT)]},
            "status": {"allocatable": promise.allocatable},
        }
        self.nodes.put(msgspec.convert({**made, **node}, Node), self.next())

    def running(self, name: str, *slots: Slot, cpu: str = "4", says: Json | None = None, **node: Any) -> None:
        """A node that runs, on which pods are expected."""
        made = {
            "metadata": {"name": name, "uid": "n-" + name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1"},
            },
        }
        self.nodes.put(msgspec.convert({**made, **node}, Node), self.next())
        self.expect(name, *slots, **(says or {}))

    def expect(self, name: str, *slots: Slot, **spec: Any) -> None:
        """Pods are expected on a node that runs."""
        told = {"nodeUID": "n-" + name, "by": "ns/evictor", "since": SINCE, "until": LATER}
        listed = [msgspec.json.decode(msgspec.json.encode(each)) for each in slots]
        meta = ObjectMeta(name=name, uid="s-" + name, generation=1)
        self.slots.put(SlotReservation(metadata=meta, spec={**told, "slots": listed, **spec}), self.next())

    def steer(self, name: str) -> None:
        """What the pinner does as soon as a SlotReservation or its node is something else."""
        found = self.cluster.slot_reservation(name)
        standing = Standing()
        if found is not None:
            promised = self.cluster.promised(name, self.now)
            standing = judge(found, self.cluster.nodes.get(name), self.now, promised=promised)
        self.standing[name] = standing
        self.cluster.expect_on_running(name, standing.expectation)

    def ask(self, obj: Any, **more: Any) -> list[Json]:
        """What the webhook changes of a pod that is created."""
        return patch_in(self.mutator.respond(review(obj, **more)))

    def create(self, obj: Any) -> Any:
        """A pod as it is stored after the webhook's answer."""
        return patched(obj, self.ask(obj))

    def fits(self, pod: Pod) -> bool:
        """Whether a pod has room on node-1."""
        return NodeRoom(self.cluster, "node-1").admit((pod,))[pod.metadata.uid] is None

    def store(self, obj: Any, name: str) -> Pod:
        """The watch shows a pod."""
        metadata = {**obj["metadata"], "name": name, "namespace": "ns", "uid": "u-" + name}
        found = msgspec.convert({**obj, "metadata": metadata}, Pod)
        self.pods.put(found, self.next())
        return found

    def next(self) -> int:
        self._version += 1
        return self._version


def slot(count: int, *, cpu: str = "1", owner: Owner = WEB) -> Slot:
    """Room for pods of the Deployment."""
    return Slot(owner=owner, requests={"cpu": cpu}, count=count)
