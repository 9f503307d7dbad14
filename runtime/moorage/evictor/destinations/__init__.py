"""Destinations of replacements: the simulation chooses them, the cycle tracks them, the pod pinner serves them.

``moves`` and ``tracking`` are pure; ``reserving`` writes. Nothing depends on it: without a pinner that serves,
replacements go where the scheduler puts them.
"""

from .moves import ReplacementMove, replacement_moves
from .reserving import Reserving
from .steering import Steering
from .tracking import Arrivals, MoveTracking

__all__ = ["Arrivals", "MoveTracking", "ReplacementMove", "Reserving", "Steering", "replacement_moves"]
