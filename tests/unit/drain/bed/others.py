"""Days with other clients beside a drain: people who change nodes and marks, controllers, other evictors."""

from __future__ import annotations

import msgspec

from moorage.drain import Drainer
from tests.unit.pinner.bed.refusals import Json

from .bed import Bed
from .cluster import NAMESPACE
from .days import APPS, NODES, Day
from .witness import MARK

_FORGED = (
    "{}",
    "mine",
    '{"by":"castai-agent/castai-evictor","cycle":"x","phase":"draining","since":"9999-01-01T00:00:00Z"}',
    '{"by":"somebody/else","cycle":"x","phase":"draining","since":"2030-01-01T00:00:00Z"}',
)


class Beside(Day):
    """What they do, each a deed.

    Attributes:
        taken: nodes whose mark another client has removed or overwritten: their taints and cordons are no longer ours.
    """

    def __init__(self, bed: Bed, drainer: Drainer, nodes: tuple[str, ...]) -> None:
        super().__init__(bed, drainer, nodes)
        self.taken: set[str] = set()

    def evict(self, app: int) -> None:
        """Another client evicts a pod, as its budget allows."""
        for pod in self._bed.cluster.of(APPS[app]):
            free = not self._bed.api.budgets_of(pod) and "deletionTimestamp" not in pod["metadata"]
            if free and pod["spec"].get("nodeName"):
                self._bed.witness.scaled[APPS[app]] = self._bed.now()  # what we see of it is late, too
                self._bed.api.delete("pods", f"{NAMESPACE}/{pod['metadata']['name']}")
                return

    def untaint(self, node: int) -> None:
        """A person takes all taints off a node."""
        if NODES[node] in self._bed.cluster.nodes:
            self._bed.api.edit("nodes", NODES[node], lambda found: found["spec"].pop("taints", None))

    def unmark(self, node: int) -> None:
        """A person removes the mark of a node: nothing on the node counts as ours after that."""
        self._overwrite(node, None)

    def forge(self, node: int, text: int) -> None:
        """A person writes something else where our mark is."""
        self._overwrite(node, _FORGED[text])

    def budget(self, app: int, least: int) -> None:
        """Somebody makes a budget in the middle, perhaps the second of a workload."""
        name = f"late-{APPS[app]}"
        if f"{NAMESPACE}/{name}" not in self._bed.api.store.objects["poddisruptionbudgets"]:
            self._bed.cluster.budget(name, APPS[app], minAvailable=least)

    def crowd(self) -> None:
        """Many pods find no place."""
        if f"{NAMESPACE}/batch" not in self._bed.api.store.objects["deployments"]:
            self._bed.cluster.deployment("batch", 60)

    # --- pieces ---

    def _overwrite(self, node: int, text: str | None) -> None:
        name = NODES[node]
        if name not in self._bed.cluster.nodes:
            return
        ours = _says(self._bed.node(name))
        if ours is None or ours.get("phase") in ("rolled-back", "handed-back"):
            return
        self.taken.add(name)
        self._bed.witness.foreign.add(name)
        self._bed.api.edit("nodes", name, lambda found: _write(found, text))


def _says(node: Json) -> Json | None:
    text = node["metadata"].get("annotations", {}).get(MARK)
    try:
        found: Json | None = msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None
    return found


def _write(node: Json, text: str | None) -> None:
    node["metadata"]["annotations"].pop(MARK)
    if text is not None:
        node["metadata"]["annotations"][MARK] = text
