"""Plans of kind rebalance: when all their nodes are Ready, the nodes that they replace are drained.

``targets`` tells the state of the new nodes, and ``guards`` what prevents the eviction of a pod or the drain of a node
(both pure). ``emptying`` drains nodes, ``rebalancing`` runs the stages, and ``rebalancer`` does this for the current
plan.
"""

from .rebalancer import Rebalancer

__all__ = ["Rebalancer"]
