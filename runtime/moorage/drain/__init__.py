"""Drains nodes: soft taint, cordon, evictions, wait for the replacements, rollback.

There is no other drain in the code.

``decide`` (pure) decides about one node, and ``batch`` (no I/O) about all nodes of a cycle. ``executor`` makes the
writes. ``Drainer`` runs one cycle after another for the length of a term.
"""

from .batch import Ended, Policy
from .cached_cluster import CachedCluster
from .cluster_state import ClusterState
from .cool_down import resting
from .drainer import Drained, Drainer
from .executor import News
from .names import DRAIN_ANNOTATION, SOFT_TAINT, Mark, Phase, UnreadableMark, read
from .observation import OnNode, Stance
from .reasons import Effect, Finding, Reason
from .settings import Settings
from .steps import Outcome

__all__ = [
    "DRAIN_ANNOTATION",
    "SOFT_TAINT",
    "CachedCluster",
    "ClusterState",
    "Drained",
    "Drainer",
    "Effect",
    "Ended",
    "Finding",
    "Mark",
    "News",
    "OnNode",
    "Outcome",
    "Phase",
    "Policy",
    "Reason",
    "Settings",
    "Stance",
    "UnreadableMark",
    "read",
    "resting",
]
