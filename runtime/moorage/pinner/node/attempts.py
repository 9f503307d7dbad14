"""Steps that were tried and are still wanted: when each may be tried again, and what is to be said of it.

A step that the API server accepts and that changes nothing (somebody's finalizer holds the object, a policy takes a
label off again) looks as if it had never been made. So does one that is refused. Neither is repeated at once: the step
waits, each time longer, while all other steps of the node go on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from moorage.protocol import ReasonCode

from ..decisions.steps import Confirm, Step, key
from ..refusal import Refusal

REMEMBERED = 600.0
"""Seconds after which a step that nobody wanted again is forgotten."""
AT_ONCE = 3
"""How often a step may be made again at once because the object had changed meanwhile."""

_chance = random.Random()  # noqa: S311 - spreads load, guards nothing


@dataclass(slots=True)
class _Attempt:
    """One step as it was tried last; moments are monotonic seconds."""

    tries: int = 0
    changes: int = 0
    accepted: bool = False
    made: float = 0.0
    due: float = 0.0
    why: Refusal | None = None
    reported: Refusal | None = None


class Attempts:
    """Remembers steps by node.

    Args:
        base: seconds between the first two tries of a step, half of it at least; doubled with each.
        cap: the most seconds between two tries.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, base: float, cap: float, monotonic: Callable[[], float]) -> None:
        self._base, self._cap, self._monotonic = base, cap, monotonic
        self._nodes: dict[str, dict[tuple[str, ...], _Attempt]] = {}

    # --- what was tried ---

    def made(self, node: str, step: Step, what: str) -> None:
        """The API server has accepted a step; if it is wanted again, it had no effect.

        Args:
            node: the node's name.
            step: what was done.
            what: the step for people, for example ``deletion of node a``.
        """
        text = f"the API server took the {what}, and it does not last: a policy, a webhook or a finalizer undoes it"
        self._tried(node, step, Refusal(ReasonCode.API_REFUSED, text), accepted=True)

    def failed(self, node: str, step: Step, why: Refusal, *, least: float = 0.0) -> None:
        """A step could not be done, or not even the look before it; the server asks for so many seconds at least."""
        for each in _plain((step,)):
            self._tried(node, each, why, least=least)

    def changed(self, node: str, step: Step) -> None:
        """The object of a step had changed meanwhile: decide again, at once unless that goes on."""
        attempt = self._of(node, step)
        attempt.changes += 1
        attempt.made = attempt.due = self._monotonic()
        if attempt.changes > AT_ONCE:
            attempt.due += self._delay(attempt.changes - AT_ONCE)

    def succeeded(self, node: str, step: Step) -> None:
        """A step had its effect: nobody will want it again."""
        steps = self._nodes.get(node)
        if steps is not None:
            steps.pop(key(step), None)
            if not steps:
                del self._nodes[node]

    def forget(self, node: str) -> None:
        """Nothing is wanted of a node any more."""
        self._nodes.pop(node, None)

    # --- what is wanted again ---

    def due(self, node: str, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The steps that may be made now; to look before a step is due only when the step is."""
        known = self._nodes.get(node)
        if known is None:
            return tuple(steps)
        now = self._monotonic()
        for each in [each for each, attempt in known.items() if max(attempt.made, attempt.due) < now - REMEMBERED]:
            del known[each]
        return tuple(step for step in steps if _any_due(step, known, now))

    def wait(self, node: str, steps: Iterable[Step], *, accepted: bool = True) -> float | None:
        """Seconds until the first of some steps may be made; None when there is none to wait for.

        Args:
            node: the node's name.
            steps: what is wanted.
            accepted: whether those count, too, that the API server has accepted and that had no effect.
        """
        known, now = self._nodes.get(node, {}), self._monotonic()
        found = (known.get(key(each)) for each in _plain(steps))
        waits = (each.due - now for each in found if each is not None and (accepted or not each.accepted))
        return min((max(wait, 0.0) for wait in waits), default=None)

    def trouble(self, node: str, steps: Iterable[Step]) -> Refusal | None:
        """Why steps that are still wanted were not done, or None when nothing is known to hinder them."""
        known = self._nodes.get(node, {})
        whys = (attempt.why for each in _plain(steps) if (attempt := known.get(key(each))) is not None)
        return next((why for why in whys if why is not None), None)

    def pins(self, node: str) -> Mapping[str, Refusal]:
        """Why pods could not be bound so far, by uid."""
        known = self._nodes.get(node)
        if known is None:
            return {}
        return {each[1]: attempt.why for each, attempt in known.items() if each[0] == "bind" and attempt.why}

    def news(self, node: str, steps: Iterable[Step]) -> tuple[tuple[Step, Refusal], ...]:
        """The steps that are wanted again, with what was not said of them yet; asked, it counts as said."""
        known, found = self._nodes.get(node, {}), []
        for step in _plain(steps):
            attempt = known.get(key(step))
            if attempt is not None and attempt.why is not None and attempt.reported != attempt.why:
                attempt.reported = attempt.why
                found.append((step, attempt.why))
        return tuple(found)

    def _of(self, node: str, step: Step) -> _Attempt:
        return self._nodes.setdefault(node, {}).setdefault(key(step), _Attempt())

    def _tried(self, node: str, step: Step, why: Refusal, *, least: float = 0.0, accepted: bool = False) -> None:
        attempt = self._of(node, step)
        attempt.tries += 1
        attempt.why, attempt.accepted, attempt.made = why, accepted, self._monotonic()
        attempt.due = attempt.made + max(self._delay(attempt.tries), least)

    def _delay(self, tries: int) -> float:
        ceiling = min(self._cap, self._base * 2.0 ** min(tries - 1, 32))
        return _chance.uniform(ceiling / 2, ceiling)


def _any_due(step: Step, known: Mapping[tuple[str, ...], _Attempt], now: float) -> bool:
    if isinstance(step, Confirm):
        return any(_any_due(each, known, now) for each in step.before)
    attempt = known.get(key(step))
    return attempt is None or attempt.due <= now


def _plain(steps: Iterable[Step]) -> Iterable[Step]:
    """The steps themselves, instead of looks before them."""
    for step in steps:
        if isinstance(step, Confirm):
            yield from step.before
        else:
            yield step
