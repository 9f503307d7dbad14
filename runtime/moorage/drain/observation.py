"""What is known of one node that is drained, or may be: the input of ``decide``."""

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
    """What a pod means for a drain; whoever has nodes drained says so, anew at each look."""

    MOVES = "moves"
    """It is evicted."""
    STAYS = "stays"
    """It is left alone, and its node is empty all the same."""
    HOLDS = "holds"
    """It may not be moved, so its node may not be drained. A budget that is spent for the moment is no such reason."""


class OnNode(NamedTuple):
    """A pod on the node.

    Attributes:
        pod: the pod.
        stance: what it means.
        exempt: whether its workload may lose it whatever is left: a single replica in aggressive mode, or a pod that
            somebody has called disposable.
        why: the sentence for its stance, if it holds the node.
    """

    pod: Pod
    stance: Stance
    exempt: bool = False
    why: str = ""

    @property
    def lives(self) -> bool:
        """Whether it has neither ended nor been told to."""
        return not self.pod.finished and self.pod.metadata.deletion_timestamp is None

    @property
    def leaves(self) -> bool:
        """Whether it is on its way, and its room is not free yet."""
        pod = self.pod
        return pod.metadata.deletion_timestamp is not None and not pod.finished and not belongs_to_node(pod)


@dataclass(frozen=True, slots=True)
class Observation:
    """One node at one moment.

    Attributes:
        name: the node's name.
        now: the API server's time.
        node: the Node, or None.
        pods: what is on it.
        by: which installation we are.
        settings: how nodes are drained.
        wanted: whether it is to be emptied.
        stop: why it is not to be, although it was begun with; None while it is.
        turn: why its turn has not come; None when it has.
        hold: why nothing is evicted yet; None when that may be.
        claimed: what another program is doing with the node, for people; empty when none is.
        unread: what is said of a pod on it that cannot be read; empty when there is none.
        doubtful: whether what became of our last write to it is not known.
        room: how many more evictions may be begun.
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
