"""Judges all nodes of a cluster, and the pods on them."""

from __future__ import annotations

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
    on: dict[str, list[PodVerdict]] = {name: [] for name in view.nodes}
    for pod in view.pods:
        node = view.nodes.get(pod.spec.node_name)
        if node is not None:
            on[pod.spec.node_name].append(pods.judge(pod, node.metadata.labels))
    return {
        name: NodeVerdict(name, tuple(nodes.against(node, view, policy)), tuple(on[name]))
        for name, node in view.nodes.items()
    }
