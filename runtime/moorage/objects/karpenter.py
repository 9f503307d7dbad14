"""Karpenter's NodePools."""

from __future__ import annotations

from .base import KubeObject, Object


class PoolBudget(Object, frozen=True):
    """How many nodes Karpenter may remove at a time (``"10%"``, ``"0"``): always, or for a time after ``schedule``."""

    nodes: str = ""
    schedule: str = ""
    reasons: tuple[str, ...] = ()


class Disruption(Object, frozen=True):
    """When Karpenter removes nodes; ``consolidate_after`` is ``"30s"`` or ``"Never"``."""

    consolidation_policy: str = ""
    consolidate_after: str = ""
    budgets: tuple[PoolBudget, ...] = ()


class NodePoolSpec(Object, frozen=True):
    """The part of ``spec`` about the removal of nodes. ``replicas`` nodes are kept, whatever runs on them."""

    disruption: Disruption = Disruption()
    replicas: int | None = None


class NodePool(KubeObject, frozen=True):
    """A NodePool. Its nodes carry its name as a label."""

    spec: NodePoolSpec = NodePoolSpec()
