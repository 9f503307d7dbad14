"""What the evictor's demo is about: seven Deployments on nodes that were bought for more than is left. Pure."""

from __future__ import annotations

from dataclasses import replace

from tools.demo.common.apps import App

NODES = 40
"""So many nodes the replicas are meant for."""
LEAST_NODES = 8
"""On fewer the replicas would not be spread, and nothing could go."""
INSTANCE_TYPE = "c-4x-amd64-linux"
PRICE_LABEL = "eks-node-viewer/instance-price"
"""What Karpenter's provider says a node costs in an hour."""
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
    """The Deployments of a cluster of so many nodes: about as full as that of 40."""

    def part(count: int, least: int) -> int:
        return max(least, round(count * nodes / NODES))

    return tuple(
        replace(app, replicas=part(app.replicas, 2), budget=None if app.budget is None else part(app.budget, 1))
        if app.replicas > 1
        else app
        for app in APPS
    )
