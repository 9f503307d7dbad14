"""Where replacements are to go: what the simulation says, kept up in a cycle, and told to the pod pinner.

``moves`` and ``tracking`` are pure; ``reserving`` writes. Nothing depends on it: without a pinner that serves,
replacements go where the scheduler puts them.
"""

from .moves import Destined, destined
from .reserving import Reserving
from .steering import Steering
from .tracking import Book, Come

__all__ = ["Book", "Come", "Destined", "Reserving", "Steering", "destined"]
