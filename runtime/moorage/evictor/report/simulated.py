"""The cluster as it would be once the plan is carried out: for figures, and for questions about single nodes and pods.

All of it happens in a trial of the snapshot, which the caller opens.
"""

from __future__ import annotations

from moorage.evictor.candidates.controllers import Controllers, Lookup
from moorage.evictor.compaction.replacements import Replacements
from moorage.objects import Pod

from .input import Seen


class Simulated:
    """Carries a plan out, and knows the pods that come for those that go.

    Args:
        look: what was found.
    """

    def __init__(self, look: Seen) -> None:
        cluster = look.cluster
        self._plan = look.plan
        self._snapshot = cluster.snapshot
        self._lookup = Lookup(cluster.view)
        self._pods = {pod.key: pod for pod in cluster.view.pods}
        self.replacements = Replacements(cluster.view.pods, cluster.templates)

    def pod(self, key: str) -> Pod | None:
        """A pod as it is now."""
        return self._pods.get(key)

    def controllers(self, key: str) -> Controllers:
        """The controllers of a pod that is there."""
        return self._lookup.of(self._pods[key])

    def replacement(self, key: str) -> Pod:
        """What comes when a pod goes that is there."""
        return self.replacements.of(self._pods[key], self.controllers(key).made)

    def carry_out(self) -> None:
        """Move all pods of the chosen nodes."""
        for node in self._plan.chosen:
            for move in node.moves:
                self._snapshot.remove(move.pod)
                self._snapshot.place(self.replacement(move.pod), move.node, key=move.pod)

    def owner(self, key: str) -> str:
        """The topmost controller of a pod that is known, for people; empty when it has none."""
        controllers = self.controllers(key)
        if not controllers.found:
            return _named(self._pods[key].metadata.namespace, controllers.who)
        kind = controllers.kinds[len(controllers.found) - 1]
        return f"{kind} {controllers.found[-1].key}"


def _named(namespace: str, who: str) -> str:
    kind, blank, name = who.partition(" ")
    return f"{kind} {namespace}/{name}" if blank else who
