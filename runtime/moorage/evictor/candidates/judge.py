"""Judges all nodes of a cluster and the pods on them."""

from __future__ import annotations

from moorage.evictor.rules import node_rules

from . import drain_marks, nodes
from .pods import Pods
from .policy import Policy
from .verdicts import NodeVerdict, PodVerdict
from .view import View


def judge(view: View, policy: Policy, *, patient: bool = False) -> dict[str, NodeVerdict]:
    """Return the verdict on every node: may it be emptied, and what holds it.

    Args:
        view: what is known of the cluster.
        policy: the settings.
        patient: whether a budget that allows no eviction now is waited for, and holds nothing.

    Returns:
        A verdict on each node, by its name.
    """
    pods = Pods(view, policy, patient=patient)
    matching = {name: node_rules(policy.rules, node.metadata.labels) for name, node in view.nodes.items()}
    on: dict[str, list[PodVerdict]] = {name: [] for name in view.nodes}
    for pod in view.pods:
        name = pod.spec.node_name
        if name in on:
            on[name].append(pods.judge(pod, matching[name]))
    groups = drain_marks.resting_groups(view)
    return {
        name: NodeVerdict(
            name, (*nodes.against(node, view, policy), *drain_marks.against_group(node, groups)), tuple(on[name])
        )
        for name, node in view.nodes.items()
    }
