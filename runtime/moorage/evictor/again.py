"""The simulation, asked again in the middle of a cycle: which of its nodes could still go, as the cluster is now.

Marks of ours on those nodes are left aside, and so is what the cycle has used up for the moment. Pods that are still on
nodes that are being emptied count as gone, so that room is kept for their replacements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta

import msgspec

from moorage.drain.names import DRAIN_ANNOTATION, SOFT_TAINT, Phase
from moorage.drain.sight import belongs_to_node
from moorage.objects import KubeObject, Node, Pod

from .candidates import NodeFinding, NodeReason, NodeVerdict, Policy, drains, judge
from .compaction import Cluster, History, choose, never
from .configuration import Configuration
from .inventory import Inventory


def still(
    inventory: Inventory,
    configuration: Configuration,
    history: History,
    wanted: Collection[str],
    stopped: Callable[[], bool] = never,
) -> frozenset[str]:
    """Which of some nodes could still be emptied together.

    Args:
        inventory: all objects as they are now.
        configuration: settings and rules.
        history: the evictions of late, those of this cycle among them.
        wanted: the nodes that are asked about.
        stopped: asked now and then whether nobody wants the answer any more.

    Raises:
        Stopped: nobody does.
    """
    snapshot, inventory = _as_if(inventory, configuration.policy, wanted).counted()
    view = inventory.view()
    judged = judge(view, configuration.policy, patient=True)
    verdicts = {name: verdict if name in wanted else _aside(verdict) for name, verdict in judged.items()}
    choice = replace(
        configuration.choice,
        most=None,
        least=len(wanted),
        percentage=100,
        quiet_period=timedelta(0),  # whoever drains stops by itself when a node comes
        midway=True,
    )
    plan = choose(Cluster(snapshot, view, verdicts, inventory.templates()), choice, history, stopped)
    return frozenset(node.name for node in plan.chosen)


def _aside(verdict: NodeVerdict) -> NodeVerdict:
    """A node that nobody asks about: it stays, and may receive pods as before."""
    not_asked = NodeFinding(NodeReason.NODE_RESTING, "it is not part of the cycle")
    return verdict._replace(findings=(*verdict.findings, not_asked))


def _as_if(inventory: Inventory, policy: Policy, wanted: Collection[str]) -> Inventory:
    """The cluster without what we did to the nodes in question, and without what is about to leave the others."""
    nodes, pods = inventory.of("Node", Node), inventory.objects.get("Pod", {})
    leaving = {name for name, node in nodes.items() if name not in wanted and _is_draining(node, policy)}
    changed: Mapping[str, Mapping[str, KubeObject]] = {
        **inventory.objects,
        "Node": {
            name: _plain(node, policy) if name in wanted and isinstance(node, Node) else node
            for name, node in inventory.objects.get("Node", {}).items()
        },
        "Pod": {key: pod for key, pod in pods.items() if not (isinstance(pod, Pod) and _leaves(pod, leaving))},
    }
    return replace(inventory, objects=changed)


def _is_draining(node: Node, policy: Policy) -> bool:
    mark = drains.ours(node, policy)
    return mark is not None and mark.phase is Phase.DRAINING


def _leaves(pod: Pod, leaving: Collection[str]) -> bool:
    return pod.spec.node_name in leaving and not belongs_to_node(pod)


def _plain(node: Node, policy: Policy) -> Node:
    """A node as it was before we chose it."""
    mark = drains.ours(node, policy)
    if mark is None or mark.phase.over:
        return node
    spec, meta = node.spec, node.metadata
    annotations = {key: value for key, value in meta.annotations.items() if key != DRAIN_ANNOTATION}
    taints = [each for each in spec.taints if not (mark.tainted and each.key == SOFT_TAINT.key)]
    return msgspec.structs.replace(
        node,
        metadata=msgspec.structs.replace(meta, annotations=annotations),
        spec=msgspec.structs.replace(
            spec, taints=type(spec.taints)(taints), unschedulable=spec.unschedulable and not mark.cordoned
        ),
    )
