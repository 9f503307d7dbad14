"""Which Node each late reservation has, is about to learn, or waits for; ``late`` says which ones a promise means."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from moorage.objects import Node
from moorage.reservations import Promise

from ..decisions import late


class Machines:
    """Keeps account of late reservations, by their names."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}  # Node to the reservation that has it
        self._seeking: dict[str, Promise] = {}  # reservations that wait for their Node
        self._anchored: dict[str, dict[str, Promise]] = {}  # the same by what they find it by (``late.anchor``)
        self._chosen: dict[str, str] = {}  # those of them that are about to learn one, and which
        self._chosen_by: dict[str, str] = {}  # the same the other way round
        self._nobodys: dict[str, tuple[str, datetime]] = {}  # Nodes that wait for nobody: uid, and since when

    def owner(self, node: str) -> str:
        """The reservation that has learned a Node; empty when none has."""
        return self._named.get(node, "")

    def waits(self, name: str) -> bool:
        """Whether a reservation waits for its Node."""
        return name in self._seeking

    def sought_by(self, name: str, node: Node | None) -> str:
        """A reservation that is about to learn a Node, or could; empty when none could.

        One after the other is asked: of many with the same labels each takes one Node.

        Args:
            name: of the Node.
            node: the Node; None when it is gone.
        """
        chosen = self._chosen_by.get(name, "")
        if chosen or node is None or not self._seeking:
            return chosen
        for anchor in (*late.anchors(node), ""):
            for each, promise in self._anchored.get(anchor, {}).items():
                if each not in self._chosen and late.selects(promise, node):
                    return each
        return ""

    def learned(self, name: str, before: str, node: str) -> None:
        """Take note of which Node a reservation has now.

        Args:
            name: of the reservation.
            before: its Node so far; empty when it had none.
            node: its Node now; likewise.
        """
        if before != node and self._named.get(before) == name:
            del self._named[before]
        if node and node != name:
            self._named.setdefault(node, name)

    def seek(self, name: str, promise: Promise | None) -> Promise | None:
        """A reservation waits for what its promise means, or (None) for nothing.

        Returns:
            The promise that it waited for until now, when it does no more; None otherwise.
        """
        sought = self._seeking.pop(name, None)
        if sought is not None:
            anchored = self._anchored[late.anchor(sought)]
            del anchored[name]
            if not anchored:
                del self._anchored[late.anchor(sought)]
        if promise is not None:
            self._seeking[name] = promise
            self._anchored.setdefault(late.anchor(promise), {})[name] = promise
            return None
        self._unchoose(name)
        return sought

    def choose(self, name: str, since: str, nodes: Iterable[Node]) -> Node | None:
        """The Node that a reservation learns next; from then on it is nobody else's.

        Args:
            name: of the reservation, which waits.
            since: when it was made (RFC 3339).
            nodes: those that no reservation has.
        """
        self._unchoose(name)
        free = (each for each in nodes if each.metadata.name not in self._chosen_by)
        found = late.choose(self._seeking[name], since, free)
        if found is not None:
            self._chosen[name] = found.metadata.name
            self._chosen_by[found.metadata.name] = name
        return found

    def _unchoose(self, name: str) -> None:
        machine = self._chosen.pop(name, None)
        if machine is not None:
            del self._chosen_by[machine]

    def unclaimed(self, node: Node, now: datetime) -> datetime:
        """Since when it is known that a Node waits for nobody.

        Args:
            node: the Node.
            now: the API server's time.
        """
        meta = node.metadata
        uid, since = self._nobodys.get(meta.name, ("", now))
        if uid != meta.uid:
            since = now
        self._nobodys[meta.name] = (meta.uid, since)
        return since

    def claimed(self, node: str) -> None:
        """Somebody wants a Node, or it is gone."""
        self._nobodys.pop(node, None)

    @property
    def owners(self) -> Iterable[str]:
        """The reservations that have learned their Nodes."""
        return self._named.values()
