"""The steps that can be made for a drained node, and the decision about it."""

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
        """The name of the node."""
        return self.node.metadata.name


@dataclass(frozen=True, slots=True)
class SoftTaint(_OfNode):
    """Mark a node as chosen, and set the soft taint."""


@dataclass(frozen=True, slots=True)
class Begin(_OfNode):
    """Record the start of the drain, and cordon the node, unless only the soft taint is used."""

    cordon: bool


@dataclass(frozen=True, slots=True)
class MarkEmptied(_OfNode):
    """Replace our cordon with the soft taint, so that autoscalers count the room of the emptied node."""


@dataclass(frozen=True, slots=True)
class RollBack(_OfNode):
    """Remove what is ours from a node, and keep the reason."""

    why: Finding


@dataclass(frozen=True, slots=True)
class HandBack(_OfNode):
    """Remove the soft taint from an emptied node, and keep the reason."""

    why: Finding


@dataclass(frozen=True, slots=True)
class LookAtNode:
    """Read a node, because the result of a write to it is unknown."""

    name: str


@dataclass(frozen=True, slots=True)
class LookAtPod:
    """Read a pod, because the result of its eviction is unknown."""

    pod: Pod


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict a pod."""

    pod: Pod


NodeStep: TypeAlias = SoftTaint | Begin | MarkEmptied | RollBack | HandBack | LookAtNode
Step: TypeAlias = NodeStep | LookAtPod | Evict


def key(step: NodeStep) -> tuple[str, ...]:
    """The identity of a step: the verb, and the object that it is for."""
    uid = "" if isinstance(step, LookAtNode) else step.node.metadata.uid
    return (type(step).__name__, uid)


class Wait(NamedTuple):
    """A reason for which a node waits.

    Attributes:
        why: the reason.
        until: when to decide again even if nothing happens; None means no such time.
    """

    why: Finding
    until: datetime | None = None


class Outcome(Enum):
    """The result of a drain."""

    EMPTIED = "emptied"
    ROLLED_BACK = "rolled back"
    HANDED_BACK = "handed back"
    REFUSED = "refused"
    """Nothing was set on the node."""
    GONE = "gone"
    """The node is deleted, or soon will be."""
    STUCK = "stuck"
    """Something of ours could not be removed from the node. The next cycle tries again."""
    UNTOUCHED = "untouched"
    """The drain has ended, and nothing of ours is on the node."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a node.

    Attributes:
        steps: the steps, in any order or in parallel. Decide again after them.
        waits: what the drain waits for.
        outcome: the result, when nothing is left to do.
        why: why the drain fails or has failed.
        phase: the phase of the drain.
    """

    steps: tuple[Step, ...] = ()
    waits: tuple[Wait, ...] = ()
    outcome: Outcome | None = None
    why: Finding | None = None
    phase: Phase | None = None
