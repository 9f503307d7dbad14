"""Karpenter's NodePools."""

from __future__ import annotations

from .base import KubeObject, Object


class PoolBudget(Object, frozen=True):
    """How many nodes Karpenter removes at a time (``"10%"``, ``"0"``): always, or for a time from ``schedule`` on."""

    nodes: str = ""
    schedule: str = ""
    reasons: tuple[str, ...] = ()


class Disruption(Object, frozen=True):
    """When Karpenter removes nodes by itself; ``consolidate_after`` is ``"30s"`` or ``"Never"``."""

    consolidation_policy: str = ""
    consolidate_after: str = ""
    budgets: tuple[PoolBudget, ...] = ()


class NodePoolSpec(Object, frozen=True):
    """The part of ``spec`` that says which nodes go; ``replicas``: that many are kept, whatever runs on them."""

    disruption: Disruption = Disruption()
    replicas: int | None = None


class NodePool(KubeObject, frozen=True):
    """What Karpenter buys nodes by; each of them is labelled with its name."""

    spec: NodePoolSpec = NodePoolSpec()
