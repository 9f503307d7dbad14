"""Judges all nodes of a cluster, and the pods on them."""

from __future__ import annotations

from moorage.evictor.rules import node_rules

from . import nodes
from .pods import Pods
from .policy import Policy
from .verdicts import NodeVerdict, PodVerdict
from .view import View


def judge(view: View, policy: Policy) -> dict[str, NodeVerdict]:
    """Which nodes may be emptied, and what holds each of the others.

    Args:
        view: what is known of the cluster.
        policy: the settings.

    Returns:
        A verdict on each node, by its name.
    """
    pods = Pods(view, policy)
    matching = {name: node_rules(policy.rules, node.metadata.labels) for name, node in view.nodes.items()}
    on: dict[str, list[PodVerdict]] = {name: [] for name in view.nodes}
    for pod in view.pods:
        name = pod.spec.node_name
        if name in on:
            on[name].append(pods.judge(pod, matching[name]))
    return {
        name: NodeVerdict(name, tuple(nodes.against(node, view, policy)), tuple(on[name]))
        for name, node in view.nodes.items()
    }
