"""Which reservations and which Nodes are of which instance: by providerID, and by nothing else that a machine says."""

from __future__ import annotations

from collections import defaultdict

from moorage.objects import Node


class Instances:
    """Keeps account of providerIDs. An empty one is none."""

    def __init__(self) -> None:
        self._promised: defaultdict[str, set[str]] = defaultdict(set)  # providerID to reservations
        self._nodes: defaultdict[str, set[str]] = defaultdict(set)  # providerID to Nodes with a kubelet
        self._id_of_promise: dict[str, str] = {}
        self._id_of_node: dict[str, str] = {}

    def promised(self, provider_id: str) -> frozenset[str]:
        """The names of the reservations that promise an instance."""
        return frozenset(self._promised.get(provider_id, ())) if provider_id else frozenset()

    def nodes(self, provider_id: str) -> frozenset[str]:
        """The names of the Nodes that an instance has registered."""
        return frozenset(self._nodes.get(provider_id, ())) if provider_id else frozenset()

    def promise(self, name: str, provider_id: str) -> frozenset[str]:
        """A reservation promises an instance, or (empty) none.

        Returns:
            The other reservations of the same instance.
        """
        before = _move(name, provider_id, self._id_of_promise, self._promised)
        return (self.promised(before) | self.promised(provider_id)) - {name} if before != provider_id else frozenset()

    def node(self, name: str, node: Node | None) -> frozenset[str]:
        """A Node is as it is now; None: it is gone.

        Returns:
            The reservations of other names that promise its instance, when that is news.
        """
        provider_id = node.spec.provider_id if node is not None and node.has_kubelet else ""
        before = _move(name, provider_id, self._id_of_node, self._nodes)
        return (self.promised(before) | self.promised(provider_id)) - {name} if before != provider_id else frozenset()


def _move(name: str, now: str, ids: dict[str, str], names: defaultdict[str, set[str]]) -> str:
    """Note another providerID of a name; returns the one before."""
    before = ids.pop(name, "")
    if before != now and before:
        names[before].discard(name)
        if not names[before]:
            del names[before]
    if now:
        ids[name] = now
        names[now].add(name)
    return before
