"""The progress of a reservation: is it over, which slots are free, and how much room is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from moorage.objects import Pod, Quantities
from moorage.objects.quantity import QuantityError, parse
from moorage.scheduling import requests

from .model import Owner, Promise, Slot, Spec
from .reading import moment


def expired(spec: Spec, now: datetime) -> bool:
    """Whether the deadline is over; False without a readable deadline.

    Args:
        spec: the reservation.
        now: the API server's time, UTC.
    """
    deadline = moment(spec.deadline)
    return deadline is not None and now >= deadline


def expecting(spec: Spec, now: datetime, pods: Iterable[Pod]) -> bool:
    """Whether pods are still expected: a slot is free, and neither its deadline nor a release has ended the wait.

    Args:
        spec: the reservation.
        now: the API server's time, UTC.
        pods: the pods that are on the node.
    """
    if spec.released or not spec.slots:
        return False
    until = moment(spec.expected_until)
    if until is not None and now >= until:
        return False
    return any(slot.count for slot in slots_left(spec.slots, pods))


def slots_left(slots: Iterable[Slot], pods: Iterable[Pod]) -> tuple[Slot, ...]:
    """Return the slots with the number of pods that are still to come; slots of one owner fill up in order.

    Args:
        slots: what was expected.
        pods: the pods that are on the node; any revision of the owner counts, ended pods do not.
    """
    known = tuple(slots)
    left = [slot.count for slot in known]
    for pod in pods:
        if pod.finished:
            continue
        for index, slot in enumerate(known):
            if left[index] > 0 and belongs_to(pod, slot.owner):
                left[index] -= 1
                break
    return tuple(
        Slot(owner=slot.owner, requests=slot.requests, count=count) for slot, count in zip(known, left, strict=True)
    )


def slots_filled(slots: Iterable[Slot], pods: Iterable[Pod]) -> tuple[tuple[Slot, tuple[Pod, ...]], ...]:
    """Return the slots, each with the pods that fill it; slots of one owner fill up in order.

    Args:
        slots: what was expected.
        pods: the pods that are on the node; any revision of the owner counts, ended pods do not.
    """
    there = [pod for pod in pods if not pod.finished]
    counted: set[str] = set()
    slots_with_pods = []
    for slot in slots:
        filled: list[Pod] = []
        for pod in there:
            if len(filled) < slot.count and pod.metadata.uid not in counted and belongs_to(pod, slot.owner):
                counted.add(pod.metadata.uid)
                filled.append(pod)
        slots_with_pods.append((slot, tuple(filled)))
    return tuple(slots_with_pods)


def created_since(since: str, pods: Iterable[Pod]) -> Iterator[Pod]:
    """Yield the pods that were created since a time; a pod that is not stored yet has no time, and is one of them.

    Args:
        since: RFC 3339; empty: there is no such time, so all are.
        pods: any pods.
    """
    begun = moment(since)
    if begun is None:
        yield from pods
        return
    begun = begun.replace(microsecond=0)  # creationTimestamp has whole seconds
    for pod in pods:
        created = moment(pod.metadata.creation_timestamp or "")
        if created is None or created >= begun:
            yield pod


def belongs_to(pod: Pod, owner: Owner) -> bool:
    """Whether a pod's top controller is this owner; a Deployment is known by the name of its ReplicaSet."""
    if pod.metadata.namespace != owner.namespace:
        return False
    controller = pod.metadata.controller()
    if controller is None:
        return False
    if controller.kind == owner.kind and controller.name == owner.name:
        return not owner.uid or controller.uid == owner.uid
    return owner.kind == "Deployment" and bool(owner.name) and pod.deployment == owner.name


def room_left(promise: Promise, pods: Iterable[Pod], slots: Iterable[Slot] = ()) -> dict[str, int]:
    """Return what is left of a promise, by resource; negative when pods use more than was promised.

    Args:
        promise: what the node offers.
        pods: the pods that are on it; ended ones use nothing.
        slots: what is held back for pods to come.

    Returns:
        Thousandths of a CPU, bytes, or pieces of anything else, ``pods`` included. Resources whose quantity cannot be
        read are left out: there is no room of them. Static pods to come use their room already.
    """
    left, _ = requests.allocatable(promise.allocatable)
    there = tuple(pods)
    for name, amount in static_pods_to_come(promise, there).items():
        if name in left:
            left[name] -= amount
    for pod in there:
        if not pod.finished:
            _take(left, _needs(pod), 1)
    for slot in slots:
        _take(left, _slot_needs(slot.requests), slot.count)
    return left


def static_pods_to_come(promise: Promise, pods: Iterable[Pod]) -> dict[str, int]:
    """Return the room that the static pods of a promised node will take, without those that are there.

    The kubelet shows a static pod as a mirror pod, which uses room like any other. As soon as there are as many as
    were promised, what they use counts, and not what was promised.

    Args:
        promise: what the node offers.
        pods: the pods that are on it.

    Returns:
        Units by resource, ``pods`` included; empty when nothing is to come.
    """
    if not promise.static_pods:
        return {}
    left, _ = requests.allocatable(promise.static_pods)
    mirrors = [pod for pod in pods if pod.is_mirror and not pod.finished]
    if mirrors and len(mirrors) >= left.get("pods", 1):
        return {}
    for pod in mirrors:
        _take(left, _needs(pod), 1)
    return {name: amount for name, amount in left.items() if amount > 0}


def _take(left: dict[str, int], needs: Mapping[str, int], times: int) -> None:
    for name, amount in {**needs, "pods": 1}.items():
        if name in left:
            left[name] -= amount * times


def _needs(pod: Pod) -> Mapping[str, int]:
    try:
        return requests.placed(pod)
    except requests.RequestError:
        return {}


def _slot_needs(quantities: Quantities) -> Mapping[str, int]:
    needs = {}
    for name, text in quantities.items():
        try:
            needs[name] = requests.units(name, parse(text))
        except QuantityError:
            continue
    return needs
