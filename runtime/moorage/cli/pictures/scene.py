"""What a picture shows: nodes, the pods on them, and pods without a node; pure data."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NodeState(enum.Enum):
    """How far a node is."""

    PLANNED = "planned"
    """Promised, and nothing in the cluster yet."""
    PLACEHOLDER = "placeholder"
    """A Node object without a machine."""
    JOINING = "joining"
    """Its machine has been switched on or its kubelet has reported; not yet ready for everybody."""
    READY = "ready"
    """Its kubelet is Ready, and the pinner has opened it."""
    NOT_READY = "not ready"
    """Its kubelet is not Ready, and nothing is promised on it."""
    GONE = "gone"
    """The Node object was deleted."""


class PodState(enum.Enum):
    """How far a pod is."""

    PENDING = "pending"
    """On no node."""
    PINNED = "pinned"
    """Bound to a node by Moorage, and not running yet."""
    STARTING = "starting"
    """Bound to a node by the scheduler, and not running yet."""
    RUNNING = "running"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Block:
    """One pod.

    Attributes:
        owner: its Deployment or other controller.
        state: how far it is.
        cpu: what it requests, in milli-cores.
    """

    owner: str
    state: PodState
    cpu: int


@dataclass(frozen=True, slots=True)
class Row:
    """One node.

    Attributes:
        name: of it.
        state: how far it is.
        cpu: what pods may request of it, in milli-cores.
        blocks: the pods that are bound to it.
        promised: how many pods are still to come, by owner.
        why: what needs attention; empty when nothing does.
    """

    name: str
    state: NodeState
    cpu: int
    blocks: tuple[Block, ...] = ()
    promised: tuple[tuple[str, int], ...] = ()
    why: str = ""

    @property
    def requested(self) -> int:
        """Milli-cores that its pods request."""
        return sum(block.cpu for block in self.blocks)

    @property
    def to_come(self) -> int:
        """How many pods are promised the node, and not on it."""
        return sum(count for _, count in self.promised)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; CPU in milli-cores."""
        return {
            "name": self.name,
            "state": self.state.value,
            "cpu": {"requested": self.requested, "allocatable": self.cpu},
            "pods": _by_owner(self.blocks),
            "promised": dict(self.promised),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster at a moment.

    Attributes:
        rows: the nodes.
        pending: pods on no node.
    """

    rows: tuple[Row, ...] = ()
    pending: tuple[Block, ...] = ()

    def pods(self) -> Counter[PodState]:
        """How many pods are in each state."""
        found = Counter(block.state for row in self.rows for block in row.blocks)
        found[PodState.PENDING] += len(self.pending)
        return found

    def nodes(self) -> Counter[NodeState]:
        """How many nodes are in each state."""
        return Counter(row.state for row in self.rows)

    def to_come(self) -> int:
        """How many pods are promised a node, and not on it."""
        return sum(row.to_come for row in self.rows)

    def owners(self) -> list[str]:
        """Everybody who has a pod: those first whose pods are under way, then those with most pods."""
        moving: Counter[str] = Counter(block.owner for block in self.pending)
        every = Counter(moving)
        for row in self.rows:
            moving.update(dict(row.promised))
            every.update(dict(row.promised))
            every.update(block.owner for block in row.blocks)
            moving.update(block.owner for block in row.blocks if block.state is PodState.PINNED)
        return sorted(every, key=lambda owner: (-moving[owner], -every[owner], owner))

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "pods": {state.value: count for state, count in self.pods().items()},
            "promised": self.to_come(),
            "pending": _by_owner(self.pending),
            "nodes": [row.as_json() for row in self.rows],
        }


def _by_owner(blocks: tuple[Block, ...]) -> Mapping[str, Mapping[str, int]]:
    result: dict[str, Counter[str]] = {}
    for block in blocks:
        result.setdefault(block.owner, Counter())[block.state.value] += 1
    return result
