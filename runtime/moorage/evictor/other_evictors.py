"""Other evictors in the cluster: each of two evictors would use up what the plan and the floors of the other leave.

Two facts count: a Deployment with the name label or the Helm label of an evictor chart that wants replicas and is not
ours, or a node that another installation is draining.
"""

from __future__ import annotations

from collections.abc import Iterator

from moorage.drain import names as marks
from moorage.kube import resources
from moorage.objects import Node, ObjectMeta, OwnerReference, Workload

from .candidates import names
from .inventory import Inventory
from .kinds import REPLICA_SETS

NAME = "castai-evictor"
_LABEL = names.NAME_LABELS[0]
_CHART_LABEL = "helm.sh/chart"
"""Name and version of the chart, whatever a release is named."""
_DEPLOYMENT = resources.DEPLOYMENTS.kind


class OtherEvictors:
    """Finds other evictors.

    Args:
        namespace: of our pod.
        pod_name: our pod's.
        installation: which one we are, in marks.
    """

    def __init__(self, namespace: str, pod_name: str, installation: str) -> None:
        self._namespace, self._pod_name, self._installation = namespace, pod_name, installation

    def conflict(self, inventory: Inventory) -> str:
        """Return which other evictor may be emptying nodes, for people; empty when there is none.

        Args:
            inventory: all objects as they are now.
        """
        if why := inventory.unseen.get(_DEPLOYMENT):
            return f"whether there is another evictor cannot be seen: {why}"
        return next(self._others(inventory), "")

    def _others(self, inventory: Inventory) -> Iterator[str]:
        ours = self._our_deployment(inventory)
        for key, each in sorted(inventory.of(_DEPLOYMENT, Workload).items()):
            if _is_evictor(each.metadata) and each.spec.replicas != 0 and key != ours:
                yield f"Deployment {key} is another evictor; scale it to 0, or remove it"
        for name, node in sorted(inventory.of("Node", Node).items()):
            if by := self._drained_by(node):
                yield f"installation {by[:120]} is draining node {name}"

    def _our_deployment(self, inventory: Inventory) -> str:
        """The Deployment of our pod: by its owners, or by its name while these are not known."""
        maker = self._owner(inventory, resources.PODS.kind, self._pod_name)
        if maker is not None and maker.kind == REPLICA_SETS.kind:
            top = self._owner(inventory, maker.kind, maker.name, maker.uid)
            if top is not None and top.kind == _DEPLOYMENT:
                return f"{self._namespace}/{top.name}"
        deployments = inventory.of(_DEPLOYMENT, Workload).values()
        here = [each for each in deployments if each.metadata.namespace == self._namespace]
        named = [each for each in here if self._pod_name.startswith(f"{each.metadata.name}-")]
        return max(named, key=lambda each: len(each.metadata.name)).key if named else ""

    def _owner(self, inventory: Inventory, kind: str, name: str, uid: str = "") -> OwnerReference | None:
        """The controller of an object in our namespace, if it can be read and has the uid."""
        thing = inventory.objects.get(kind, {}).get(f"{self._namespace}/{name}")
        same = thing is not None and uid in ("", thing.metadata.uid)
        return thing.metadata.controller() if thing is not None and same else None

    def _drained_by(self, node: Node) -> str:
        """The other installation that drains a node; empty when there is none."""
        try:
            mark = marks.read(node)
        except marks.UnreadableMark:
            return ""
        foreign = mark is not None and not mark.phase.over and mark.by != self._installation
        return mark.by or "of no name" if foreign and mark is not None else ""


def _is_evictor(meta: ObjectMeta) -> bool:
    """Whether a Deployment is that of an evictor chart, ours or the closed product's."""
    return meta.labels.get(_LABEL) == NAME or meta.labels.get(_CHART_LABEL, "").startswith(f"{NAME}-")
