"""What is promised to whom on which node, for a person who asks (``moorage pins``, ``moorage explain``).

Everything is read anew from reservations and pods; of a status only its words for people are shown.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.reservations import NodeReservation, Slot, SlotReservation, Spec, destinations, read, rules

from ..names import FINALIZER, NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from ..node.reports import slot_reports


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pod that is intended for the node.

    Attributes:
        pod: ``namespace/name``.
        state: ``bound``, ``pending``, ``elsewhere`` or ``gone``.
        node: where it is, if it is not where it is intended to be.
    """

    pod: str
    state: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """Pods of one controller that are expected on the node.

    Attributes:
        owner: ``namespace/Kind/name``.
        requests: what one of them requests.
        count: how many in all.
        left: how many are still to come.
        webhook: how many were pinned as they were created.
        binding: how many were bound by the pinner.
        scheduler: how many the scheduler has put there.
        reason: why one was left to the scheduler; may be empty.
    """

    owner: str
    requests: Mapping[str, str | int]
    count: int
    left: int
    webhook: int
    binding: int
    scheduler: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """One reservation.

    Attributes:
        node: the node's name in its plan, and most often the Node's.
        state: one word, as the pinner says it; empty while it has said nothing.
        plan: name of the plan, or who has written a SlotReservation.
        joined: whether the placeholder is no longer ours to clean up.
        deadline: RFC 3339; by then the node must have joined. Empty once it has.
        expected_until: RFC 3339; empty when nothing is expected.
        pods: those that are intended for the node.
        slots: those that are expected.
        message: what the pinner says, and what is wrong.
        kind: of the reservation: a SlotReservation is about a node that runs.
        joined_as: the Node's own name where the machine brought it along (profile late); empty otherwise.
    """

    node: str
    state: str
    plan: str
    joined: bool
    deadline: str
    expected_until: str
    pods: tuple[Pinned, ...]
    slots: tuple[Expected, ...]
    message: str
    kind: str = "NodeReservation"
    joined_as: str = ""

    @property
    def bound(self) -> int:
        """How many of the pods are bound here."""
        return sum(1 for each in self.pods if each.state == "bound")

    @property
    def until(self) -> str:
        """When something ends by itself (RFC 3339); empty when nothing does."""
        return self.deadline or self.expected_until

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Overview:
    """A whole cluster.

    Attributes:
        nodes: the reservations, by node; a node may have one of each kind.
        left: why pods that were expected are left to the scheduler, by ``namespace/name``.
        hidden: what could not be looked at; empty when all could.
    """

    nodes: tuple[Held, ...]
    left: Mapping[str, str]
    hidden: str = ""

    def of(self, node: str) -> tuple[Held, ...]:
        """The reservations of a node, by either of its names."""
        return tuple(each for each in self.nodes if node in (each.node, each.joined_as))


async def gather(client: Client) -> Overview:
    """Everything that is promised in a cluster.

    Args:
        client: of somebody who may list reservations and pods.

    Raises:
        NotFound: reservations are not defined there.
        KubeError: the cluster could not be looked at.
    """
    reservations, pods, (slots, hidden) = await asyncio.gather(
        client.list(resources.NODE_RESERVATIONS), client.list(resources.PODS), _slot_reservations(client)
    )
    return overview(reservations, pods, slots, hidden)


async def _slot_reservations(client: Client) -> tuple[Sequence[SlotReservation], str]:
    """All of them, and why they cannot be seen: an older installation knows nothing of them."""
    try:
        return await client.list(resources.SLOT_RESERVATIONS), ""
    except errors.NotFound:
        return (), ""
    except errors.Forbidden:
        return (), "slots on running nodes cannot be seen: may not list slotreservations"


def overview(
    reservations: Iterable[NodeReservation],
    pods: Iterable[Pod],
    slots: Iterable[SlotReservation] = (),
    hidden: str = "",
) -> Overview:
    """Everything that is promised.

    Args:
        reservations: those of nodes to come.
        pods: all of the cluster.
        slots: those of nodes that run.
        hidden: what could not be looked at.
    """
    by_key: dict[str, Pod] = {}
    on: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_key[pod.key] = pod
        on[pod.spec.node_name].append(pod)
    found = [
        *(_held(each, on, by_key) for each in reservations),
        *(_expected(each, on[each.metadata.name]) for each in slots),
    ]
    left = ((key, pod.metadata.annotations.get(NOT_PINNED_ANNOTATION, "")) for key, pod in sorted(by_key.items()))
    found.sort(key=lambda each: (each.node, each.kind))
    return Overview(tuple(found), {key: why for key, why in left if why}, hidden)


def _held(reservation: NodeReservation, on: Mapping[str, Sequence[Pod]], by_key: Mapping[str, Pod]) -> Held:
    name, (spec, problems) = reservation.metadata.name, read(reservation)
    node = spec.named(name)
    here = on.get(node, ()) if node else ()
    shown = reservation.status if isinstance(reservation.status, dict) else {}
    joined = FINALIZER not in reservation.metadata.finalizers
    said = str(shown.get("message") or "")
    return Held(
        node=name,
        joined_as=node if spec.node_name else "",
        state=str(shown.get("state") or ""),
        plan=spec.plan,
        joined=joined,
        deadline="" if joined else spec.deadline,
        expected_until="" if spec.released or not spec.slots else spec.expected_until,
        pods=tuple(_pods(node, spec, by_key)),
        slots=tuple(_slots(rules.slots_filled(spec.slots, here))),
        message="; ".join((*([said] if said else []), *map(str, problems))),
    )


def _expected(reservation: SlotReservation, here: Sequence[Pod]) -> Held:
    """What is expected on a node that runs; pods that were put there by it count as pinned."""
    spec, problems = destinations.read(reservation)
    shown = reservation.status if isinstance(reservation.status, dict) else {}
    filled = destinations.slots_filled(spec, here)
    come = (pod for _, pods in filled for pod in pods if PIN_ANNOTATION in pod.metadata.annotations)
    said = str(shown.get("message") or "")
    return Held(
        node=reservation.metadata.name,
        state="Served" if destinations.is_served(reservation) else "NotServed",
        plan=spec.by,
        joined=True,
        deadline="",
        expected_until=spec.until,
        pods=tuple(Pinned(pod.key, "bound") for pod in come),
        slots=tuple(_slots(filled)),
        message=said or "; ".join(map(str, problems)),
        kind="SlotReservation",
    )


def _pods(node: str, spec: Spec, by_key: Mapping[str, Pod]) -> Iterator[Pinned]:
    for pin in spec.pins:
        pod = by_key.get(pin.key)
        if pod is None or pod.metadata.uid != pin.uid:
            yield Pinned(pin.key, "gone")
        elif node and pod.spec.node_name == node:
            yield Pinned(pin.key, "bound")
        elif pod.spec.node_name:
            yield Pinned(pin.key, "elsewhere", pod.spec.node_name)
        else:
            yield Pinned(pin.key, "pending")


def _slots(filled: Sequence[tuple[Slot, Sequence[Pod]]]) -> Iterator[Expected]:
    for (slot, _), report in zip(filled, slot_reports(filled), strict=True):
        owner = f"{slot.owner.namespace}/{slot.owner.kind}/{slot.owner.name}"
        by = report.webhook, report.binding, report.scheduler
        yield Expected(owner, slot.requests, slot.count, report.left, *by, report.reason)
