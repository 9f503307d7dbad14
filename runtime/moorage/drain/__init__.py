"""The one way in which nodes are emptied: taint, cordon, evict, wait for the replacements, roll back.

``decide`` (pure) says what is to be done about one node, ``batch`` about all nodes of a cycle, ``executor`` does it,
and ``Drainer`` runs one cycle after the other for as long as a term lasts.
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
