"""What can be done about one node that is drained, and what is decided about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, TypeAlias

from moorage.objects import Node, Pod

from .names import Phase
from .reasons import Finding


@dataclass(frozen=True, slots=True)
class _OfNode:
    node: Node

    @property
    def name(self) -> str:
        """The node's."""
        return self.node.metadata.name


@dataclass(frozen=True, slots=True)
class SoftTaint(_OfNode):
    """Mark a node as chosen, and keep the scheduler from it as far as there is room elsewhere."""


@dataclass(frozen=True, slots=True)
class Begin(_OfNode):
    """Note that the drain begins, and cordon the node, unless the soft taint is to do."""

    cordon: bool


@dataclass(frozen=True, slots=True)
class MarkEmptied(_OfNode):
    """Exchange our cordon for the soft taint: autoscalers still count the room of an emptied node."""


@dataclass(frozen=True, slots=True)
class RollBack(_OfNode):
    """Take what is ours off a node, and leave the reason."""

    why: Finding


@dataclass(frozen=True, slots=True)
class HandBack(_OfNode):
    """Take the soft taint off a node that was emptied, and leave the reason."""

    why: Finding


@dataclass(frozen=True, slots=True)
class LookAtNode:
    """Read a node: what became of a write to it is not known."""

    name: str


@dataclass(frozen=True, slots=True)
class LookAtPod:
    """Read a pod: what became of its eviction is not known."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict a pod."""

    pod: Pod


NodeStep: TypeAlias = SoftTaint | Begin | MarkEmptied | RollBack | HandBack | LookAtNode
Step: TypeAlias = NodeStep | LookAtPod | Evict


def key(step: NodeStep) -> tuple[str, ...]:
    """What makes two steps the same: the verb, and the object as it was meant."""
    uid = "" if isinstance(step, LookAtNode) else step.node.metadata.uid
    return (type(step).__name__, uid)


class Wait(NamedTuple):
    """What a node waits for.

    Attributes:
        why: the reason.
        until: when to look again even if nothing happens; None: never.
    """

    why: Finding
    until: datetime | None = None


class Outcome(Enum):
    """What has become of a node."""

    EMPTIED = "emptied"
    ROLLED_BACK = "rolled back"
    HANDED_BACK = "handed back"
    REFUSED = "refused"
    """Nothing was set on it."""
    GONE = "gone"
    """It is gone, or soon will be."""
    STUCK = "stuck"
    """Something of ours is still on it, and could not be taken off: that is tried again with the next cycle."""
    UNTOUCHED = "untouched"
    """Nothing is wanted of it, and nothing of ours is on it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a node now.

    Attributes:
        steps: may be done in any order, or together; then the node is looked at again.
        waits: what keeps it from being emptied.
        outcome: what has become of it, once nothing is left to be done.
        why: why it comes, or has come, to nothing.
        phase: how far it is.
    """

    steps: tuple[Step, ...] = ()
    waits: tuple[Wait, ...] = ()
    outcome: Outcome | None = None
    why: Finding | None = None
    phase: Phase | None = None
