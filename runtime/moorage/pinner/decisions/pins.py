"""What has become of each pin, and which pods are to be bound or swept now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from moorage.objects import Pod
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Pin, Spec, merging, moment, rules
from moorage.wording import counted

from .. import eligibility
from ..names import PREPARING
from ..promised.expected import Expectation, key_of
from ..refusal import Nominable, Refusal, Wait
from . import ends, kubelet, late, nominations, starting
from .observation import Observation, PinState, Room
from .steps import Bind, DeletePod

PENDING = PinState(None)
LOOK_AGAIN = timedelta(seconds=10)
"""How long to wait for a kubelet that something tells of: it renews its Lease that often, and reports sooner."""


def states(o: Observation) -> dict[str, PinState]:
    """What has become of each pin, by uid, whether or not it fits."""
    deadlines = merging.pin_deadlines(o.spec)
    return {pin.uid: _state(o, pin, deadlines) for pin in o.spec.pins}


def standing(key: str, uid: str, pod: Pod | None, spec: Spec, node: str, failed: PinState | None = None) -> PinState:
    """What a pod as it is now says about its pin: pending, as long as nothing is in the way of it.

    Args:
        key: of the pod that is meant, ``namespace/name``.
        uid: of that pod.
        pod: what bears the name now; None when nothing does.
        spec: the node's intent.
        node: the Node's name; empty while it is not known.
        failed: what is final of the pin although the pod is pending.
    """
    if pod is None:
        return _rejected(Refusal(ReasonCode.POD_NOT_FOUND, f"there is no pod {key}"))
    if pod.metadata.uid != uid:
        text = f"pod {key} has uid {pod.metadata.uid} now, {uid} was planned"
        return _rejected(Refusal(ReasonCode.POD_UID_CHANGED, text))
    if pod.spec.node_name and pod.spec.node_name == node:
        return PinState(Outcome.APPLIED, nominations.landed(spec, uid, node), node=node)
    if pod.spec.node_name:
        text = f"the pod is bound to node {pod.spec.node_name}"
        return PinState(Outcome.REJECTED, Refusal(ReasonCode.POD_BOUND_ELSEWHERE, text), node=pod.spec.node_name)
    if failed is not None:
        return failed
    refusal = eligibility.refuse(pod, nominated=nominations.recorded_node(spec, uid, node))
    return _rejected(refusal) if refusal is not None else PENDING


def _state(o: Observation, pin: Pin, deadlines: Mapping[str, str]) -> PinState:
    pod, late = o.pinned.get(pin.uid), _is_late(o, pin, deadlines)
    if pod is None and pin.uid in o.unread:
        return PinState(Outcome.FAILED if late else None, o.unread[pin.uid])
    state = standing(pin.key, pin.uid, pod, o.spec, o.node_name, o.failed.get(pin.uid))
    if state is PENDING and pod is not None and (capped := o.capped.get(ends.account(pod))) is not None:
        return _rejected(capped)
    if state is not PENDING or not late:
        return state
    hindrance = o.hindered.get(pin.uid) or (o.trouble if o.node is None else None)
    if hindrance is None and o.late and o.node is None:
        hindrance = never_came(o)
    return PinState(Outcome.FAILED, hindrance or Refusal(ReasonCode.DEADLINE_PASSED))


def never_came(o: Observation) -> Refusal | None:
    """Of a node without a machine, that none has joined in time; None while it may, and of a late one that has gone."""
    if not rules.expired(o.spec, o.now) or (o.late and o.made):
        return None
    text = f"node {o.name} did not join before its deadline"
    if o.late and o.spec.promise is not None:
        text += f": no Node with {late.described(o.spec.promise)} and the taint {PREPARING} has registered"
    return Refusal(ReasonCode.NODE_FAILED, text)


def _is_late(o: Observation, pin: Pin, deadlines: Mapping[str, str]) -> bool:
    deadline = moment(deadlines.get(pin.instruction, ""))
    return deadline is not None and o.now >= deadline


def _rejected(refusal: Refusal) -> PinState:
    return PinState(Outcome.REJECTED, refusal)


class Binding(NamedTuple):
    """Which pods are bound now.

    Attributes:
        binds: one step for each pod that fits.
        left: the pins whose pods only the scheduler can place.
        states: the pins' states, by uid, with the refusals of the others, and what they wait for.
    """

    binds: tuple[Bind, ...]
    left: tuple[Pin, ...]
    states: Mapping[str, PinState]


def bind(o: Observation, room: Room, found: Mapping[str, PinState]) -> Binding:
    """Bind every pending pin whose pod fits, unless the promise lets them wait until the machine has started.

    Pins that wait are counted, each beside those before it: what does not fit is refused at once.

    Args:
        o: the node.
        room: what is left on it.
        found: the pins' states, by uid.
    """
    pending = [pin for pin in o.spec.pins if found[pin.uid] is PENDING]
    waits = o.binding_waits_for
    effects = {taint.effect for taint in o.node.spec.taints} if o.node is not None else ()
    removes = "NoExecute" in effects or (o.node is not None and o.node.has_kubelet)
    hasty = _impatient(o, pending) if waits is None and removes else {}
    pending.sort(key=lambda pin: pin.uid in hasty)  # the room is for those that can be bound
    answers = room.admit([o.pinned[pin.uid] for pin in pending]) if pending else {}
    binds, left, news = [], [], {}
    for pin in pending:
        match answers[pin.uid]:
            case None if (why := waits or hasty.get(pin.uid)) is not None:
                news[pin.uid] = PinState(None, why, awaits=why)
            case None:
                binds.append(Bind(pin, o.pinned[pin.uid]))
            case Nominable(why):
                news[pin.uid] = PinState(None, why)
                left.append(pin)
            case Wait(why):
                news[pin.uid] = PinState(None, why, awaits=why)
            case refusal:
                news[pin.uid] = _rejected(refusal)
    return Binding(tuple(binds), tuple(left), {**found, **news} if news else found)


def _impatient(o: Observation, pending: Iterable[Pin]) -> dict[str, Refusal]:
    """Why some pending pods are not bound as long as the machine is starting: it would remove them; by uid."""
    taints = starting.removing_taints(o.node, o.spec.promise)
    whys = ((pin.uid, eligibility.refuse_impatient(o.pinned[pin.uid], o.node, taints)) for pin in pending)
    return {uid: why for uid, why in whys if why is not None} if taints else {}


def refused(found: Mapping[str, PinState], why: Refusal, *, but: Collection[str] = ()) -> dict[str, PinState]:
    """The pins' states when none of those that are pending will be bound.

    Args:
        found: the states, by uid.
        why: what is said of those.
        but: uids that go on waiting.
    """
    over = _rejected(why)
    return {uid: over if state.outcome is None and uid not in but else state for uid, state in found.items()}


def lost(found: Mapping[str, PinState]) -> set[str]:
    """The pods that will never be bound here, by uid."""
    return {uid for uid, state in found.items() if state.outcome in (Outcome.REJECTED, Outcome.FAILED)}


def waiting(found: Mapping[str, PinState]) -> str:
    """What the first pod that waits for something waits for, for people; empty when none does."""
    waits = [state.refusal.text for state in found.values() if state.outcome is None and state.refusal is not None]
    more = f" ({counted(len(waits) - 1, 'more pod')} waiting)" if len(waits) > 1 else ""
    return f"{waits[0]}{more}" if waits else ""


def without_lost(o: Observation, found: Mapping[str, PinState]) -> Spec:
    """The spec without pins that will never be bound here."""
    return merging.without_pins(o.spec, lost(found))


def ended(why: Refusal, found: Mapping[str, PinState]) -> dict[str, PinState]:
    """The pins' states once the node has failed: what was bound there, or was to be, has failed with it."""
    failed = PinState(Outcome.FAILED, why)
    return {uid: failed if state.outcome in (None, Outcome.APPLIED) else state for uid, state in found.items()}


