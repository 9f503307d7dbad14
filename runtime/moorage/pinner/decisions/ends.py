"""Pins that come to nothing: an owner whose pinned pods end again and again is left to the scheduler for a while. Pure.

It does not matter who ends them: a kubelet that refuses them, the taint manager, a descheduler, preemption, a person, a
machine that never came, or the pinner's own sweeps. What counts is that a pod ended soon after its pin and that its
owner made another in its place: so neither a scale-down nor a rollout counts, nor a pod that has completed.

Pods that were pinned before the last end that counted say nothing new, however many they are: ten pods of one machine
that fails are one time. Each owner counts by the uid of its controller and, of a StatefulSet, by its revision: a
repaired template begins anew.

Everything follows from what the watch shows, whoever leads. A replica that follows the cluster knows as much as the
leader; one that has just begun knows what it has seen, so each new beginning costs so many ends once more, at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from moorage.kube.changes import Change
from moorage.objects import Pod
from moorage.protocol import ReasonCode
from moorage.reservations import moment

from ..names import CLAIM_ANNOTATION, PIN_ANNOTATION
from ..promised.expected import OwnerKey, owner_keys
from ..refusal import Refusal

SOON = timedelta(minutes=10)
"""How long after its pin the end of a pod counts, and within which so many of them are too many."""
LEFT_ALONE = timedelta(hours=1)
"""How long no pod of such an owner is pinned."""
REPLACED = timedelta(seconds=30)
"""Within which another pod takes the place of one that ended, as a rule at once; or of one that is gone.

A StatefulSet waits until then, and so does every controller in a namespace whose quota the pod still uses. What comes
later is a scale-up.
"""
PRECISION = timedelta(seconds=2)
"""Times in objects are whole seconds."""
WATCH_LAG = timedelta(seconds=30)
"""How late we may see the failure of a pod, of which no field tells when it was."""
TIDY = timedelta(minutes=1)

NOBODY: Mapping[str, Refusal] = MappingProxyType({})

REVISION = "controller-revision-hash"
"""Label of a StatefulSet's pod (apps/v1, ControllerRevisionHashLabelKey)."""


@dataclass(slots=True)
class _Pin:
    """A pod that was pinned; ``order`` is its place among all pins and ends, as the watch showed them."""

    order: int
    ended: bool = False


@dataclass(slots=True)
class _End:
    """A pod that ended soon after its pin, and in whose place none has come yet.

    ``stays`` says that its place may be free only once it is gone.
    """

    uid: str
    name: str
    why: str
    pinned: int
    order: int
    at: datetime
    since: datetime
    until: datetime | None
    stays: bool


@dataclass(slots=True)
class _Owner:
    """What is known of one owner; ``times`` are the ends that count, ``capped`` is since when there were too many."""

    title: str
    keys: tuple[OwnerKey, ...]
    waiting: list[_End] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    last: int = 0
    why: str = ""
    capped: datetime | None = None


