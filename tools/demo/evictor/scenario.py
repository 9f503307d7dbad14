"""What the evictor's demo is about: seven Deployments on nodes that were bought for more than is left. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

NODES = 40
"""So many nodes the replicas are meant for."""
LEAST_NODES = 8
"""On fewer the replicas would not be spread, and nothing could go."""
INSTANCE_TYPE = "c-4x-amd64-linux"
PRICE_LABEL = "eks-node-viewer/instance-price"
"""What Karpenter's provider says a node costs in an hour."""
KEPT = "autoscaling.cast.ai/removal-disabled"
_UNAVAILABLE = 25
"""Percent of the replicas that a rolling update may take away, unless a Deployment says otherwise."""


@dataclass(frozen=True)
class App:
    """One Deployment.

    Attributes:
        name: of it.
        replicas: how many pods.
        cpu: what each requests, in milli-cores.
        budget: how many of them a PodDisruptionBudget lets be missing; None: there is no budget.
    """

    name: str
    replicas: int
    cpu: int
    budget: int | None = None

    @property
    def floor(self) -> int:
        """How many pods must be Ready at any time."""
        if self.budget is not None:
            return self.replicas - self.budget
        return max(1, self.replicas - max(1, self.replicas * _UNAVAILABLE // 100))


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
