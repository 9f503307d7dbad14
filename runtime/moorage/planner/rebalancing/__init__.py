"""Plans of kind rebalance: once all their nodes are Ready, those that they take the place of are emptied.

``targets`` says how it stands with the nodes that are made, ``standing`` what holds a pod or node that is to go (both
pure); ``emptying`` empties nodes in the cluster, ``rebalancing`` does one after the other, and ``rebalancer`` does it
for the plan that is served.
"""

from .rebalancer import Rebalancer

__all__ = ["Rebalancer"]