class Ends:
    """Keeps account of pinned pods; follows the watch of pods.

    Args:
        limit: how many times the pins of an owner may come to nothing within ``SOON``.
        now: the API server's time, UTC.

    Attributes:
        on_capped: called with a pod of an owner that is left to the scheduler from now on, and why.
    """

    def __init__(self, limit: int, now: Callable[[], datetime]) -> None:
        self._limit, self._now = limit, now
        self._order = 0
        self._pins: dict[str, _Pin] = {}
        self._owners: dict[str, _Owner] = {}
        self._capped: set[str] = set()
        self._tidied: datetime | None = None
        self.on_capped: Callable[[Pod, Refusal], None] | None = None

    # --- what the watch shows ---

    def follow(self, change: Change[Pod]) -> None:
        """Take note of a change of a pod."""
        old, new = change.old, change.new
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old)
        if new is None:
            return
        if old is None or new.metadata.uid != old.metadata.uid:
            self._came(new)
        if new.spec.node_name and PIN_ANNOTATION in new.metadata.annotations:
            self.pinned(new)
        if (pin := self._pins.get(new.metadata.uid)) is not None and not pin.ended and _is_over(new):
            self._ended(new, pin)

    def pinned(self, pod: Pod) -> None:
        """A pod is where we wanted it; of one that was nominated it does not say so itself."""
        if pod.metadata.uid not in self._pins and pod.metadata.controller() is not None:
            self._order += 1
            self._pins[pod.metadata.uid] = _Pin(self._order)

    def _gone(self, pod: Pod) -> None:
        pin = self._pins.pop(pod.metadata.uid, None)
        if pin is not None and not pin.ended:
            self._ended(pod, pin)
        owner = self._owners.get(account(pod))
        for end in owner.waiting if owner is not None else ():
            if end.stays and end.uid == pod.metadata.uid:
                end.until = self._now() + REPLACED

    def _ended(self, pod: Pod, pin: _Pin) -> None:
        pin.ended = True
        now = self._now()
        self._tidy(now)
        at = _deleted_at(pod) or now
        if pod.status.phase == "Succeeded" or at > _pinned_at(pod, at) + SOON:
            return
        controller = pod.metadata.controller()
        if controller is None:
            return
        self._order += 1
        title = f"{controller.kind} {pod.metadata.namespace}/{controller.name}"
        owner = self._owners.setdefault(account(pod), _Owner(title, tuple(owner_keys(pod))))
        deleted, of_set = pod.metadata.deletion_timestamp is not None, controller.kind == "StatefulSet"
        since, until = at - (PRECISION if deleted else WATCH_LAG), None if of_set else at + REPLACED
        end = _End(
            pod.metadata.uid,
            pod.metadata.name,
            _who(pod),
            pin.order,
            self._order,
            at,
            since,
            until,
            stays=deleted or of_set,
        )
        owner.waiting.append(end)

    def _came(self, pod: Pod) -> None:
        """A pod may have come in the place of one that ended."""
        key = account(pod) if self._owners else ""
        owner = self._owners.get(key)
        if owner is None:
            return
        created = moment(pod.metadata.creation_timestamp or "") or self._now()
        end = next((each for each in owner.waiting if _is_replaced_by(each, pod, created)), None)
        if end is None:
            return
        owner.waiting.remove(end)
        if self._count(owner, end) and owner.capped is None and len(owner.times) >= self._limit:
            owner.capped = self._now()
            self._capped.add(key)
            if self.on_capped is not None:
                self.on_capped(pod, self._refusal(owner, owner.capped))

    def _count(self, owner: _Owner, end: _End) -> bool:
        """Count an end, unless its pod was pinned before the last one that counted."""
        if end.pinned <= owner.last:
            return False
        owner.last, owner.why = end.order, f"the last one was {end.name}, {end.why} at {end.at:%H:%M:%S}Z"
        owner.times = [*(at for at in owner.times if at > end.at - SOON), end.at]
        return True

    # --- what follows ---

    def refuse(self, pod: Pod, *, shown: bool) -> Refusal | None:
        """Why a pod is not pinned because those before it came to nothing; None when it may be.

        Args:
            pod: the pod. One that is being created takes the place of those that ended and were not replaced yet.
            shown: whether the watch has shown it. If it took the place of a pod, that one has been counted.
        """
        key = account(pod) if self._owners else ""
        owner = self._owners.get(key)
        if owner is None:
            return None
        now = self._now()
        if (since := self._capped_since(key, owner, now)) is not None:
            return self._refusal(owner, since)
        if shown:
            return None
        created = moment(pod.metadata.creation_timestamp or "") or now
        expected = _Owner(owner.title, (), times=owner.times, last=owner.last, why=owner.why)
        for end in owner.waiting:
            if _is_replaced_by(end, pod, created):
                self._count(expected, end)
        too_many = len([at for at in expected.times if at > now - SOON]) >= self._limit
        return self._refusal(expected, now) if too_many else None

    @property
    def capped(self) -> Mapping[str, Refusal]:
        """Why no pod of some owners is pinned, by ``account``."""
        if not self._capped:
            return NOBODY
        now = self._now()
        found = ((key, self._owners[key]) for key in tuple(self._capped))
        capped = ((key, owner, self._capped_since(key, owner, now)) for key, owner in found)
        return {key: self._refusal(owner, since) for key, owner, since in capped if since is not None}

    @property
    def capped_owners(self) -> Mapping[OwnerKey, Refusal]:
        """The same by those under whom their pods are expected."""
        capped = self.capped
        if not capped:
            return NOBODY
        return {each: why for key, why in capped.items() for each in self._owners[key].keys}

    @property
    def capped_until(self) -> Mapping[OwnerKey, datetime]:
        """When pods of these owners may be pinned again; of several controllers of one owner the first counts."""
        until: dict[OwnerKey, datetime] = {}
        for owner in [self._owners[key] for key in self.capped]:
            end = (owner.capped or self._now()) + LEFT_ALONE
            until.update({key: min(end, until.get(key, end)) for key in owner.keys})
        return until

    def _capped_since(self, key: str, owner: _Owner, now: datetime) -> datetime | None:
        if owner.capped is not None and now >= owner.capped + LEFT_ALONE:
            owner.capped, owner.times = None, []
            self._capped.discard(key)
        return owner.capped

    def _refusal(self, owner: _Owner, since: datetime) -> Refusal:
        text = (
            f"pinned pods of {owner.title} ended {len(owner.times)} times within {SOON.seconds // 60} minutes of their "
            f"pins ({owner.why}): its pods are left to the scheduler until {since + LEFT_ALONE:%H:%M:%S}Z"
        )
        return Refusal(ReasonCode.OWNER_CAPPED, text)

    def _tidy(self, now: datetime) -> None:
        """Forget owners of which nothing counts any more."""
        if self._tidied is not None and now < self._tidied + TIDY:
            return
        self._tidied = now
        for key, owner in tuple(self._owners.items()):
            owner.waiting = [end for end in owner.waiting if self._may_be_replaced(end, now)]
            counts = owner.waiting or self._capped_since(key, owner, now) or any(at > now - SOON for at in owner.times)
            if not counts:
                del self._owners[key]

    def _may_be_replaced(self, end: _End, now: datetime) -> bool:
        """Whether a pod may still come in the place of one that ended."""
        return end.until is None or end.until + WATCH_LAG > now or (end.stays and end.uid in self._pins)


