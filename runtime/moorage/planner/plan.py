"""A plan: which nodes are to come, and which pods run on which of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moorage.protocol import Owner, PodRef, Promise, Slot
from moorage.protocol.validate import LATE


@dataclass(frozen=True, slots=True)
class Wanted:
    """Some pods of one namespace: exactly one of name, owner and labels says which.

    Attributes:
        namespace: their namespace.
        name: of one pod.
        uid: of that pod; empty means whichever has the name.
        owner: top controller.
        labels: labels they all have.
        count: how many of them on the node; None means as many as fit (fill only).
        line: in the file, for people.
    """

    namespace: str
    name: str = ""
    uid: str = ""
    owner: Owner | None = None
    labels: tuple[tuple[str, str], ...] = ()
    count: int | None = 1
    line: int = 0

    @property
    def exact(self) -> PodRef | None:
        """The pod, when it is named so that nobody needs to look it up."""
        return PodRef(self.namespace, self.name, self.uid) if self.name and self.uid else None

    def __str__(self) -> str:
        """For people: ``2 × Deployment/web in shop``."""
        if self.name:
            return f"{self.namespace}/{self.name}"
        labels = ",".join(f"{key}={value}" for key, value in self.labels)
        which = f"{self.owner.kind}/{self.owner.name}" if self.owner else f"pods with {labels}"
        return f"{f'{self.count} × ' if self.count else ''}{which} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node; ``promise`` is None when the node runs already."""

    name: str
    promise: Promise | None
    pods: tuple[Wanted, ...] = ()
    slots: tuple[Slot, ...] = ()

    @property
    def late(self) -> bool:
        """Whether its Node may have another name than the plan's."""
        promise = self.promise
        return promise is not None and bool(promise.profile == LATE or promise.node_claim or promise.match_labels)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What becomes of the nodes that a plan's own take the place of.

    Attributes:
        drain: the nodes that are emptied, in this order.
        within: how long that may take once the plan's nodes are Ready.
    """

    drain: tuple[str, ...]
    within: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan file says.

    Attributes:
        name: of the plan.
        digest: of the file's content; another digest is another plan.
        lasting: how long after its issue an instruction may be carried out.
        nodes: in the order in which they are filled.
        fill: pods for whichever node has room; ``count`` is how many of them one node takes.
        delete: nodes that will not come.
        release: nodes on which nothing more is expected.
        rebalance: of a rebalancing, what is emptied; None when nothing is.
    """

    name: str
    digest: str
    lasting: timedelta
    nodes: tuple[PlannedNode, ...] = ()
    fill: tuple[Wanted, ...] = ()
    delete: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    rebalance: Rebalance | None = None

    @property
    def expecting(self) -> timedelta:
        """How long pods are expected: while nodes are emptied, too."""
        return self.lasting + (self.rebalance.within if self.rebalance is not None else timedelta())

    @property
    def needs_cluster(self) -> Wanted | None:
        """An entry whose pods must be looked up in the cluster, or None when there is no such entry."""
        if self.fill:
            return self.fill[0]
        return next((wanted for node in self.nodes for wanted in node.pods if wanted.exact is None), None)
