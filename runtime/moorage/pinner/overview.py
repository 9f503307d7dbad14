"""What is promised to whom on which node, for a person who asks (``moorage pins``, ``moorage explain``).

Everything is read anew from reservations and pods; of a status only its words for people are shown.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.reservations import NodeReservation, Spec, read

from .names import FINALIZER, NOT_PINNED_ANNOTATION
from .reports import slot_reports


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
        plan: name of the plan.
        joined: whether the placeholder is no longer ours to clean up.
        deadline: RFC 3339; by then the node must have joined. Empty once it has.
        expected_until: RFC 3339; empty when nothing is expected.
        pods: those that are intended for the node.
        slots: those that are expected.
        message: what the pinner says, and what is wrong.
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
        nodes: the reservations, by node.
        left: why pods that were expected are left to the scheduler, by ``namespace/name``.
    """

    nodes: tuple[Held, ...]
    left: Mapping[str, str]

    def of(self, node: str) -> Held | None:
        """The reservation of a node, by either of its names; None when there is none."""
        return next((each for each in self.nodes if node in (each.node, each.joined_as)), None)


async def gather(client: Client) -> Overview:
    """Everything that is promised in a cluster.

    Args:
        client: of somebody who may list reservations and pods.

    Raises:
        NotFound: reservations are not defined there.
        KubeError: the cluster could not be looked at.
    """
    reservations, pods = await asyncio.gather(client.list(resources.NODE_RESERVATIONS), client.list(resources.PODS))
    return overview(reservations, pods)


def overview(reservations: Iterable[NodeReservation], pods: Iterable[Pod]) -> Overview:
    """Everything that is promised.

    Args:
        reservations: all of them.
        pods: all of the cluster.
    """
    by_key: dict[str, Pod] = {}
    on: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_key[pod.key] = pod
        on[pod.spec.node_name].append(pod)
    found = (_held(each, on, by_key) for each in reservations)
    left = ((key, pod.metadata.annotations.get(NOT_PINNED_ANNOTATION, "")) for key, pod in sorted(by_key.items()))
    return Overview(tuple(sorted(found, key=lambda each: each.node)), {key: why for key, why in left if why})


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
        slots=tuple(_slots(spec, here)),
        message="; ".join((*([said] if said else []), *map(str, problems))),
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


def _slots(spec: Spec, here: Sequence[Pod]) -> Iterator[Expected]:
    for slot, report in zip(spec.slots, slot_reports(spec, here), strict=True):
        owner = f"{slot.owner.namespace}/{slot.owner.kind}/{slot.owner.name}"
        filled = report.webhook, report.binding, report.scheduler
        yield Expected(owner, slot.requests, slot.count, report.left, *filled, report.reason)
