"""Checks values of the evictor's chart that are valid one by one and contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .mistakes import Mistake
from .yamlfile import Document

CHART = "castai-evictor"
ROLLING = "RollingUpdate"
OVERLAPPING = (
    f"is false and updateStrategy.type is {ROLLING}: while a pod is replaced, it and the new one would each take "
    "themselves for the leader; set updateStrategy.type to Recreate, or leave leader election on"
)
"""The text about replicas without leader election that are replaced while they still run."""


def mistakes(document: Document) -> Iterator[Mistake]:
    """What the chart's templates refuse in values that match its schema.

    Args:
        document: the values, a map.
    """
    election = document.value.get("leaderElection")
    if isinstance(election, Mapping) and election.get("enabled") is False:
        counts = [found for key in ("replicas", "replicaCount") if (found := document.value.get(key)) is not None]
        strategy = document.value.get("updateStrategy", {})
        if counts and counts[0] > 1:
            yield document.mistake(("leaderElection", "enabled"), f"enabled: {without_election(str(counts[0]))}")
        elif _type(strategy) == ROLLING:
            yield document.mistake(("leaderElection", "enabled"), f"enabled: {OVERLAPPING}")


def _type(strategy: Any) -> str:
    """How pods are replaced: the chart's default where a map leaves it out, and Kubernetes' where it is taken away."""
    found = strategy.get("type", "Recreate") if isinstance(strategy, Mapping) else None
    return found or ROLLING


def without_election(replicas: str) -> str:
    """The text about several replicas without leader election.

    Args:
        replicas: their number.
    """
    return (
        f"is false and there are {replicas} replicas: each of them would take itself for the leader; set replicas to "
        "1, or leave leader election on"
    )
