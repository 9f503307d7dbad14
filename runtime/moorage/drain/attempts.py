"""Failed writes to nodes, with back-off: no write is repeated for nothing (ADR 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .reasons import Finding, Reason
from .steps import NodeStep, key

BASE, MOST = 1.0, 30.0
"""Seconds between two attempts, doubled each time."""
AT_ONCE = 3
"""How often a write is repeated at once when the node had changed in between."""


@dataclass(slots=True)
class _Attempt:
    """The last attempt of a step. Moments are monotonic seconds."""

    under_way: bool = False
    tries: int = 0
    changes: int = 0
    due: float = 0.0
    why: Finding | None = None


class Attempts:
    """The attempts by node.

    Args:
        monotonic: seconds on a monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._nodes: dict[str, dict[tuple[str, ...], _Attempt]] = {}

    def begun(self, step: NodeStep) -> None:
        """A step starts."""
        self._of(step).under_way = True

    def ended(self, step: NodeStep) -> None:
        """A step has ended, with any result."""
        known = self._nodes.get(step.name, {}).get(key(step))
        if known is not None:
            known.under_way = False

    def made(self, step: NodeStep, *, kept: bool) -> None:
        """The API server has accepted a step.

        Args:
            step: the step.
            kept: whether the response shows the wanted state. A policy may have undone it.
        """
        if kept:
            self._nodes.pop(step.name, None)
            return
        text = "the API server accepted it, and its response shows that it does not last"
        self._tried(step, Finding(Reason.NOT_KEPT, text), 0.0)

    def failed(self, step: NodeStep, why: Finding, *, least: float = 0.0) -> None:
        """A step failed. The server may ask to wait at least some seconds."""
        self._tried(step, why, least)

    def changed(self, step: NodeStep) -> None:
        """The node had changed in between: decide again, at once unless that happens repeatedly."""
        attempt = self._of(step)
        attempt.changes += 1
        if attempt.changes > AT_ONCE:
            self._tried(step, Finding(Reason.WRITE_FAILS, "another program changes it again and again"), 0.0)

    def forget(self, step: NodeStep) -> None:
        """A step had its effect."""
        self._nodes.get(step.name, {}).pop(key(step), None)

    def due(self, step: NodeStep) -> bool:
        """Whether a step may be tried now."""
        return self.wait(step) == 0.0

    def wait(self, step: NodeStep) -> float | None:
        """Seconds until a step may be tried; None while it runs."""
        known = self._nodes.get(step.name, {}).get(key(step))
        if known is None:
            return 0.0
        return None if known.under_way else max(known.due - self._monotonic(), 0.0)

    def busy(self, name: str) -> bool:
        """Whether a step for a node is running."""
        return any(each.under_way for each in self._nodes.get(name, {}).values())

    def tries(self, step: NodeStep) -> int:
        """How often a step has failed."""
        known = self._nodes.get(step.name, {}).get(key(step))
        return known.tries if known is not None else 0

    def trouble(self, step: NodeStep) -> Finding | None:
        """Why a step failed."""
        known = self._nodes.get(step.name, {}).get(key(step))
        return known.why if known is not None else None

    def _of(self, step: NodeStep) -> _Attempt:
        return self._nodes.setdefault(step.name, {}).setdefault(key(step), _Attempt())

    def _tried(self, step: NodeStep, why: Finding, least: float) -> None:
        attempt = self._of(step)
        attempt.tries += 1
        attempt.why = why
        attempt.due = self._monotonic() + max(_delay(attempt.tries), least)


def _delay(tries: int) -> float:
    return min(BASE * 2.0 ** min(tries - 1, 32), MOST)