def account(pod: Pod) -> str:
    """What a pod's end is counted under: its controller and, of a StatefulSet, the revision; empty without one.

    Whoever names a controller of another namespace as his own counts by himself.
    """
    controller = pod.metadata.controller()
    if controller is None:
        return ""
    return f"{pod.metadata.namespace}/{controller.uid}/{pod.metadata.labels.get(REVISION, '')}"


def _is_over(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None or pod.finished


def _is_replaced_by(end: _End, pod: Pod, created: datetime) -> bool:
    """Whether a pod can have come in the place of one that ended; a StatefulSet gives it the same name."""
    controller = pod.metadata.controller()
    of_set = controller is not None and controller.kind == "StatefulSet"
    if of_set and pod.metadata.name != end.name:
        return False
    return end.since <= created and (end.until is None or created <= end.until)


def _deleted_at(pod: Pod) -> datetime | None:
    """When somebody deleted a pod: its deletionTimestamp is when its grace is over."""
    over = moment(pod.metadata.deletion_timestamp or "")
    return over - timedelta(seconds=pod.metadata.deletion_grace_period_seconds or 0) if over is not None else None


def _pinned_at(pod: Pod, otherwise: datetime) -> datetime:
    """When a pod got its node: a binding sets the condition PodScheduled, a pod that was pinned as it was created is.

    The kubelet sets the condition of the latter, perhaps much later.
    """
    created = moment(pod.metadata.creation_timestamp or "")
    scheduled = (each for each in pod.status.conditions if each.type == "PodScheduled" and each.status == "True")
    bound = next((moment(each.last_transition_time or "") for each in scheduled), None)
    at = created if CLAIM_ANNOTATION in pod.metadata.annotations else bound or created
    return at if at is not None else otherwise


def _who(pod: Pod) -> str:
    """Who ended a pod, as far as the pod says (DisruptionTarget: KEP-3329)."""
    if pod.status.phase == "Failed":
        return f"failed with {pod.status.reason}" if pod.status.reason else "failed"
    reasons = (each.reason for each in pod.status.conditions if each.type == "DisruptionTarget")
    reason = next((each for each in reasons if each), "")
    return f"ended by {reason}" if reason else "deleted"
