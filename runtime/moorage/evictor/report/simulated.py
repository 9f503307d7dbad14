"""The cluster once the plan is carried out: for figures, and for questions about single nodes and pods.

All of it happens in a trial of the snapshot, which the caller opens.
"""

from __future__ import annotations

from moorage.evictor.candidates.controllers import Controllers, Lookup
from moorage.evictor.compaction.replacements import Replacements
from moorage.objects import Pod

from .input import ReportInput


class Simulated:
    """Carries the plan out in the snapshot, and knows the replacements.

    Args:
        evaluation: what was found.
    """

    def __init__(self, evaluation: ReportInput) -> None:
        cluster = evaluation.cluster
        self._plan = evaluation.plan
        self._snapshot = cluster.snapshot
        self._lookup = Lookup(cluster.view)
        self._pods = {pod.key: pod for pod in cluster.view.pods}
        self.replacements = Replacements(cluster.view.pods, cluster.templates)

    def pod(self, key: str) -> Pod | None:
        """Return a pod as it is now."""
        return self._pods.get(key)

    def controllers(self, key: str) -> Controllers:
        """Return the controllers of a pod."""
        return self._lookup.of(self._pods[key])

    def replacement(self, key: str) -> Pod:
        """Return the replacement of a pod."""
        return self.replacements.of(self._pods[key], self.controllers(key).made)

    def carry_out(self) -> None:
        """Move all pods of the chosen nodes."""
        for node in self._plan.chosen:
            for move in node.moves:
                self._snapshot.remove(move.pod)
                self._snapshot.place(self.replacement(move.pod), move.node, key=move.pod)

    def owner(self, key: str) -> str:
        """Return the topmost controller of a pod, for people; empty when it has none."""
        controllers = self.controllers(key)
        if not controllers.objects:
            return _named(self._pods[key].metadata.namespace, controllers.direct_owner)
        kind = controllers.kinds[len(controllers.objects) - 1]
        return f"{kind} {controllers.objects[-1].key}"


def _named(namespace: str, controller: str) -> str:
    kind, blank, name = controller.partition(" ")
    return f"{kind} {namespace}/{name}" if blank else controller
