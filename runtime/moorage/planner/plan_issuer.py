"""Turns a plan into instructions: nodes at once, pods as soon as they are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from moorage.objects import Pod
from moorage.ops.slices import aside
from moorage.protocol import CreatePlaceholder, DeletePlaceholder, ExpectPods, PinPods, PodRef, Release

from .assign import Assigner, Lacking
from .instruction_store import InstructionStore
from .plan import Plan, PlannedNode
from .source import NodeChange, Planned, Withdrawn


class PlanIssuer:
    """Issues the instructions of one plan after another.

    Args:
        store: stores the instructions.
    """

    def __init__(self, store: InstructionStore) -> None:
        self._store = store
        self._plan: Plan | None = None
        self._assigner: Assigner | None = None
        self._looking = False  # in a thread: what it finds is not issued yet
        self._decided: dict[str, str] = {}  # assignments of earlier plans: a pod keeps its node

    @property
    def plan(self) -> Plan | None:
        """The current plan."""
        return self._plan

    @property
    def lacking(self) -> tuple[Lacking, ...]:
        """Entries of the plan that have too few pods."""
        return self._assigner.lacking if self._assigner is not None else ()

    @property
    def complete(self) -> bool:
        """Whether every entry of the plan has its pods, as far as the cluster is known."""
        return self._assigner is not None and not self._looking and not self._assigner.lacking

    def begin(self, plan: Plan) -> None:
        """Replace the plan. Nodes are issued now, and pods when ``look`` is called."""
        store = self._store
        store.start(plan.name, plan.lasting)
        if self._assigner is not None:
            self._decided = self._assigner.decided
        self._plan, self._assigner = plan, None
        for name in plan.delete:
            store.issue(DeletePlaceholder(name))
        for name in plan.release:
            store.issue(Release(name))
        for node in plan.nodes:
            self._plan_node(plan, node, None)

    def change(self, change: NodeChange) -> Plan:
        """Apply a change to the current plan. Pods follow when ``look`` is called.

        Args:
            change: the change.

        Returns:
            The changed plan.
        """
        plan = self._plan
        assert plan is not None  # noqa: S101 - begin comes first
        name = change.node.name if isinstance(change, Planned) else change.name
        if isinstance(change, Planned):
            before = next((node for node in plan.nodes if node.name == name), None)
            # Nodes are filled in order. A changed node keeps its position.
            nodes = (*plan.nodes, change.node) if before is None else _in_place(plan.nodes, change.node)
            self._plan_node(plan, change.node, before)
        else:
            nodes = tuple(node for node in plan.nodes if node.name != name)
            self._store.issue(DeletePlaceholder(name) if isinstance(change, Withdrawn) else Release(name))
        self._plan = plan = replace(plan, nodes=nodes)
        if self._assigner is not None:
            self._assigner.follow(plan)
        return plan

    def _plan_node(self, plan: Plan, node: PlannedNode, before: PlannedNode | None) -> None:
        """Issue what is new about a node: promise and slots."""
        if node.promise is not None and (before is None or before.promise != node.promise):
            self._store.issue(CreatePlaceholder(node.promise))
        if node.slots and (before is None or before.slots != node.slots):
            self._store.issue(ExpectPods(node.name, node.slots), plan.expecting)

    def look(self, pods: Iterable[Pod], before: Mapping[str, str] | None = None) -> None:
        """Pin the pods of the plan that were not pinned yet.

        Args:
            pods: the pods of the cluster; empty when the plan names all pods by uid.
            before: the pins of this plan from before a restart, by pod uid. Used in the first call only.
        """
        self._pin(self._current(before).update(pods))

    async def look_aside(self, pods: Iterable[Pod], before: Mapping[str, str] | None = None) -> None:
        """As ``look``, in a thread: with many pods it takes a moment. No other method may be called meanwhile.

        Args:
            pods: as for ``look``.
            before: as for ``look``.
        """
        self._looking = True
        try:
            self._pin(await aside(self._current(before).update, tuple(pods)))
        finally:
            self._looking = False

    def _current(self, before: Mapping[str, str] | None) -> Assigner:
        assert self._plan is not None  # noqa: S101 - begin comes first
        if self._assigner is None:
            self._assigner = Assigner(self._plan, {**(before or {}), **self._decided})
        return self._assigner

    def _pin(self, chosen: Iterable[tuple[str, tuple[PodRef, ...]]]) -> None:
        for node, refs in chosen:
            self._store.issue(PinPods(node, refs))


def _in_place(nodes: tuple[PlannedNode, ...], node: PlannedNode) -> tuple[PlannedNode, ...]:
    return tuple(node if each.name == node.name else each for each in nodes)
