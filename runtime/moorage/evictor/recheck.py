"""Checks in the middle of a cycle which of its nodes can still be emptied, as the cluster is now.

The check ignores our marks on those nodes, and what the cycle itself has used up for the moment. Pods on nodes under a
drain count as gone. Their replacements count as running on their destination if they still fit there; for the others
room is reserved on any node that has some.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from moorage.drain.cluster_state import belongs_to_node
from moorage.drain.names import DRAIN_ANNOTATION, SOFT_TAINT, Phase
from moorage.objects import KubeObject, Node, Pod
from moorage.scheduling import Snapshot

from .candidates import NodeFinding, NodeReason, NodeVerdict, Policy, drain_marks, judge
from .compaction import Cluster, History, choose, never
from .configuration import Configuration
from .destinations import ReplacementMove, replacement_moves
from .inventory import Inventory


class Remaining(NamedTuple):
    """The nodes that can still be emptied.

    Attributes:
        nodes: these nodes, together.
        moves: where the replacements of their pods would go, as far as these can be steered.
        coming: the replacements of other nodes' pods that still fit where they are to go.
        places: destinations of all of their pods, by key: the proposal for the next check.
    """

    nodes: frozenset[str]
    moves: tuple[ReplacementMove, ...] = ()
    coming: tuple[ReplacementMove, ...] = ()
    places: Mapping[str, str] = MappingProxyType({})


def draining_nodes(inventory: Inventory, policy: Policy) -> frozenset[str]:
    """Return the nodes that this installation drains.

    Args:
        inventory: all objects as they are now.
        policy: has the name of this installation.
    """
    return frozenset(name for name, node in inventory.of("Node", Node).items() if _is_draining(node, policy))


def recheck(
    inventory: Inventory,
    configuration: Configuration,
    history: History,
    wanted: Collection[str],
    coming: Sequence[ReplacementMove] = (),
    proposed: Mapping[str, str] = MappingProxyType({}),
    stopped: Callable[[], bool] = never,
) -> Remaining:
    """Return which of some nodes can still be emptied together.

    Args:
        inventory: all objects as they are now.
        configuration: settings and rules.
        history: the recent evictions, those of this cycle among them.
        wanted: the nodes in question.
        coming: replacements that are still to be made for pods of other nodes.
        proposed: where pods were to go when it was asked before, by key: as long as that can be, nothing else is
            looked for, so that nodes are not given up because another search finds another way.
        stopped: returns True when the caller does not need the answer any more.

    Raises:
        Stopped: the caller does not need the answer any more.
    """
    snapshot, inventory = _as_if(inventory, configuration.policy, wanted).counted()
    view, templates = inventory.view(), inventory.templates()
    judged = judge(view, configuration.policy, patient=True)
    verdicts = {name: verdict if name in wanted else _aside(verdict) for name, verdict in judged.items()}
    choice = replace(
        configuration.choice,
        most=None,
        least=len(wanted),
        percentage=100,
        quiet_period=timedelta(0),  # the drain itself stops when a node is created
        midway=True,
    )
    fitting = tuple(_placed(snapshot, coming))
    there = replace(view, pods=[*view.pods, *(_come(each) for each in fitting)])
    plan = choose(Cluster(snapshot, there, verdicts, templates, proposed), choice, history, stopped)
    moves = tuple(replacement_moves(plan, view, templates))
    places = {move.pod: move.node for node in plan.chosen for move in node.moves}
    return Remaining(frozenset(node.name for node in plan.chosen), moves, fitting, places)


def _placed(snapshot: Snapshot, coming: Sequence[ReplacementMove]) -> Iterator[ReplacementMove]:
    """The replacements that fit their destination; they use its room from now on."""
    for number, each in enumerate(coming):
        slot = snapshot.nodes.slots.get(each.node)
        if slot is not None and snapshot.fits_at(each.replacement, slot, as_replacement=True):
            snapshot.place(each.replacement, each.node, key=f"{each.replacement.key} {number}")
            yield each


def _come(each: ReplacementMove) -> Pod:
    """A replacement as a running pod that is never the youngest of its owner."""
    pod = each.replacement
    meta = msgspec.structs.replace(pod.metadata, creation_timestamp=None)
    return msgspec.structs.replace(pod, metadata=meta, spec=msgspec.structs.replace(pod.spec, node_name=each.node))


def _aside(verdict: NodeVerdict) -> NodeVerdict:
    """The verdict on a node outside of the question: it stays, and receives pods as before."""
    not_asked = NodeFinding(NodeReason.NODE_RESTING, "it is not part of the cycle")
    return verdict._replace(findings=(*verdict.findings, not_asked))


def _as_if(inventory: Inventory, policy: Policy, wanted: Collection[str]) -> Inventory:
    """The cluster without our marks on the nodes in question, and without the pods that leave other nodes."""
    nodes, pods = inventory.of("Node", Node), inventory.objects.get("Pod", {})
    draining = {name for name, node in nodes.items() if name not in wanted and _is_draining(node, policy)}
    changed: Mapping[str, Mapping[str, KubeObject]] = {
        **inventory.objects,
        "Node": {
            name: _plain(node, policy) if name in wanted and isinstance(node, Node) else node
            for name, node in inventory.objects.get("Node", {}).items()
        },
        "Pod": {key: pod for key, pod in pods.items() if not (isinstance(pod, Pod) and _leaves(pod, draining))},
    }
    return replace(inventory, objects=changed)


def _is_draining(node: Node, policy: Policy) -> bool:
    mark = drain_marks.ours(node, policy)
    return mark is not None and mark.phase is Phase.DRAINING


def _leaves(pod: Pod, draining: Collection[str]) -> bool:
    return pod.spec.node_name in draining and not belongs_to_node(pod)


def _plain(node: Node, policy: Policy) -> Node:
    """A node without our mark, cordon and taint."""
    mark = drain_marks.ours(node, policy)
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
