"""Where a planner's decisions come from: a whole plan, then changes of it, node by node.

A plan file only ever replaces the plan. A program that decides by itself (an autoscaler) says which node is to come,
which is not and which needs nothing more. Nothing else is touched: pinners stay connected and hear of that node alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from moorage.files.mistakes import FileMistakes

from .plan import Plan, PlannedNode


@dataclass(frozen=True, slots=True)
class Served:
    """A plan is to be served; what was served before is replaced, and an epoch begins."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A node joins the plan, or its pods and slots are others than before.

    The promise of a node stays as it is: a pinner refuses another one under the same name. Slots replace the slots
    before. A node without slots keeps what is expected there until its time is over, or until it is ``Released``.
    """

    node: PlannedNode


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A node leaves the plan because its machine does not come: its placeholder is deleted, its pods are free again."""

    name: str


@dataclass(frozen=True, slots=True)
class Released:
    """A node leaves the plan because it needs nothing more: pods that are bound there stay."""

    name: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """What the source has to say cannot be read; what is served stays."""

    error: FileMistakes


NodeChange: TypeAlias = Planned | Withdrawn | Released
Change: TypeAlias = Served | NodeChange | Unusable


class Source(Protocol):
    """What decides which nodes are to come, and which pods run on them."""

    def changes(self) -> AsyncGenerator[Change, None]:
        """The changes, in their order, for as long as somebody reads them; closed by whoever reads.

        The first one that can be used is a ``Served``: what stands when the planner starts, perhaps without any node.
        It says again what an earlier life of the planner was told. Ids follow from what is said: nothing is done twice.
        """
