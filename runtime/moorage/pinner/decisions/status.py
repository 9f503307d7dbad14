"""What the status of a NodeReservation says, and when it is written: when a word, a count or a condition changes."""

from __future__ import annotations

from typing import Any

from moorage.objects import conditions
from moorage.protocol import Outcome
from moorage.reservations import rules
from moorage.reservations.conditions import of_node

from .observation import Observation
from .steps import Decision

_LONGEST = 4096
_MOST_PROBLEMS = 32


def status_of(o: Observation, decision: Decision) -> dict[str, Any] | None:
    """The status to be shown, or None when it is; a node that is settled keeps what it had.

    Conditions are no reason to write it but where one turns that is there. A definition without conditions takes them
    off again, so that they are not missed in a status that says all the rest.

    Args:
        o: the node.
        decision: what was decided when nothing more could be done for the moment.
    """
    shown = o.reservation.status if o.reservation is not None and isinstance(o.reservation.status, dict) else {}
    listed, message = shown.get("conditions"), decision.message[:_LONGEST]
    over = not o.open and rules.expired(o.spec, o.now)
    said = of_node(listed, decision.state, message, late=o.late, made=o.made, over=over)
    turned = conditions.turned(listed, said)
    if not o.open and not o.problems and shown.get("state") == decision.state and not turned:
        return None
    bound = sum(1 for state in decision.pins.values() if state.outcome is Outcome.APPLIED)
    words: dict[str, Any] = {
        "state": decision.state,
        "pinned": f"{bound}/{len(o.spec.pins)}",
        "message": message,
        "problems": [str(problem) for problem in o.problems[:_MOST_PROBLEMS]],
    }
    if not turned and all(shown.get(key, type(value)()) == value for key, value in words.items()):
        return None
    return {**words, "conditions": conditions.merged(listed, said, o.now)}
