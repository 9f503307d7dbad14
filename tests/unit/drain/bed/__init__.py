"""A cluster in memory whose nodes are drained: the pinner's API server, with the controllers of a cluster."""

from .bed import Bed
from .cluster import Cluster

__all__ = ["Bed", "Cluster"]
