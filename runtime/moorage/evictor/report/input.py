"""What a report reads of a look; said here so that reports stay apart from where objects come from."""

from __future__ import annotations

from typing import Protocol

from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import Cluster, Plan, Settings


class InForce(Protocol):
    """``configuration.Configuration``."""

    @property
    def enabled(self) -> bool:
        """Whether the evictor does anything."""

    @property
    def policy(self) -> Policy:
        """Who may go."""

    @property
    def choice(self) -> Settings:
        """Which of those go."""


class Seen(Protocol):
    """``evaluation.Look``."""

    @property
    def configuration(self) -> InForce:
        """What was in force."""

    @property
    def cluster(self) -> Cluster:
        """What was chosen from."""

    @property
    def plan(self) -> Plan:
        """What was chosen."""
