"""The new nodes of a rebalancing: whether all are Ready, or one of them never will be. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.protocol import (
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    NodeReport,
    NodeState,
    Outcome,
    Position,
    Release,
    Webhook,
)
from moorage.wording import be, counted

from .. import outcomes
from ..instruction_store import InstructionStore
from ..plan import Plan

_WITHOUT_MACHINE = (NodeState.PENDING, NodeState.PLACEHOLDER)


class Targets:
    """The nodes of one plan in one cluster.

    Args:
        plan: the plan.
        store: acknowledgements and reports.
        cluster: the cluster.
    """

    def __init__(self, plan: Plan, store: InstructionStore, cluster: str) -> None:
        self._store, self._cluster = store, cluster
        self.follow(plan)

    def follow(self, plan: Plan) -> None:
        """Use the changed nodes of the plan."""
        self._names = tuple(node.name for node in plan.nodes)

    @property
    def paused(self) -> str:
        """Why no eviction may be made now although all nodes were Ready, for people; empty when it may.

        Without a leading pinner, a new pod goes wherever the scheduler puts it.
        """
        if not self._store.reports.is_led(self._cluster):
            return "no pod pinner that leads is connected"
        left = sum(slot.left for _, report in self._reports() if report is not None for slot in report.slots)
        if left and self._store.reports.webhook(self._cluster) is Webhook.IDLE:
            return f"{counted(left, 'pod')} {be(left)} expected, and the pod pinner's webhook does not assign them yet"
        return next(self.waiting, "")

    @property
    def waiting(self) -> Iterator[str]:
        """A sentence for each node that is not Ready; none when all are."""
        for name, report in self._reports():
            if report is None:
                yield f"node {name}: there is no report yet"
            elif not report.state.usable:
                yield f"node {name}: {report.sentence or report.state.value}"

    @property
    def lost(self) -> str:
        """The node that will never be as promised, with the reason; empty while all may be."""
        return next(self._refused(), "") or next(self._failed(), "")

    def withdrawal(self) -> Iterator[Action]:
        """The instructions that take the expectations back: placeholders are deleted, and existing machines stay."""
        for name, report in self._reports():
            yield DeletePlaceholder(name) if _may_be_deleted(report) else Release(name)

    def release(self) -> Iterator[Action]:
        """The instructions that end all expectations when no more pods are expected."""
        return map(Release, self._names)

    def _refused(self) -> Iterator[str]:
        for instruction in self._store:
            ack = self._store.ack(self._cluster, instruction)
            bad = ack is not None and ack.outcome in (Outcome.REJECTED, Outcome.FAILED)
            if ack is not None and bad and isinstance(instruction.action, CreatePlaceholder | ExpectPods):
                yield f"node {instruction.node}: {next(outcomes.sentences(ack))}"

    def _failed(self) -> Iterator[str]:
        for name, report in self._reports():
            if report is not None and report.state.lost:
                yield f"node {name}: {report.sentence or report.state.value}"

    def _reports(self) -> Iterator[tuple[str, NodeReport | None]]:
        """The nodes, each with its report since the plan was issued; None when there is none."""
        known = self._store.reports.of(self._cluster)
        positions: dict[str, Position] = {}
        for instruction in self._store:
            if isinstance(instruction.action, CreatePlaceholder | ExpectPods):
                positions[instruction.node] = instruction.position
        for name in self._names:
            report = known.get(name)
            yield name, report if report is not None and report.position >= positions[name] else None


def _may_be_deleted(report: NodeReport | None) -> bool:
    """Whether no machine for a node is known. The pinner refuses to delete a node that has one."""
    return report is None or report.state in _WITHOUT_MACHINE
