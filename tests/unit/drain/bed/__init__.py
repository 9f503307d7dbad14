"""A cluster in memory to drain nodes of: the pinner's API server, with what acts in a cluster by itself."""

from .bed import Bed
from .cluster import Cluster

__all__ = ["Bed", "Cluster"]
