"""The workloads of the evictor's demo: seven Deployments on more nodes than they still need. No I/O."""

from __future__ import annotations

from dataclasses import replace

from tools.demo.common.apps import App

NODES = 40
"""The number of nodes for which the replicas are chosen."""
LEAST_NODES = 8
"""On fewer nodes the replicas would not be spread, and no node could be emptied."""
INSTANCE_TYPE = "c-4x-amd64-linux"
PRICE_LABEL = "eks-node-viewer/instance-price"
"""Price of a node per hour, from Karpenter's provider."""
KEPT = "autoscaling.cast.ai/removal-disabled"

APPS = (
    App("web", 32, 500),
    App("api", 24, 700),
    App("search", 12, 1000),
    App("cart", 16, 400),
    App("mail", 10, 300, budget=3),
    App("cache", 8, 750, budget=2),
    App("admin", 1, 250),
)


def scaled(nodes: int) -> tuple[App, ...]:
    """The Deployments for a cluster of this many nodes, with about the use of 40 nodes."""

    def part(count: int, least: int) -> int:
        return max(least, round(count * nodes / NODES))

    return tuple(
        replace(app, replicas=part(app.replicas, 2), budget=None if app.budget is None else part(app.budget, 1))
        if app.replicas > 1
        else app
        for app in APPS
    )
