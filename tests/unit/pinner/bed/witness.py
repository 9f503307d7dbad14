"""Rules that must hold on any day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from moorage.pinner.names import FINALIZER, PREPARING
from moorage.protocol import Ack, Outcome, PinPods

from .api import EPOCH
from .bed import Bed
from .refusals import Json
from .store import Change, key_of

SLACK = 5.0
THEIRS = "theirs"
"""The node to which another program nominates pods."""


class Witness:
    """Watches a bed from its first moment.

    Args:
        bed: to be watched.

    Attributes:
        blind: whether our marks were removed. Then some objects may be left.
    """

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.blind = False
        self._was_bound: set[tuple[str, str]] = set()
        self._joined: set[str] = set()
        self._theirs: set[str] = set()
        self._nodes: defaultdict[str, set[str]] = defaultdict(set)  # Node to its uids
        self._names: defaultdict[str, set[str]] = defaultdict(set)  # reservation to what its Node was called
        self._wrong: list[str] = []
        bed.api.store.listeners.append(self._on_change)
        bed.planner.listeners.append(self._on_ack)

    def _on_change(self, plural: str, change: Change) -> None:
        found = change.object
        if plural == "pods" and (node := found["spec"].get("nodeName")):
            self._see_binding(found["metadata"]["uid"], node)
            self._see_removal(found, node)
            self._was_bound.add((found["metadata"]["uid"], node))
        if plural == "pods":
            self._see_nomination(found)
        if plural == "nodereservations" and (name := (found.get("spec") or {}).get("nodeName")):
            self._names[found["metadata"]["name"]].add(name)
        if plural == "nodes":
            self._nodes[found["metadata"]["name"]].add(found["metadata"]["uid"])
        if plural == "nodes" and _has_kubelet(found):
            self._joined.add(found["metadata"]["name"])

    def _see_binding(self, uid: str, node: str) -> None:
        """Where a promise says so, nothing is bound before the machine is Ready and its startup taints are gone."""
        reservation = self._bed.reservation(node)
        promise = ((reservation or {}).get("spec") or {}).get("promise") or {}
        if (uid, node) in self._was_bound or promise.get("bindWhen") != "StartupTaintsGone":
            return
        there = self._bed.node(node) or {"spec": {}}
        passing = {taint["key"] for taint in promise.get("startupTaints", ())}
        if not _has_kubelet(there) or passing & {taint["key"] for taint in there["spec"].get("taints", ())}:
            self._wrong.append(f"pod {uid} was bound to {node}, which had not started")

    def _see_removal(self, pod: Json, node: str) -> None:
        """Nothing is bound to a Node that would remove it at once; of a second one of that name a watch may be late."""
        uid, there = pod["metadata"]["uid"], self._bed.node(node) or {"spec": {}}
        if len(self._nodes[node]) > 1:
            return
        removing = {taint["key"] for taint in there["spec"].get("taints", ()) if taint["effect"] == "NoExecute"}
        if (uid, node) not in self._was_bound and removing - {each["key"] for each in pod["spec"]["tolerations"]}:
            self._wrong.append(f"pod {uid} was bound to {node}, which removes it: {removing}")

    def _see_nomination(self, pod: Json) -> None:
        """Another program's nomination stays until the pod is bound."""
        uid, value = pod["metadata"]["uid"], pod["status"].get("nominatedNodeName", "")
        if uid in self._theirs and value != THEIRS and not pod["spec"].get("nodeName"):
            self._wrong.append(f"pod {key_of(pod)} was nominated by somebody else, and is nominated to {value!r}")
        if value == THEIRS:
            self._theirs.add(uid)

    def _on_ack(self, ack: Ack) -> None:
        """Acknowledged work is done."""
        instruction = self._bed.planner.issued[ack.instruction_id]
        names = {instruction.node, *self._names[instruction.node]}
        for result in ack.pods:
            bound = {(result.pod.uid, name) for name in names} & self._was_bound
            if result.outcome is Outcome.APPLIED and not bound:
                self._wrong.append(f"{ack.instruction_id}: {result.pod} was never bound to {instruction.node}")
        if ack.outcome is Outcome.APPLIED and isinstance(instruction.action, PinPods):
            missing = {ref.uid for ref in instruction.action.pods} - {result.pod.uid for result in ack.pods}
            if missing:
                self._wrong.append(f"{ack.instruction_id}: applied, and nothing is said of {missing}")

    def wrong(self, *, late: float = 0.0) -> list[str]:
        """Everything that must not be, once all deadlines have passed and nothing is in the way any more.

        Args:
            late: seconds by which answers may be late beyond ``SLACK``.
        """
        left = () if self.blind else self._left()
        return [*self._wrong, *self._answers(SLACK + late), *self.deletions(self._bed), *left, *self._repeated()]

    def _answers(self, slack: float) -> Iterator[str]:
        planner = self._bed.planner
        for each, instruction in planner.issued.items():
            finals = planner.finals(each)
            if not finals:
                yield f"{each} was never answered"
                continue
            if len(finals) > planner.times[each]:
                yield f"{each} was said {planner.times[each]} times and answered {len(finals)} times"
            seconds = finals[0][0] - (instruction.deadline - EPOCH).total_seconds()
            if seconds > slack:
                yield f"{each} was answered {seconds:.1f} s after its deadline"

    @staticmethod
    def deletions(bed: Bed) -> list[str]:
        """What the pinner must not have deleted."""
        wrong = []
        for request, found in bed.api.deleted:
            if request.plural == "nodes" and _has_kubelet(found):
                wrong.append(f"node {request.key} had a kubelet, and was deleted")
            status = found.get("status", {})
            ran = status.get("startTime") and status.get("phase") == "Running"
            if request.plural == "pods" and request.body.get("gracePeriodSeconds") == 0 and ran:
                wrong.append(f"pod {request.key} ran, and was deleted without grace")
        return wrong

    def _left(self) -> Iterator[str]:
        objects = self._bed.api.store.objects
        for name, node in objects["nodes"].items():
            if not _has_kubelet(node):
                yield f"placeholder {name} was left behind"
            elif any(taint["key"] == PREPARING for taint in node["spec"].get("taints", ())):
                yield f"node {name} was left with our taint"
        for name, reservation in objects["nodereservations"].items():
            if FINALIZER in reservation["metadata"].get("finalizers", ()):
                yield f"reservation {name} is still open"
        for key, pod in objects["pods"].items():
            node_name = pod["spec"].get("nodeName")
            if node_name and node_name not in objects["nodes"] and node_name not in self._joined:
                yield f"pod {key} was left on {node_name}, which is gone"
            if not node_name and (nominated := pod["status"].get("nominatedNodeName", THEIRS)) != THEIRS:
                yield f"pod {key} was left nominated to {nominated}"

    def _repeated(self) -> Iterator[str]:
        for (verb, resource, key), times in self._bed.repeated().items():
            yield f"{verb} {resource} {key}: {times} times in a short time"


def _has_kubelet(node: Json) -> bool:
    return bool(node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion"))
