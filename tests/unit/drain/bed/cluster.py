"""The controllers of a cluster: ReplicaSets and budgets, a scheduler, kubelets.

Each does what its original does, as far as a drain can tell, twice in a second of virtual time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.unit.pinner.bed.api import EPOCH
from tests.unit.pinner.bed.refusals import Json

from .api import EvictionApi, is_ready, selects

TICK = 0.5
NAMESPACE = "shop"
SOFT = "evictor.cast.ai/evicted"


class Cluster:
    """The cluster.

    Args:
        api: its API server.
        seed: of how long things take.

    Attributes:
        room: how many pods fit on a node.
        start: from and to, the seconds that a pod takes to become ready.
        stop: from and to, the seconds that a pod takes to end.
        broken: workloads whose new pods do not become ready.
        quota: workloads of which no new pods are created.
        stuck: pods (by name) that do not end.
        dead: nodes whose kubelet does nothing.
        spreads: whether the scheduler prefers the emptiest node, and not the fullest.
    """

    def __init__(self, api: EvictionApi, seed: int) -> None:
        self.api = api
        self.room = 6
        self.start, self.stop = (1.0, 6.0), (1.0, 6.0)
        self.broken: set[str] = set()
        self.quota: set[str] = set()
        self.stuck: set[str] = set()
        self.dead: set[str] = set()
        self.spreads = False
        self._chance = random.Random(seed)
        self._names = 0
        self._due: dict[str, float] = {}  # uid of a pod to when its kubelet has done the next thing

    # --- what is in it ---

    def node(self, name: str, **spec: Any) -> None:
        """A node joins."""
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"nodeInfo": {"kubeletVersion": "v1.36.3"}, "conditions": conditions}
        self.api.create("nodes", {"metadata": {"name": name}, "spec": spec, "status": status})
        self.api.edit("nodes", name, lambda node: node["spec"].pop("taints"))

    def deployment(self, name: str, replicas: int, unavailable: int | str = "25%", min_ready: int = 0) -> None:
        """A Deployment with its ReplicaSet."""
        labels = {"app": name}
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": "25%"}}
        spec: Json = {"replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": labels}}
        top = self.api.create(
            "deployments", {"metadata": {"name": name}, "spec": {**spec, "strategy": strategy}}, NAMESPACE
        )
        owner = _owner("apps/v1", "Deployment", top)
        meta = {"name": f"{name}-1", "ownerReferences": [owner]}
        self.api.create("replicasets", {"metadata": meta, "spec": spec}, NAMESPACE)

    def budget(self, name: str, app: str, **spec: Any) -> None:
        """A PodDisruptionBudget."""
        body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": app}}, **spec}}
        self.api.create("poddisruptionbudgets", body, NAMESPACE)
        self._count_budgets()

    def place(self, app: str, node: str, count: int = 1) -> None:
        """Pods of a workload run on a node already."""
        for _ in range(count):
            key = self._create_pod(self._replica_set(app))
            self._bind(key, node)
            self._become_ready(key)

    def settle(self) -> None:
        """Everything that controllers would write at once."""
        self._count_budgets()

    def scale(self, app: str, replicas: int) -> None:
        """An autoscaler, or a person, wants another number of pods."""
        for plural, key in (("deployments", f"{NAMESPACE}/{app}"), ("replicasets", f"{NAMESPACE}/{app}-1")):
            self.api.edit(plural, key, lambda found: found["spec"].update(replicas=replicas))

    def cordon(self, name: str, *, value: bool = True) -> None:
        """A person cordons a node, or takes a cordon off."""

        def change(node: Json) -> None:
            node["spec"].pop("unschedulable", None)
            if value:
                node["spec"]["unschedulable"] = True

        self.api.edit("nodes", name, change)

    def ready(self, name: str, *, value: bool) -> None:
        """A node becomes ready, or not."""
        condition = {"type": "Ready", "status": "True" if value else "False"}
        self.api.edit("nodes", name, lambda node: node["status"].update(conditions=[condition]))

    # --- time ---

    async def run(self) -> None:
        """Act until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.tick()

    def tick(self) -> None:
        """Everybody acts once."""
        self._kubelets()
        self._replicate()
        self._schedule()
        self._count_budgets()

    # --- controllers ---

    @property
    def pods(self) -> list[Json]:
        """All pods, not to be changed."""
        return list(self.api.store.objects["pods"].values())

    @property
    def nodes(self) -> dict[str, Json]:
        """All nodes, not to be changed."""
        return self.api.store.objects["nodes"]

    def of(self, app: str) -> list[Json]:
        """The pods of a workload."""
        return [pod for pod in self.pods if pod["metadata"].get("labels", {}).get("app") == app]

    def on(self, node: str) -> list[Json]:
        """The pods on a node."""
        return [pod for pod in self.pods if pod["spec"].get("nodeName") == node]

    def _replicate(self) -> None:
        for found in list(self.api.store.objects["replicasets"].values()):
            app = found["spec"]["selector"]["matchLabels"]["app"]
            active = [pod for pod in self.of(app) if "deletionTimestamp" not in pod["metadata"]]
            for _ in range(found["spec"]["replicas"] - len(active)):
                if app not in self.quota:
                    self._create_pod(found)
            for pod in active[found["spec"]["replicas"] :]:
                self.api.delete("pods", _key(pod))

    def _replica_set(self, app: str) -> Json:
        return self.api.store.objects["replicasets"][f"{NAMESPACE}/{app}-1"]

    def _create_pod(self, maker: Json) -> str:
        self._names += 1
        app = maker["spec"]["selector"]["matchLabels"]["app"]
        name = f"{maker['metadata']['name']}-{self._names:04d}"
        meta = {"name": name, "labels": {"app": app}, "ownerReferences": [_owner("apps/v1", "ReplicaSet", maker)]}
        self.api.create("pods", {"metadata": meta, "spec": {}, "status": {"phase": "Pending"}}, NAMESPACE)
        return f"{NAMESPACE}/{name}"

    def _count_budgets(self) -> None:
        for budget in list(self.api.store.objects["poddisruptionbudgets"].values()):
            pods = [pod for pod in self.pods if selects(budget, pod)]
            expected = sum(
                found["spec"]["replicas"]
                for found in self.api.store.objects["replicasets"].values()
                if selects(
                    budget, {"metadata": {"namespace": NAMESPACE, "labels": found["spec"]["selector"]["matchLabels"]}}
                )
            )
            spec = budget["spec"]
            desired = spec["minAvailable"] if "minAvailable" in spec else max(0, expected - spec["maxUnavailable"])
            healthy = sum(1 for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"])
            names = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
            before = budget.get("status", {}).get("disruptedPods", {})
            status = {
                "observedGeneration": budget["metadata"].get("generation", 0),
                "expectedPods": expected,
                "desiredHealthy": desired,
                "currentHealthy": healthy,
                "disruptionsAllowed": max(0, healthy - desired),
                "disruptedPods": {name: at for name, at in before.items() if name in names},
            }
            if budget.get("status") != status:
                self.api.edit("poddisruptionbudgets", _key(budget), partial(_set_status, status))

    # --- the scheduler ---

    def _schedule(self) -> None:
        for pod in self.pods:
            if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
                continue
            node = self._choose()
            if node is not None:
                self._bind(_key(pod), node)

    def _choose(self) -> str | None:
        """The fullest node with room (or the emptiest), and without the soft taint as long as there is one."""
        used = dict.fromkeys(self.nodes, 0)
        for pod in self.pods:
            name = pod["spec"].get("nodeName")
            if name in used:
                used[name] += 1
        able = [name for name in self._open() if used[name] < self.room]
        sign = 1 if self.spreads else -1
        return min(able, key=lambda name: (_tainted(self.nodes[name]), sign * used[name], name), default=None)

    def _open(self) -> Iterator[str]:
        for name, node in self.nodes.items():
            if not node["spec"].get("unschedulable") and is_ready(node):
                yield name

    def _bind(self, key: str, node: str) -> None:
        def change(pod: Json) -> None:
            pod["spec"]["nodeName"] = node

        self.api.edit("pods", key, change)

    # --- kubelets ---

    def _kubelets(self) -> None:
        now = self.api.now()
        for pod in self.pods:
            node, meta = pod["spec"].get("nodeName"), pod["metadata"]
            going = "deletionTimestamp" in meta
            if node is None and going:
                self.api.delete("pods", _key(pod), gracePeriodSeconds=0)
            if node is None or node in self.dead or (is_ready(pod) and not going):
                continue
            uid = f"{meta['uid']} {going}"
            due = self._due.setdefault(uid, now + self._chance.uniform(*(self.stop if going else self.start)))
            if due > now:
                continue
            if going and meta["name"] not in self.stuck:
                self.api.delete("pods", _key(pod), gracePeriodSeconds=0)
            elif not going and meta["labels"]["app"] not in self.broken:
                self._become_ready(_key(pod))

    def _become_ready(self, key: str) -> None:
        at = (EPOCH + timedelta(seconds=self.api.now())).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": at}
        self.api.edit("pods", key, lambda pod: pod.update(status={"phase": "Running", "conditions": [ready]}))


def available(pod: Json, min_ready: int, now: datetime) -> bool:
    """Whether a pod serves, and has done so for long enough."""
    if not is_ready(pod) or "deletionTimestamp" in pod["metadata"]:
        return False
    since = next(each["lastTransitionTime"] for each in pod["status"]["conditions"] if each["type"] == "Ready")
    return datetime.fromisoformat(since) + timedelta(seconds=min_ready) <= now


def _set_status(status: Json, found: Json) -> None:
    found["status"] = status


def _tainted(node: Json) -> bool:
    return any(taint["key"] == SOFT for taint in node["spec"].get("taints", ()))


def _owner(version: str, kind: str, found: Json) -> Json:
    meta = found["metadata"]
    return {"apiVersion": version, "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


def _key(found: Json) -> str:
    meta = found["metadata"]
    return f"{meta['namespace']}/{meta['name']}"
