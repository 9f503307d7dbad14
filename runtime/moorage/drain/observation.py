"""The state of one node that is or may be drained: the input of ``decide``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from moorage.objects import Node, Pod

from .cluster_state import belongs_to_node
from .reasons import Finding
from .settings import Settings


class Stance(Enum):
    """What a pod means for a drain. The service decides this again in each round."""

    MOVES = "moves"
    """The pod is evicted."""
    STAYS = "stays"
    """The pod stays, and its node counts as empty."""
    HOLDS = "holds"
    """The pod must not be moved, so its node must not be drained. A used-up budget does not count here."""


class OnNode(NamedTuple):
    """A pod on the node.

    Attributes:
        pod: the pod.
        stance: what it means for the drain.
        exempt: whether the floor does not apply: a single replica in aggressive mode, or a disposable pod.
        why: the reason for its stance, if it prevents the drain.
    """

    pod: Pod
    stance: Stance
    exempt: bool = False
    why: str = ""

    @property
    def lives(self) -> bool:
        """Whether the pod has neither finished nor is terminating."""
        return not self.pod.finished and self.pod.metadata.deletion_timestamp is None

    @property
    def leaves(self) -> bool:
        """Whether the pod is terminating and still uses its room."""
        pod = self.pod
        return pod.metadata.deletion_timestamp is not None and not pod.finished and not belongs_to_node(pod)


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of one node at one moment.

    Attributes:
        name: the node's name.
        now: the API server's time.
        node: the Node, or None.
        pods: the pods on the node.
        by: the id of our installation.
        settings: how nodes are drained.
        wanted: whether the node is to be emptied.
        stop: why a drain that has started must not continue; None when it may.
        turn: why the node must wait for its turn; None when it need not.
        hold: why no eviction may be made yet; None when it may.
        claimed: what another program does with the node, for people; empty when none does.
        unread: the reason for an unreadable pod on the node; empty when there is none.
        doubtful: whether the result of our last write to the node is unknown.
        room: how many more evictions may start.
    """

    name: str
    now: datetime
    node: Node | None
    pods: tuple[OnNode, ...]
    by: str
    settings: Settings
    wanted: bool = True
    stop: Finding | None = None
    turn: Finding | None = None
    hold: Finding | None = None
    claimed: str = ""
    unread: str = ""
    doubtful: bool = False
    room: int = 10
