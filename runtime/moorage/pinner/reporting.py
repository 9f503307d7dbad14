"""What people are told: constant log sentences with fields, Events on the node and the pod, and counters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from moorage.kube.events import EventType, ObjectRef
from moorage.objects import Node, Pod
from moorage.protocol import PodRef, ReasonCode

from . import metrics
from .refusal import Refusal

logger = logging.getLogger("moorage.pinner")
_APPLIED = metrics.PINS.labels("applied", "OK")


class Recorder(Protocol):
    """The part of ``EventRecorder`` that is used."""

    def record(
        self,
        regarding: ObjectRef,
        *,
        type: EventType,
        reason: str,
        action: str,
        note: str,
        related: ObjectRef | None = None,
    ) -> None:
        """Record an occurrence; never blocks and never raises."""


def node_ref(name: str) -> ObjectRef:
    """A node for Events; its name stands for its uid, as the kubelet has it: ``kubectl describe`` looks for both."""
    return ObjectRef("v1", "Node", name, uid=name)


class Reporter:
    """Tells people what was done; ``instruction`` ids are those of the pins or of the promise concerned.

    Args:
        recorder: writes the Events.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._to_tell: dict[str, list[Pod]] = {}  # node to the pods pinned to it of which no Event tells yet

    def created(self, node: Node, instruction: str) -> None:
        """A placeholder was created."""
        name = node.metadata.name
        logger.info("node placeholder created", extra={"node": name, "instruction": instruction})
        self._node(name, "Normal", "PlaceholderCreated", "Create", "Created before its machine, to pin pods to it")

    def create_refused(self, name: str, instruction: str, refusal: Refusal) -> None:
        """A placeholder could not be created."""
        fields = {"node": name, "instruction": instruction, "reason": refusal.text}
        logger.error("node placeholder not created", extra=fields)
        self._node(name, "Warning", "PlaceholderRefused", "Create", refusal.text)

    def learned(self, name: str, node: str) -> None:
        """A machine has brought the Node of a late reservation along."""
        logger.info("node of a reservation has registered", extra={"node": node, "reservation": name})
        self._node(node, "Normal", "NodeLearned", "Adopt", f"The machine is taken for the promised node {name}")

    def unclaimed(self, node: str, like: Sequence[str], seconds: float) -> None:
        """A machine has brought a Node with our taint, and no reservation has it."""
        fields = {"node": node, "like": list(like), "opened_in_s": round(seconds, 1)}
        logger.warning("node waits with our taint and no reservation has it", extra=fields)
        others = f"; those that would mean it have other Nodes: {', '.join(like)}" if like else ""
        note = f"No plan means this node{others}. In {seconds:.0f} s it is opened to the scheduler"
        self._node(node, "Warning", "NodeUnclaimed", "Adopt", note)

    def opened(self, node: str) -> None:
        """Our taint was taken off a Node that no reservation has."""
        logger.info("node that no reservation has is open to the scheduler", extra={"node": node})

    def missing(self, name: str, instruction: str) -> None:
        """Pods are to be pinned to a node that is not there."""
        logger.warning("node placeholder not found", extra={"node": name, "instruction": instruction})

    def pinned(self, pod: Pod, node: str, instruction: str, seconds: float | None) -> None:
        """A pod was bound; its Event is written by ``catch_up``."""
        fields = {"node": node, "pod": pod.key, "instruction": instruction}
        logger.info("pod pinned", extra=fields)
        _APPLIED.inc()
        if seconds is not None:
            metrics.LATENCY.observe(seconds)
        self._to_tell.setdefault(node, []).append(pod)

    def catch_up(self, node: str) -> None:
        """Write the Events about pinned pods; they must not compete with the pins themselves."""
        for pod in self._to_tell.pop(node, ()):
            self._pod(pod, "Normal", "Pinned", "Bind", f"Pinned to node {node}", node)

    def nominated(self, pod: Pod, node: str, instruction: str) -> None:
        """A pod was nominated: the scheduler tries the node first."""
        logger.info("pod nominated", extra={"node": node, "pod": pod.key, "instruction": instruction})
        self._pod(
            pod, "Normal", "Nominated", "Nominate", f"Nominated to node {node}: the scheduler tries it first", node
        )

    def not_nominated(self, pod: Pod, node: str, instruction: str, why: Refusal) -> None:
        """A pod could not be nominated this time."""
        fields = {"node": node, "pod": pod.key, "instruction": instruction, "why": why.text}
        logger.warning("pod not nominated, trying again later", extra=fields)

    def nomination_cleared(self, pod: Pod, node: str, why: Refusal) -> None:
        """A nomination of ours was taken back; that the pod is left to the scheduler is told with its answer."""
        fields = {"node": node, "pod": pod.key, "reason": why.reason.name, "why": why.text}
        logger.info("nomination taken back", extra=fields)

    def pin_refused(self, pod: PodRef, node: str, instruction: str, refusal: Refusal) -> None:
        """A pod will not be pinned."""
        fields = {"node": node, "pod": str(pod), "instruction": instruction, "reason": refusal.reason.name}
        logger.info("pod not pinned", extra={**fields, "why": refusal.text})
        regarding = ObjectRef("v1", "Pod", pod.name, pod.namespace, pod.uid)
        note = f"Left to the scheduler instead of being pinned to node {node}: {refusal.text}"
        self._recorder.record(
            regarding, type="Warning", reason="NotPinned", action="Bind", note=note, related=node_ref(node)
        )

    def pod_deleted(self, pod: Pod, node: str, why: Refusal, *, swept: bool) -> None:
        """A pod was deleted; that it was pinned before is told before."""
        self.catch_up(node)
        fields = {"node": node, "pod": pod.key, "reason": why.reason.name, "why": why.text}
        logger.info("pod deleted", extra=fields)
        if swept:
            metrics.SWEPT.inc()
        if why.reason is ReasonCode.POD_TERMINATING:  # somebody else deleted it, and it need not be one that we pinned
            self._pod(pod, "Normal", "DeletionFinished", "Delete", why.text, node)
            return
        self._pod(pod, "Warning", "PinnedPodDeleted", "Delete", f"Deleted from node {node}: {why.text}", node)

    def owner_capped(self, pod: Pod, why: Refusal) -> None:
        """Pins of an owner came to nothing too often: no pod of it is pinned for a while."""
        owner = pod.metadata.controller()
        if owner is None:
            return
        fields = {"owner": f"{owner.kind} {pod.metadata.namespace}/{owner.name}", "why": why.text}
        logger.warning("pins of an owner come to nothing, its pods are left to the scheduler", extra=fields)
        regarding = ObjectRef(owner.api_version, owner.kind, owner.name, pod.metadata.namespace, owner.uid)
        self._recorder.record(regarding, type="Warning", reason="PinsSuspended", action="Pin", note=why.text)

    def node_deleted(self, name: str, why: Refusal) -> None:
        """A placeholder was deleted."""
        logger.info("node placeholder deleted", extra={"node": name, "reason": why.reason.name, "why": why.text})
        self._node(name, "Warning", "PlaceholderDeleted", "Delete", why.text)

    def node_held(self, name: str, finalizers: Sequence[str], why: Refusal) -> None:
        """A placeholder is to go, and finalizers of others hold it."""
        fields = {"node": name, "finalizers": list(finalizers), "why": why.text}
        logger.warning("node placeholder is held by finalizers of others", extra=fields)
        note = f"Deleted ({why.text}), and held by finalizers of others: {', '.join(finalizers)}"
        self._node(name, "Warning", "PlaceholderHeld", "Delete", note)

    def not_kept(self, name: str, fields: Sequence[str]) -> None:
        """A placeholder was taken, and not all that was asked for was kept."""
        logger.warning("node placeholder is not kept as it was created", extra={"node": name, "fields": list(fields)})
        note = f"A policy or webhook took off or changed what the placeholder was created with: {', '.join(fields)}"
        self._node(name, "Warning", "PlaceholderChanged", "Create", note)

    def stuck(self, name: str, step: str, why: Refusal) -> None:
        """A step was tried and is still wanted; said once as long as the reason is the same."""
        fields = {"node": name, "step": step, "reason": why.reason.name, "error": why.text}
        logger.warning("step has no effect, trying again later", extra=fields)

    def adopted(self, name: str, shortfalls: Sequence[str]) -> None:
        """A machine has joined and its Node is as promised, but for some shortfalls."""
        logger.info("node adopted", extra={"node": name})
        self._node(name, "Normal", "PlaceholderAdopted", "Adopt", "The machine has joined its placeholder")
        if shortfalls:
            note = "The machine offers other than promised: " + "; ".join(shortfalls)
            logger.warning("node differs from its promise", extra={"node": name, "differences": list(shortfalls)})
            self._node(name, "Warning", "NodeDiffers", "Adopt", note)

    def unreadable(self, name: str, message: str) -> None:
        """A reservation cannot be read."""
        logger.error("reservation cannot be read", extra={"node": name, "why": message})
        regarding = ObjectRef("moorage.dev/v1alpha1", "NodeReservation", name)
        self._recorder.record(regarding, type="Warning", reason="Unreadable", action="Read", note=message)

    def slots_count(self, name: str, by: str, promised: Sequence[str]) -> None:
        """A SlotReservation counts; ``promised`` are the placeholders on which the same owners' pods are expected."""
        logger.info("pods are expected on a running node", extra={"node": name, "by": by})
        if promised:
            fields = {"node": name, "by": by, "promised": list(promised)}
            logger.warning("pods of one owner are expected by two plans, each counts its own", extra=fields)

    def slots_do_not_count(self, name: str, by: str, message: str) -> None:
        """Nobody is steered to the node of a SlotReservation (now)."""
        logger.info("no pods are steered to a running node", extra={"node": name, "by": by, "why": message})

    def slots_unreadable(self, name: str, by: str, message: str) -> None:
        """A SlotReservation cannot be read."""
        logger.error("slot reservation cannot be read", extra={"node": name, "by": by, "why": message})
        regarding = ObjectRef("moorage.dev/v1alpha1", "SlotReservation", name)
        self._recorder.record(regarding, type="Warning", reason="Unreadable", action="Read", note=message)

    def not_ours(self, name: str, text: str) -> None:
        """Somebody has made a reservation for a node that we have not made; it was deleted."""
        logger.warning("reservation is for a node that is not ours, deleted", extra={"node": name, "why": text})
        note = f"Deleted, and node {name} left as it is: {text}"
        regarding = ObjectRef("moorage.dev/v1alpha1", "NodeReservation", name)
        self._recorder.record(regarding, type="Warning", reason="NodeNotOurs", action="Delete", note=note)

    def lease_ahead(self, name: str, seconds: float) -> None:
        """The Lease of a placeholder is in the future, so that no renewal counts."""
        logger.error(
            "lease of a placeholder is ahead of the API server's time", extra={"node": name, "ahead_s": seconds}
        )
        note = (
            f"Its Lease is {seconds:.0f} s ahead of the API server's time: node-lifecycle ignores renewals until then "
            "and may mark the node unreachable. Somebody else has written it"
        )
        self._node(name, "Warning", "LeaseAhead", "Renew", note)

    def lease_foreign(self, name: str, seconds: float) -> None:
        """The Lease of a placeholder was renewed by somebody else, who has stopped."""
        logger.warning("lease of a placeholder is somebody else's", extra={"node": name, "silent_s": round(seconds, 1)})
        note = (
            f"Somebody else renewed its Lease {seconds:.0f} s ago, as a kubelet does, and nobody since: it is left "
            "alone, and node-lifecycle may mark the node unreachable"
        )
        self._node(name, "Warning", "LeaseForeign", "Renew", note)

    def left_alone(self, name: str, text: str) -> None:
        """A machine has the Node of a reservation, without a mark of ours."""
        logger.warning("node is a machine's without our marks, left alone", extra={"node": name, "why": text})
        self._node(name, "Warning", "NodeLeftAlone", "Adopt", text)

    def behind(self, node: str) -> bool:
        """Whether there are pinned pods of which no Event tells yet."""
        return node in self._to_tell

    def _node(self, name: str, kind: EventType, reason: str, action: str, note: str) -> None:
        self._recorder.record(node_ref(name), type=kind, reason=reason, action=action, note=note)

    def _pod(self, pod: Pod, kind: EventType, reason: str, action: str, note: str, node: str) -> None:
        self._recorder.record(
            ObjectRef.to("v1", "Pod", pod), type=kind, reason=reason, action=action, note=note, related=node_ref(node)
        )
