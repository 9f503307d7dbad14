"""The phase without a Node: a placeholder is created, or a machine that brings its own Node is awaited. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from moorage.protocol import ReasonCode
from moorage.reservations import Promise, moment, rules
from moorage.wording import counted

from ..names import PREPARING
from ..promised.manifest import placeholder_manifest
from ..providers import Profile
from ..refusal import Refusal
from . import edits, ending, kubelet, late, pins
from .observation import Observation, PinState
from .steps import CreateNode, Decision


def decide(o: Observation) -> Decision:
    """What to do while there is no Node object."""
    if o.made and not o.open:  # the machine has joined, worked and gone: nothing of ours is left
        return ending.end(o, Refusal(ReasonCode.NODE_FAILED, f"node {o.name} has gone"))
    if o.given_up:
        return ending.end(o, ending.GIVEN_UP)
    if o.made:
        why = pins.never_came(o) or ending.unwanted(o, pins.states(o)) or o.refused or o.instance
        return ending.end(o, why or _gone(o))
    if (why := o.refused or o.instance) is not None:
        return ending.end(o, why)
    if rules.expired(o.spec, o.now):
        why = pins.never_came(o) if o.late else None
        return ending.end(o, why or Refusal(ReasonCode.DEADLINE_PASSED))
    found = pins.states(o)
    wake = pins.earliest(moment(o.spec.deadline), *pins.deadlines(o.spec, found))
    if o.spec.promise is None or o.reservation is None:
        return Decision(state="Stopped", message="nothing is promised", pins=found, wake=wake)
    if not isinstance(o.profile, Profile):
        text = o.profile.text if o.profile is not None else "no provider profile"
        return Decision(state="Stopped", message=text, pins=found, wake=wake)
    if o.late:
        return _awaited(o, o.spec.promise, found, wake)
    if (waits := _earlier_machine(o)) is not None:
        return Decision(state="Pending", message=waits, pins=found, wake=wake, waits=waits)
    manifest = placeholder_manifest(o.name, o.reservation.metadata.uid, o.spec.promise, o.profile)
    return Decision((CreateNode(manifest),), "Pending", "the placeholder is being created", found, wake=wake)


def _awaited(o: Observation, promise: Promise, found: Mapping[str, PinState], wake: datetime | None) -> Decision:
    """The machine brings its own Node: nothing is made for it, and what is intended waits until it registers.

    Which Node it is, is written down before anything is done there.
    """
    if (why := ending.unwanted(o, found)) is not None:
        return ending.end(o, why)
    if o.candidate is not None:
        meta = o.candidate.metadata
        spec = msgspec.structs.replace(pins.without_lost(o, found), node_name=meta.name, node_uid=meta.uid)
        edit = edits.edit(o, spec, close=False)
        return Decision((edit,) if edit else (), "Joining", f"node {meta.name} has registered", found, wake=wake)
    message = f"waiting for a Node with {late.described(promise)} and the taint {PREPARING}"
    return Decision(edits.drop_lost(o, found), "Pending", message, found, wake=wake)


def _earlier_machine(o: Observation) -> str | None:
    """What a placeholder waits for where pods of an earlier machine of its name are left; None when none are.

    The garbage collector of pods removes them, because their Node is gone, and they are replaced elsewhere. While a
    placeholder stood it would not (podgc/gc_controller.go, gcOrphaned), and they would count as running. Pods that
    are at home on the node, of DaemonSets and static ones, run there again.
    """
    there = (pod for pod in o.pods if not (pod.finished or pod.is_mirror or pins.of_daemon_set(pod)))
    left = [pod.key for pod in there if not kubelet.untouched(pod)]
    if not left:
        return None
    pods = f"{left[0]} and {counted(len(left) - 1, 'more pod')}" if len(left) > 1 else left[0]
    return f"an earlier machine of the name {o.name} has left {pods}: the garbage collector of pods is waited for"


def _gone(o: Observation) -> Refusal:
    """Somebody else has deleted the Node."""
    if o.late:
        return Refusal(ReasonCode.NODE_FAILED, f"node {o.node_name} went before it was adopted")
    return Refusal(ReasonCode.PLACEHOLDER_REMOVED)