def here(o: Observation) -> tuple[Pod, ...]:
    """The pinned pods that are bound to the node, whatever became of them there."""
    uids = {pin.uid for pin in o.spec.pins}
    return tuple(pod for pod in o.pods if pod.metadata.uid in uids)


def ours_to_delete(pod: Pod) -> bool:
    """Whether the admission policy of the chart lets us delete a bound pod: what runs must have been pinned by us."""
    if daemons_alive(pod):
        return False
    return kubelet.marked(pod) or pod.status.start_time is None or pod.status.phase == "Failed"


def daemons_alive(pod: Pod) -> bool:
    """Whether a pod is a DaemonSet's that nobody has deleted: its controller has put it there, and it stays."""
    return of_daemon_set(pod) and pod.metadata.deletion_timestamp is None


def of_daemon_set(pod: Pod) -> bool:
    """Whether a DaemonSet has made a pod: it belongs to its node."""
    owner = pod.metadata.controller()
    return owner is not None and owner.kind == "DaemonSet"


def grace(o: Observation, pod: Pod) -> int | None:
    """The grace that a pod is deleted with: 0 only where surely no kubelet has it, else (None) its own."""
    has_kubelet = o.node is not None and o.node.has_kubelet
    return None if has_kubelet or o.signs.text or not kubelet.untouched(pod) else 0


