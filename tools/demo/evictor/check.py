"""The verdict: compares the report with the API server's final state and with every revision on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from moorage.drain.names import DRAIN_ANNOTATION, soft_tainted
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node
from tools.demo.common.floors import Floor, floor_problems, floors

from .events import NodeState
from .observe import node_state
from .report import Report
from .state import State

LEAST_SHARE = 0.95
"""The smallest part of the promised nodes that must be deleted, as in the benchmark."""


@dataclass(frozen=True)
class Outcome:
    """The checked end of the evictor's demo. A node counts as deleted only if its Node object is gone.

    Attributes:
        nodes: number of nodes at the beginning.
        promised: number of nodes that the report promised.
        kept_promise: how many of these are deleted.
        deleted: number of deleted nodes, promised or not.
        bought: number of nodes that joined meanwhile.
        cost_before: price of all nodes per hour.
        cost_promised: price of the nodes that stay by the report.
        cost_after: price of the nodes that exist now.
        evicted: number of pods that left their nodes.
        workloads: results by name.
        problems: differences from the report, one sentence each; empty if there are none.
        seconds: duration of the story without the start of the control plane.
    """

    nodes: int
    promised: int
    kept_promise: int
    deleted: int
    bought: int
    cost_before: float
    cost_promised: float
    cost_after: float
    evicted: int
    workloads: Mapping[str, Floor]
    problems: tuple[str, ...] = ()
    seconds: float = field(default=0.0)

    @property
    def share(self) -> float:
        """The part of the promised nodes that is deleted."""
        return self.kept_promise / self.promised if self.promised else 0.0

    @property
    def sentence(self) -> str:
        """The checked facts, if there are no problems."""
        saved = 100 * (self.cost_before - self.cost_after) / self.cost_before if self.cost_before else 0
        return (
            f"checked: {self.deleted} of {self.nodes} nodes are deleted, {self.kept_promise} of {self.promised} that "
            f"were promised ({100 * self.share:.0f} %); {self.cost_before:.2f} → {self.cost_after:.2f} an hour "
            f"({saved:.0f} % less); {self.evicted} pods evicted; no Deployment fell below its floor, no "
            "PodDisruptionBudget was violated, no node is left cordoned"
        )


async def verify(client: Client, state: State, report: Report, uids: Mapping[str, str], late: str) -> Outcome:
    """Compare the cluster with the report.

    Args:
        client: for reading.
        state: the events of the story.
        report: the report of ``moorage evictor --once``.
        uids: uid by name of the nodes at the time of the report.
        late: what did not happen in time; empty if all did.

    Raises:
        KubeError: the API server refused.
    """
    return judged(state, report, uids, await client.list(resources.NODES), late)


def judged(state: State, report: Report, uids: Mapping[str, str], nodes: Sequence[Node], late: str = "") -> Outcome:
    """The verdict about the nodes at the end."""
    there = {node.metadata.uid for node in nodes}
    gone = {name for name, uid in uids.items() if uid not in there}
    bought = [node for node in nodes if node.metadata.uid not in uids.values()]
    kept = len(gone & report.going)
    prices = {name: node.price for name, node in state.nodes.items()}
    problems = (
        *([late] if late else ()),
        *_promise_problems(kept, report),
        *floor_problems(state),
        *_node_problems(nodes),
        *(f"node {node.metadata.name} was bought meanwhile" for node in bought),
    )
    return Outcome(
        nodes=len(uids),
        promised=len(report.going),
        kept_promise=kept,
        deleted=len(gone),
        bought=len(bought),
        cost_before=round(report.total, 4),
        cost_promised=round(report.total - report.freed, 4),
        cost_after=round(sum(prices.get(node.metadata.name, 0.0) for node in nodes), 4),
        evicted=len(state.evicted),
        workloads=floors(state),
        problems=tuple(problems),
    )


def _promise_problems(kept: int, report: Report) -> Iterator[str]:
    promised = len(report.going)
    if not promised:
        yield "the report promised nothing"
    elif kept < LEAST_SHARE * promised:
        yield (
            f"{kept} of {promised} promised nodes are deleted ({100 * kept / promised:.0f} %); "
            f"at least {100 * LEAST_SHARE:.0f} % must be"
        )


def _node_problems(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        name = node.metadata.name
        if node.spec.unschedulable:
            yield f"node {name} is left cordoned ({node.metadata.annotations.get(DRAIN_ANNOTATION, 'not by us')})"
        elif soft_tainted(node) or node_state(node) is not NodeState.RUNNING:
            yield f"node {name} is {node_state(node).value}, and neither deleted nor given back"
