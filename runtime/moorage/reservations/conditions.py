"""The conditions of reservations: what ``kubectl wait`` and programs that judge health by conditions read. Pure.

Like all of a status they are for others, and nothing decides by them. They follow from the state, so they are written
with it: a condition alone is a reason to write a status only where it turns.

Those of a NodeReservation have no ``observedGeneration``. The pod pinner writes the spec itself, pin by pin, and
``kubectl wait`` passes over a condition of an older generation: each pin would need another write of the status.
"""

from __future__ import annotations

from typing import Any

from moorage.objects import conditions
from moorage.objects.conditions import Condition

READY = "Ready"
"""Of a NodeReservation: the Node is Ready, with what was promised. Of a SlotReservation: its slots count."""
PLACEHOLDER_CREATED = "PlaceholderCreated"
"""A Node was made for the reservation; stays True once a machine has adopted it."""
ADOPTED = "Adopted"
"""A machine has joined and became Ready; stays True while it is not Ready later."""
STALLED = "Stalled"
"""It does not go on by itself. Named as kstatus has it (cli-utils/pkg/kstatus), by which GitOps tools see a failure."""

_KEPT = {"Preparing": "PodsExpected", "Ready": "NodeReady"}
_WAITING = {"Pending": "PlaceholderPending", "Placeholder": "MachineAwaited", "Joining": "MachineStarting"}
_STALLED = {"Foreign": "NodeForeign", "Failing": "PromiseFailed", "Stopped": "NeedsRepair"}
_OVER = "DeadlinePassed"
_FINE = "AsExpected"


def of_node(
    listed: Any, state: str, message: str, *, late: bool, made: bool, over: bool
) -> tuple[Condition, Condition, Condition, Condition]:
    """What the conditions of a NodeReservation are to say.

    Args:
        listed: the conditions as they are: they tell whether the node was ever adopted.
        state: the word of its status.
        message: the sentence of its status.
        late: whether the machine brings its own Node.
        made: whether a Node was made for it, or a late one is known.
        over: whether its time to be adopted has passed.
    """
    kept = state in _KEPT
    adopted = kept or (state == "Joining" and conditions.holds(listed, ADOPTED))
    overdue = over and state == "Joining" and not adopted
    reason = _KEPT.get(state) or _STALLED.get(state) or _WAITING.get(state, state or "Unknown")
    if late and state == "Pending":
        reason = _WAITING["Placeholder"]
    if overdue:
        reason = _OVER
    stalled = overdue or state in _STALLED
    return (
        Condition(READY, kept, reason, message),
        _placeholder(late=late, made=made),
        Condition(ADOPTED, adopted, "MachineJoined" if adopted else reason),
        Condition(STALLED, stalled, reason if stalled else _FINE, message if stalled else ""),
    )


def _placeholder(*, late: bool, made: bool) -> Condition:
    if late:
        return Condition(PLACEHOLDER_CREATED, False, "MachineBringsNode", "with profile late there is no placeholder")
    return Condition(PLACEHOLDER_CREATED, made, "Created" if made else "NotCreated")


def of_slots(message: str, *, served: bool, readable: bool) -> Condition:
    """What the condition of a SlotReservation is to say.

    Args:
        message: the sentence of its status.
        served: whether a pod pinner counts the slots, and its webhook is called for pods.
        readable: whether all of its spec can be used.
    """
    if served:
        return Condition(READY, True, "Served", message)
    return Condition(READY, False, "NotServed" if readable else "NeedsRepair", message)
