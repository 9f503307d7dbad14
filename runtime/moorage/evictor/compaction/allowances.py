"""What one cycle may evict: what PodDisruptionBudgets allow, and how often an owner may be disturbed."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from .loads import Load
from .reasons import KeptFinding, KeptReason


class Allowance(NamedTuple):
    """One limit on evictions.

    Attributes:
        reason: why a node is kept when it is used up.
        name: name of the budget or owner.
        left: how many evictions it allows.
    """

    reason: KeptReason
    name: str
    left: int


class Allowances:
    """All limits; they are used up as nodes are chosen.

    Args:
        known: by the keys that loads have.
    """

    def __init__(self, known: dict[str, Allowance]) -> None:
        self._known = known
        self._used: Counter[str] = Counter()

    def against(self, load: Load) -> list[KeptFinding]:
        """Return why a node cannot be emptied in addition."""
        findings = []
        for key, count in load.spends.items():
            known = self._known[key]
            used = self._used[key]
            if used + count > known.left:
                detail = f"{known.name} allows {known.left}, {used} are used up, {count} are needed"
                findings.append(KeptFinding(known.reason, detail))
        return findings

    def allow(self, load: Load) -> bool:
        """Whether a node can be emptied in addition."""
        return all(self._used[key] + count <= self._known[key].left for key, count in load.spends.items())

    def take(self, load: Load) -> None:
        """Use up the evictions of a node."""
        self._used.update(load.spends)

    def give_back(self, load: Load) -> None:
        """Undo ``take``."""
        self._used.subtract(load.spends)
