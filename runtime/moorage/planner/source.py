"""The source of a planner's decisions: a whole plan, then changes of single nodes.

A plan file always replaces the whole plan. A program with decisions of its own, such as an autoscaler, reports which
node is to come, which one is not, and which one needs nothing more. Other nodes are not affected: pinners stay
connected and receive only the change.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from moorage.files.mistakes import FileMistakes

from .plan import Plan, PlannedNode


@dataclass(frozen=True, slots=True)
class Served:
    """A plan that replaces the current one. It starts an epoch."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A node joins the plan, or its pods and slots have changed.

    The promise of a node must not change: a pinner refuses another one under the same name. New slots replace the
    earlier ones. Without slots, the expectations on the node stay until they expire or the node is ``Released``.
    """

    node: PlannedNode


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A node leaves the plan because its machine does not come.

    Its placeholder is deleted, and its pods are free again.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Released:
    """A node leaves the plan because it needs nothing more. Pods that are bound there stay."""

    name: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The source is invalid at the moment. The current plan stays."""

    error: FileMistakes


NodeChange: TypeAlias = Planned | Withdrawn | Released
Change: TypeAlias = Served | NodeChange | Unusable


class Source(Protocol):
    """Decides which nodes are to come, and which pods run on them."""

    def changes(self) -> AsyncGenerator[Change, None]:
        """Yield the changes in order. The caller closes the generator.

        The first valid item is a ``Served``: the plan when the planner starts, possibly without nodes. After a restart,
        a source repeats what it has decided before. Ids depend only on the content, so nothing is done twice.
        """
