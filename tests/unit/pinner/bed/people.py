"""Other clients of the cluster: controllers of pods, kubelets, the garbage collector."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from moorage.pinner.names import NOT_READY, PREPARING, UNREACHABLE
from moorage.pinner.node.leases import NAMESPACE

from .api import Api
from .refusals import Json
from .store import Change, key_of

DEVICE = "nvidia.com/gpu"
PATIENT = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in (NOT_READY, UNREACHABLE)
]
"""What every API server gives a pod that says nothing (DefaultTolerationSeconds)."""
AGAIN = 1.0
"""Seconds in which a controller replaces a pod, and a kubelet does its work."""


class People:
    """Everybody else.

    Args:
        api: the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._number = 0
        self._templates: dict[str, Json] = {}  # specs of pods as their controllers make them, by uid
        self.kubelets: set[str] = set()
        self.replaces_pods = True
        self.finished = False
        api.store.listeners.append(self._on_change)

    # --- pods ---

    def pods(self, count: int, owner: str = "web", **spec: Any) -> list[Json]:
        """Create pending pods of a ReplicaSet."""
        return [self._pod(owner, spec) for _ in range(count)]

    def _pod(self, owner: str, spec: Json, annotations: Json | None = None) -> Json:
        self._number += 1
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner}"}
        wants = {"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
        body = {
            "metadata": {
                "name": f"{owner}-{self._number}",
                "labels": {"app": owner},
                "ownerReferences": [{**reference, "controller": True}],
                **({"annotations": annotations} if annotations else {}),
            },
            "spec": {"containers": [wants], "terminationGracePeriodSeconds": 30, "tolerations": PATIENT, **spec},
            "status": {"phase": "Pending"},
        }
        made = self._api.create("pods", body, "ns")
        self._templates[made["metadata"]["uid"]] = spec
        return made

    def pods_with_devices(self, count: int) -> list[Json]:
        """Create pending pods that only the scheduler can place."""
        resources = {"requests": {"cpu": "100m", "memory": "64Mi", DEVICE: "1"}, "limits": {DEVICE: "1"}}
        return self.pods(count, "gpu", containers=[{"name": "main", "resources": resources}])

    def publish(self, node: str, devices: int) -> None:
        """A device plugin has reported its devices to the kubelet of a node."""
        offered = {DEVICE: str(devices)}
        self._api.edit("nodes", node, lambda found: found.get("status", {}).get("allocatable", {}).update(offered))

    def bound_by_tenant(self, node: str, annotations: Json) -> Json:
        """A pod whose tenant has chosen the node, and marked it as he liked."""
        return self._pod("tenant", {"nodeName": node}, annotations)

    def fail(self, pod: Json, reason: str = "OutOfcpu") -> None:
        """A kubelet has refused a pod."""
        status = {"phase": "Failed", "reason": reason, "message": "no room"}
        self._api.edit("pods", key_of(pod), lambda found: found.update(status=status))

    # --- nodes ---

    def join(self, node: str, *, ready: bool = True, **status: Any) -> None:
        """A kubelet reports for a node, and registers it if it does not exist."""
        if self._api.read("nodes", node) is None:
            self._api.create("nodes", {"metadata": {"name": node}, "spec": {}, "status": {}})
        offered = {"cpu": "4", "memory": "8Gi", "pods": "20"}
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]

        def report(found: Json) -> None:
            found["metadata"].setdefault("labels", {})["kubernetes.io/hostname"] = node
            found["status"] = {"allocatable": offered, "capacity": offered, **found.get("status", {}), **status}
            found["status"] |= {"nodeInfo": {"kubeletVersion": "v1.36.0"}, "conditions": conditions}
            if ready:  # by the node-lifecycle controller
                taints = found["spec"].get("taints", ())
                found["spec"]["taints"] = [t for t in taints if t["key"] != "node.kubernetes.io/not-ready"]

        self._api.edit("nodes", node, report)
        self.kubelets.add(node)
        for pod in tuple(self._api.store.objects["pods"].values()):
            self._soon(pod)

    def register(
        self,
        node: str,
        *,
        labels: Json | None = None,
        taints: Sequence[str] = (PREPARING,),
        removing: Sequence[str] = (),
        ready: bool = True,
        owner: str = "",
        **spec: Any,
    ) -> None:
        """A machine brings its own Node, with taints from its first moment on; Karpenter says by which NodeClaim."""
        effects = {**dict.fromkeys(taints, "NoSchedule"), **dict.fromkeys(removing, "NoExecute")}
        claim = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": owner, "uid": f"uid-{owner}"}
        body = {
            "metadata": {
                "name": node,
                "labels": {"pool": "a", **(labels or {})},
                "ownerReferences": [claim] if owner else [],
            },
            "spec": {"taints": [{"key": key, "effect": effect} for key, effect in effects.items()], **spec},
            "status": {"nodeInfo": {"kubeletVersion": "v1.36.0"}},
        }
        self._api.create("nodes", body)
        self.join(node, ready=ready)

    # --- finalizers ---

    def hold(self, plural: str, key: str, finalizer: str = "example.com/hold") -> None:
        """Another controller adds a finalizer to an object."""
        self._api.edit(plural, key, lambda found: found["metadata"].setdefault("finalizers", []).append(finalizer))

    def let_go(self, plural: str, key: str, finalizer: str = "example.com/hold") -> None:
        """The controller removes its finalizer."""

        def change(found: Json) -> None:
            kept = [each for each in found["metadata"].get("finalizers", ()) if each != finalizer]
            found["metadata"]["finalizers"] = kept

        self._api.edit(plural, key, change)

    # --- what happens by itself ---

    def _on_change(self, plural: str, change: Change) -> None:
        if plural == "pods":
            if change.kind == "DELETED" and self.replaces_pods:
                self._later(self._replace, change.object)
            elif change.object["spec"].get("nodeName") in self.kubelets:
                self._soon(change.object)
        elif plural == "nodes" and change.kind == "DELETED":
            self.kubelets.discard(change.object["metadata"]["name"])
            self._later(self._collect, change.object)

    def _soon(self, pod: Json) -> None:
        self._later(self._kubelet, pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"])

    def _later(self, deed: Any, *args: Any) -> None:
        asyncio.get_running_loop().call_later(AGAIN, self._unless_finished, deed, *args)

    def _unless_finished(self, deed: Any, *args: Any) -> None:
        if not self.finished:
            deed(*args)

    def _replace(self, pod: Json) -> None:
        owner = pod["metadata"]["ownerReferences"][0]["name"]
        if owner != "tenant":
            self._pod(owner, self._templates[pod["metadata"]["uid"]])

    def _collect(self, node: Json) -> None:
        name = node["metadata"]["name"]
        if self._api.read("nodes", name) is None and self._api.read("leases", f"{NAMESPACE}/{name}") is not None:
            self._api.delete("leases", f"{NAMESPACE}/{name}")

    def _kubelet(self, namespace: str, name: str, uid: str) -> None:
        """Start a pod, or end it."""
        key = f"{namespace}/{name}"
        pod = self._api.read("pods", key)
        if pod is None or pod["metadata"]["uid"] != uid or pod["spec"].get("nodeName") not in self.kubelets:
            return
        if "deletionTimestamp" in pod["metadata"]:
            if pod["metadata"].get("deletionGracePeriodSeconds"):
                self._api.delete("pods", key, gracePeriodSeconds=0)
        elif pod["status"]["phase"] == "Pending":
            running = [{"name": "main", "state": {"running": {}}}]
            status = {"phase": "Running", "startTime": "2030-01-01T00:00:00Z", "containerStatuses": running}
            self._api.edit("pods", key, lambda found: found["status"].update(status))
