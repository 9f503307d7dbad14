"""How it stands with the nodes that a rebalancing makes: are they all Ready, or will one of them never be? No I/O."""

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

from .. import outcomes
from ..instruction_store import Board
from ..plan import Plan

_WITHOUT_MACHINE = (NodeState.PENDING, NodeState.PLACEHOLDER)


class Targets:
    """The nodes of one plan in one cluster.

    Args:
        plan: the plan.
        board: what was answered and reported.
        cluster: the cluster.
    """

    def __init__(self, plan: Plan, board: Board, cluster: str) -> None:
        self._board, self._cluster = board, cluster
        self.follow(plan)

    def follow(self, plan: Plan) -> None:
        """Take the nodes of the plan as they are now."""
        self._names = tuple(node.name for node in plan.nodes)

    @property
    def paused(self) -> str:
        """Why nothing may be evicted now although all were Ready once, for people; empty when something may.

        A pod that is created while no pinner leads goes wherever the scheduler puts it.
        """
        if not self._board.reports.is_led(self._cluster):
            return "no pod pinner that leads is connected"
        left = sum(slot.left for _, report in self._reports() if report is not None for slot in report.slots)
        if left and self._board.reports.webhook(self._cluster) is Webhook.IDLE:
            return f"{left} pods are expected, and the pod pinner's webhook is not asked about them yet"
        return next(self.waiting, "")

    @property
    def waiting(self) -> Iterator[str]:
        """What is waited for, a sentence for each node that is not Ready; none when all are."""
        for name, report in self._reports():
            if report is None:
                yield f"node {name}: nothing is known of it yet"
            elif not report.state.usable:
                yield f"node {name}: {report.sentence or report.state.value}"

    @property
    def lost(self) -> str:
        """Which node will never be what was promised, and why; empty while each still may."""
        return next(self._refused(), "") or next(self._failed(), "")

    def withdrawal(self) -> Iterator[Action]:
        """What takes back that pods are expected: placeholders go, and machines that have come are left as they are."""
        for name, report in self._reports():
            yield DeletePlaceholder(name) if _may_be_deleted(report) else Release(name)

    def release(self) -> Iterator[Action]:
        """What ends all expectations, once nothing more is to come."""
        return map(Release, self._names)

    def _refused(self) -> Iterator[str]:
        for instruction in self._board:
            ack = self._board.ack(self._cluster, instruction)
            bad = ack is not None and ack.outcome in (Outcome.REJECTED, Outcome.FAILED)
            if ack is not None and bad and isinstance(instruction.action, CreatePlaceholder | ExpectPods):
                yield f"node {instruction.node}: {next(outcomes.sentences(ack))}"

    def _failed(self) -> Iterator[str]:
        for name, report in self._reports():
            if report is not None and report.state.lost:
                yield f"node {name}: {report.sentence or report.state.value}"

    def _reports(self) -> Iterator[tuple[str, NodeReport | None]]:
        """The nodes, each with how it stands since the plan was taken on; None while that is not known."""
        known = self._board.reports.of(self._cluster)
        asked: dict[str, Position] = {}
        for instruction in self._board:
            if isinstance(instruction.action, CreatePlaceholder | ExpectPods):
                asked[instruction.node] = instruction.position
        for name in self._names:
            report = known.get(name)
            yield name, report if report is not None and report.position >= asked[name] else None


def _may_be_deleted(report: NodeReport | None) -> bool:
    """Whether no machine is known to have a node; of one that has, the pinner would refuse to delete it."""
    return report is None or report.state in _WITHOUT_MACHINE
