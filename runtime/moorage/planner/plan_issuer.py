"""From a plan to instructions: what is known from the file at once, pods as they are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from moorage.objects import Pod
from moorage.protocol import CreatePlaceholder, DeletePlaceholder, ExpectPods, PinPods, Release

from .assign import Assigner, Lacking
from .instruction_store import Board
from .plan import Plan, PlannedNode
from .source import NodeChange, Planned, Withdrawn


class Engine:
    """Puts one plan after the other on the board.

    Args:
        board: where instructions go.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._plan: Plan | None = None
        self._assigner: Assigner | None = None
        self._decided: dict[str, str] = {}  # by the plans before: whoever has a place keeps it

    @property
    def plan(self) -> Plan | None:
        """The plan that is served."""
        return self._plan

    @property
    def lacking(self) -> tuple[Lacking, ...]:
        """Entries of the plan for which there are too few pods."""
        return self._assigner.lacking if self._assigner is not None else ()

    @property
    def complete(self) -> bool:
        """Whether every entry of the plan has its pods, as far as was looked."""
        return self._assigner is not None and not self._assigner.lacking

    def begin(self, plan: Plan) -> None:
        """Serve a plan instead of the one before: nodes first, pods when ``look`` is called."""
        board = self._board
        board.start(plan.name, plan.lasting)
        if self._assigner is not None:
            self._decided = self._assigner.decided
        self._plan, self._assigner = plan, None
        for name in plan.delete:
            board.issue(DeletePlaceholder(name))
        for name in plan.release:
            board.issue(Release(name))
        for node in plan.nodes:
            self._plan_node(plan, node, None)

    def change(self, change: NodeChange) -> Plan:
        """Take a change of the plan that is served; pods follow when ``look`` is called.

        Args:
            change: what is different from now on.

        Returns:
            The plan as it is now.
        """
        plan = self._plan
        assert plan is not None  # noqa: S101 - begin comes first
        name = change.node.name if isinstance(change, Planned) else change.name
        if isinstance(change, Planned):
            before = next((node for node in plan.nodes if node.name == name), None)
            # Nodes are filled in their order, and one that is changed keeps its place.
            nodes = (*plan.nodes, change.node) if before is None else _in_place(plan.nodes, change.node)
            self._plan_node(plan, change.node, before)
        else:
            nodes = tuple(node for node in plan.nodes if node.name != name)
            self._board.issue(DeletePlaceholder(name) if isinstance(change, Withdrawn) else Release(name))
        self._plan = plan = replace(plan, nodes=nodes)
        if self._assigner is not None:
            self._assigner.follow(plan)
        return plan

    def _plan_node(self, plan: Plan, node: PlannedNode, before: PlannedNode | None) -> None:
        """Issue what is new of a node: promise and slots."""
        if node.promise is not None and (before is None or before.promise != node.promise):
            self._board.issue(CreatePlaceholder(node.promise))
        if node.slots and (before is None or before.slots != node.slots):
            self._board.issue(ExpectPods(node.name, node.slots), plan.expecting)

    def look(self, pods: Iterable[Pod], before: Mapping[str, str] | None = None) -> None:
        """Pin the pods that the plan asks for and that were not pinned yet.

        Args:
            pods: those of the cluster; none when the plan names all pods by uid.
            before: what the pinner holds of this plan already, by uid; taken note of at the first look.
        """
        assert self._plan is not None  # noqa: S101 - begin comes first
        if self._assigner is None:
            self._assigner = Assigner(self._plan, {**(before or {}), **self._decided})
        for node, refs in self._assigner.update(pods):
            self._board.issue(PinPods(node, refs))


def _in_place(nodes: tuple[PlannedNode, ...], node: PlannedNode) -> tuple[PlannedNode, ...]:
    return tuple(node if each.name == node.name else each for each in nodes)
