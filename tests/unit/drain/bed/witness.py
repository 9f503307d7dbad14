"""Rules that must hold at every moment of any drain."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tests.unit.pinner.bed.refusals import Json
from tests.unit.pinner.bed.store import Change

from .api import EvictionApi, is_ready
from .cluster import SOFT, Cluster, available

MARK = "moorage.dev/drain"
LATE = 10.0
"""Seconds until we see another client's change: watches are late."""


class Witness:
    """Watches a cluster from its first moment.

    Args:
        api: its API server.
        cluster: its controllers.

    Attributes:
        wrong: violations of the rules.
        foreign: nodes that another client has cordoned.
        evicted: how many pods were.
        scaled: time at which a workload was last scaled; our watch is late.
    """

    def __init__(self, api: EvictionApi, cluster: Cluster) -> None:
        self.wrong: list[str] = []
        self.foreign: set[str] = set()
        self.evicted = 0
        self.scaled: dict[str, float] = {}
        self._api = api
        self._cluster = cluster
        api.watchers.append(self._on_eviction)
        api.store.listeners.append(self._on_change)

    def _on_eviction(self, pod: Json) -> None:
        """Check the workload of a pod that is evicted now."""
        self.evicted += 1
        app = pod["metadata"]["labels"]["app"]
        top = self._api.store.objects["deployments"][f"{pod['metadata']['namespace']}/{app}"]["spec"]
        others = [each for each in self._cluster.of(app) if each["metadata"]["uid"] != pod["metadata"]["uid"]]
        left = sum(1 for each in others if available(each, top["minReadySeconds"], self._api.time()))
        budgets = self._api.budgets_of(pod)
        least = floor(top) if not budgets else 1
        blind = self.scaled.get(app, -LATE) + LATE > self._api.now()
        if left < least and not blind:
            self.wrong.append(f"{self._api.now():.1f}: {pod['metadata']['name']}: {left} pods left of {least}")
        for budget in budgets:
            healthy = sum(1 for each in others if is_ready(each) and "deletionTimestamp" not in each["metadata"])
            desired = budget["status"]["desiredHealthy"]
            if healthy < desired:
                self.wrong.append(f"{pod['metadata']['name']}: {healthy} healthy pods left of {desired}")

    def _on_change(self, plural: str, change: Change) -> None:
        """No node is ever cordoned without a mark that records it as ours."""
        if plural != "nodes" or change.kind == "DELETED":
            return
        name = change.object["metadata"]["name"]
        if change.object["spec"].get("unschedulable") and name not in self.foreign:
            mark = _mark(change.object)
            if mark is None or "cordon" not in mark.get("set", ()):
                self.wrong.append(f"{name} is cordoned, and nothing says by whom")

    def at_once(self) -> list[int]:
        """How many nodes were being emptied at a time, change by change."""
        phases: dict[str, str] = {}
        found = []
        for change in self._api.store.history["nodes"]:
            phases[change.object["metadata"]["name"]] = (_mark(change.object) or {}).get("phase", "")
            found.append(sum(1 for phase in phases.values() if phase == "draining"))
        return found

    def left(self) -> Iterator[str]:
        """Check the end state: no work is left."""
        for name, node in self._api.store.objects["nodes"].items():
            mark = _mark(node)
            phase = mark["phase"] if mark is not None else ""
            if phase in ("chosen", "draining"):
                yield f"{name} is still {phase}"
            if phase in ("rolled-back", "handed-back") and not (mark or {}).get("reason"):
                yield f"{name} is {phase} without a reason"
            if bool(node["spec"].get("unschedulable")) != (name in self.foreign):
                yield f"{name}: unschedulable is {node['spec'].get('unschedulable')}"
            tainted = any(taint["key"] == SOFT for taint in node["spec"].get("taints", ()))
            if tainted != (phase == "emptied"):
                yield f"{name} is {phase or 'unmarked'}, and tainted: {tainted}"


def floor(spec: Json) -> int:
    """What a Deployment must keep, worked out independently."""
    replicas, rolling = spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]
    away = int(rolling[:-1]) * replicas // 100 if isinstance(rolling, str) else rolling
    return int(max(1, replicas - max(1, away)))


def _mark(node: Json) -> Json | None:
    """The mark. None also if it is unreadable."""
    text = node["metadata"].get("annotations", {}).get(MARK)
    try:
        found: Json | None = msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None
    return found if found is not None and "phase" in found else None