def left_hanging(o: Observation) -> tuple[DeletePod, ...]:
    """Pods that somebody deleted, pinned or not, and that no kubelet will ever let go, because there is none.

    What was never started needs no grace, and its controller may wait until it is gone: a Deployment with strategy
    Recreate, a StatefulSet, a DaemonSet's rollout. Where something tells of a kubelet, that is waited for; whether
    something does is only known of a confirmed node.
    """
    if o.confirmed and o.signs.text:
        return ()
    why = Refusal(ReasonCode.POD_TERMINATING, "the pod was deleted, and its node has no kubelet that would confirm it")
    return tuple(DeletePod(pod, 0, why) for pod in _hanging(o))


def let_go(pod: Pod) -> bool:
    """Whether a pod was deleted without grace: what still holds it are finalizers of others."""
    return pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds == 0


def next_overdue(o: Observation) -> datetime | None:
    """When to look again for pods that are left hanging; None when none is being deleted."""
    return o.now + LOOK_AGAIN if any(_hanging(o)) else None


def _hanging(o: Observation) -> Iterator[Pod]:
    """The pods on the node that are being deleted and that no kubelet has begun with: it would have said so."""
    for pod in o.pods:
        if pod.metadata.deletion_timestamp is not None and not let_go(pod) and kubelet.untouched(pod):
            yield pod


def sweep(o: Observation, room: Room) -> tuple[DeletePod, ...]:
    """Pods that a kubelet has refused, or that can never start here; deleted so that their controllers try again.

    Only pods that a controller creates again. Of those that we did not pin no more of one controller than is allowed;
    pins end with their owner's account (``ends``).
    """
    uids = {pin.uid for pin in o.spec.pins} | o.steered
    left = dict(o.sweeps_left)
    swept = []
    for pod in o.pods:
        pinned = pod.metadata.uid in uids or kubelet.marked(pod)
        if not (o.open or pinned) or pod.metadata.deletion_timestamp is not None:
            continue
        why = _refused_by_kubelet(pod, pinned=pinned) or (_unstartable(pod, room) if pod.metadata.uid in uids else None)
        owner = pod.metadata.controller()
        if why is None or owner is None or not eligibility.recreated(pod):
            continue
        if not pinned:
            if left.setdefault(owner.uid, o.sweep_limit) <= 0:
                continue
            left[owner.uid] -= 1
        swept.append(DeletePod(pod, grace(o, pod), why, sweep=True, exact=not pod.finished))
    return tuple(swept)


def _refused_by_kubelet(pod: Pod, *, pinned: bool) -> Refusal | None:
    """Why a kubelet has not run a pod. Of others' pods, only what our promise can have caused is ours to clear."""
    if not (kubelet.refused(pod) if pinned else kubelet.refused_for_room(pod)):
        return None
    why = ": ".join(filter(None, (pod.status.reason, pod.status.message)))
    return Refusal(ReasonCode.POD_CHANGED, f"the kubelet refused the pod: {why}".rstrip(": "))


def _unstartable(pod: Pod, room: Room) -> Refusal | None:
    if pod.finished or kubelet.started(pod) or pod.status.start_time is not None:
        return None
    misplaced = room.misplaced(pod)
    return Refusal(ReasonCode.POD_CHANGED, misplaced.text) if misplaced is not None else None


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of some moments; None when there is none."""
    return min((m for m in moments if m is not None), default=None)


def slots_uncapped(o: Observation) -> datetime | None:
    """When pods of an owner that is left to the scheduler may fill slots of a node again; None: no slot waits for it.

    Nothing else happens then: the pods wait already.
    """
    expected = Expectation.of(o.spec)
    left = expected.left(o.pods) if expected is not None else ()
    return earliest(*(o.capped_until.get(key_of(slot.owner)) for slot in left if slot.count))


def deadlines(spec: Spec, found: Mapping[str, PinState]) -> Iterable[datetime]:
    """By when the pins that are still pending are to be bound."""
    by_instruction = merging.pin_deadlines(spec)
    for pin in spec.pins:
        until = moment(by_instruction.get(pin.instruction, ""))
        if until is not None and found.get(pin.uid, PENDING).outcome is None:
            yield until
