"""What becomes of a pod that is being created: pinned where it is expected, steered there, or left to the scheduler.

A pod that is expected nowhere costs one look into a table. One that is pinned is counted on its node at once (a claim).
When another webhook changes it after us, we are asked once more, check again, and take the pin back if it must be.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec

from moorage.kube.clock import ServerClock
from moorage.objects import Pod
from moorage.objects.node import COPIED_LABELS
from moorage.protocol import ReasonCode

from .. import metrics
from ..names import CLAIM_ANNOTATION, NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from ..node import slots
from ..node.slots import Place
from ..promised.expected import Claim
from ..refusal import Refusal
from ..state.cluster import ClusterState
from . import patches
from .review import Malformed, Operation, Request, answer, read

logger = logging.getLogger("moorage.pinner.webhook")

_LONGEST_REASON = 512


class Mutator:
    """Answers for one term.

    Args:
        cluster: what is known.
        clock: the API server's time.
        is_leader: asked as an answer is given: whoever does not lead admits unchanged.
        hard: whether pods that are expected on a node that runs are pinned there, and not only steered.
    """

    def __init__(
        self,
        cluster: ClusterState,
        clock: ServerClock,
        is_leader: Callable[[], bool],
        *,
        hard: bool = True,
    ) -> None:
        self._cluster, self._clock, self._is_leader = cluster, clock, is_leader
        self._hard = hard
        # The labels of nodes that this API server gives pinned pods. That changes a pod after us, so that we are asked
        # again; whether it does is seen on the first pod.
        self._copied: set[str] = set()

    def respond(self, body: bytes) -> bytes:
        """The answer to a review, whatever came.

        Args:
            body: of the request.
        """
        try:
            request = read(body)
        except Malformed as error:
            metrics.ADMITTED.labels("malformed").inc()
            logger.warning("admission review cannot be answered, the pod is admitted", extra={"error": str(error)})
            return error.answer
        return answer(request, self._patch(request) if self._is_leader() else ())

    def _patch(self, request: Request) -> Sequence[Operation]:
        try:
            return self.patch(request)
        except Exception:  # a defect: the pod must not wait for it
            metrics.ADMITTED.labels("failed").inc()
            logger.exception("pod could not be judged, it is admitted", extra={"object": _named(request.pod)})
            return ()

    def patch(self, request: Request) -> Sequence[Operation]:
        """How a pod is to be changed.

        Args:
            request: the question.
        """
        pod, expected = request.pod, self._cluster.expected
        claim = expected.claim(pod.metadata.annotations.get(CLAIM_ANNOTATION, ""))
        if claim is not None and _is_of(claim, pod):
            return self._again(pod, claim)
        nodes = [] if pod.spec.node_name else expected.nodes(pod)
        if not nodes:
            return ()
        starting = {name for name in nodes if slots.waits_for_start(self._cluster, name)}
        ready = [name for name in nodes if name not in starting]
        found = self._place(pod, ready) if ready else None
        if isinstance(found, Refusal) and not starting:
            return self._left(pod, nodes[0], found)
        if not isinstance(found, Place):
            metrics.ADMITTED.labels("waiting").inc()  # it is bound to its slot once the machine has started
            return ()
        id, pinned = secrets.token_hex(8), self._names(found)
        if not request.dry_run:
            self._cluster.expect(id, pod, found.name)
        return self._placed(pod, found, id, pinned=pinned)

    # --- deciding ---

    def _place(self, pod: Pod, nodes: Sequence[str]) -> Place | Refusal:
        return slots.choose(self._cluster, pod, nodes, self._clock.now())

    def _names(self, place: Place) -> bool:
        """Whether the pod is given its node's name, and not only told to prefer it."""
        return place.why is None and self._may_name(place.name)

    def _may_name(self, node: str) -> bool:
        """Whether a plain pod is given a node's name."""
        if self._cluster.expected.running(node) is not None:
            return self._hard
        return slots.is_guarded(self._cluster, node)

    def _again(self, pod: Pod, claim: Claim) -> Sequence[Operation]:
        """A pod of ours comes once more, because something has changed it after us."""
        given = self._given(pod, claim)
        if pod.spec.node_name == claim.node and _alike(pod, claim.pod):
            self._copied.update(given)
            return ()
        expected = self._cluster.expected
        expected.release(claim)
        found = self._place(pod, [claim.reserved])
        pinned = bool(pod.spec.node_name)
        if isinstance(found, Place) and self._names(found) == pinned:
            self._cluster.expect(claim.id, pod, claim.reserved)
            return ()
        why = found if isinstance(found, Refusal) else Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED)
        metrics.ADMITTED.labels("taken back").inc()
        fields = {"node": claim.node, "pod": _named(pod), "reason": why.reason.name, "why": why.text}
        logger.info("pin taken back, another webhook has changed the pod", extra=fields)
        return patches.take_back(pod, {NOT_PINNED_ANNOTATION: why.text[:_LONGEST_REASON]}, given)

    # --- answering ---

    def _placed(self, pod: Pod, place: Place, id: str, *, pinned: bool) -> Sequence[Operation]:
        instruction = self._cluster.expected.by(place.name)
        self._count(place.name, "hard" if pinned else "soft", place.why)
        fields = {"node": place.node, "pod": _named(pod), "instruction": instruction, "claim": id}
        if pinned:
            metrics.ADMITTED.labels("pinned").inc()
            logger.info("pinning pod", extra=fields)
            marks = {CLAIM_ANNOTATION: id, PIN_ANNOTATION: instruction}
            return patches.pin(pod, place.node, marks, self._labels_of(place.node, pod))
        metrics.ADMITTED.labels("steered").inc()
        logger.info("steering pod", extra=fields)
        return patches.steer(pod, place.node, {CLAIM_ANNOTATION: id})

    def _labels_of(self, node: str, pod: Pod) -> dict[str, str]:
        """The labels that the API server will give the pod: with them it need not ask about the change once more."""
        have = self._cluster.nodes.get(node) if self._copied else None
        labels = have.metadata.labels if have is not None else {}
        wanted = [key for key in COPIED_LABELS if key in self._copied]
        return {key: labels[key] for key in wanted if key in labels and key not in pod.metadata.labels}

    def _given(self, pod: Pod, claim: Claim) -> list[str]:
        """The labels of its node that a pod has got since it was pinned."""
        node = self._cluster.nodes.get(claim.node)
        labels, before, now = node.metadata.labels if node else {}, claim.pod.metadata.labels, pod.metadata.labels
        return [key for key in COPIED_LABELS if key in labels and now.get(key) == labels[key] and key not in before]

    def _left(self, pod: Pod, node: str, why: Refusal) -> Sequence[Operation]:
        metrics.ADMITTED.labels("left").inc()
        self._count(node, "scheduler", why)
        fields = {"node": node, "pod": _named(pod), "reason": why.reason.name, "why": why.text}
        logger.info("expected pod left to the scheduler", extra=fields)
        return patches.mark(pod, {NOT_PINNED_ANNOTATION: why.text[:_LONGEST_REASON]})

    def _count(self, node: str, way: str, why: Refusal | None) -> None:
        """Count a pod that was expected on a node that runs."""
        if self._cluster.expected.running(node) is not None:
            metrics.REPLACEMENTS.labels(way, (why.reason if why is not None else ReasonCode.OK).name).inc()


def _alike(pod: Pod, known: Pod) -> bool:
    """Whether nothing has changed that a pin depends on.

    The API server itself gives a pod the labels of the zone and region of its node, and asks once more for that.
    """
    labels = {key: value for key, value in pod.metadata.labels.items() if key not in COPIED_LABELS}
    before = {key: value for key, value in known.metadata.labels.items() if key not in COPIED_LABELS}
    return labels == before and msgspec.structs.replace(pod.spec, node_name=known.spec.node_name) == known.spec


def _is_of(claim: Claim, pod: Pod) -> bool:
    """Whether a pod can be the one that was admitted: its mark may have been copied to another."""
    meta, known = pod.metadata, claim.pod.metadata
    same = (meta.namespace, meta.generate_name, meta.controller()) == (
        known.namespace,
        known.generate_name,
        known.controller(),
    )
    return same and pod.spec.node_name in ("", claim.node)


def _named(pod: Pod) -> str:
    """A pod for people: one that is being created often has no name yet."""
    meta = pod.metadata
    return f"{meta.namespace}/{meta.name or meta.generate_name + '*'}"
