"""What a report reads of an evaluation. The protocols keep reports apart from the sources of objects."""

from __future__ import annotations

from typing import Protocol

from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import Cluster, Plan, Settings


class InForce(Protocol):
    """``configuration.Configuration``, as far as reports read it."""

    @property
    def enabled(self) -> bool:
        """Whether the evictor is enabled."""

    @property
    def policy(self) -> Policy:
        """The settings for candidates."""

    @property
    def choice(self) -> Settings:
        """The settings for the choice."""


class ReportInput(Protocol):
    """``evaluation.Evaluation``, as far as reports read it."""

    @property
    def configuration(self) -> InForce:
        """The configuration."""

    @property
    def cluster(self) -> Cluster:
        """The input of the choice."""

    @property
    def plan(self) -> Plan:
        """The plan."""
