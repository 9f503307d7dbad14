"""A plan: which nodes are to come, and which pods run on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moorage.protocol import Owner, PodRef, Promise, Slot
from moorage.protocol.validate import LATE


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pods of one namespace, selected by exactly one of name, owner and labels.

    Attributes:
        namespace: their namespace.
        name: the name of one pod.
        uid: the uid of that pod; empty means any pod of this name.
        owner: the top-level controller.
        labels: labels that the pods have.
        count: how many of them one node gets; None means as many as fit (fill only).
        line: the line in the file, for messages.
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
        """The pod, if it is named with its uid, so that no lookup is needed."""
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
    """One node. ``promise`` is None for a node that runs already."""

    name: str
    promise: Promise | None
    pods: tuple[Wanted, ...] = ()
    slots: tuple[Slot, ...] = ()

    @property
    def late(self) -> bool:
        """Whether the Node may have another name than the plan's."""
        promise = self.promise
        return promise is not None and bool(promise.profile == LATE or promise.node_claim or promise.match_labels)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """The nodes that a plan replaces.

    Attributes:
        drain: the nodes to drain, in this order.
        within: the time limit, counted from the moment when all nodes of the plan are Ready.
    """

    drain: tuple[str, ...]
    within: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """The content of a plan file.

    Attributes:
        name: the name of the plan.
        digest: of the file's content. Another digest is another plan.
        lasting: the validity of an instruction, counted from its issue.
        nodes: the nodes, in the order in which they are filled.
        fill: pods for any node with room. ``count`` limits how many of them one node gets.
        delete: nodes that will not come.
        release: nodes on which no more pods are expected.
        rebalance: the nodes that are drained; None when the plan is not a rebalancing.
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
        """How long pods are expected. This includes the time for draining nodes."""
        return self.lasting + (self.rebalance.within if self.rebalance is not None else timedelta())

    @property
    def needs_cluster(self) -> Wanted | None:
        """An entry whose pods must be looked up in the cluster; None when there is none."""
        if self.fill:
            return self.fill[0]
        return next((wanted for node in self.nodes for wanted in node.pods if wanted.exact is None), None)
