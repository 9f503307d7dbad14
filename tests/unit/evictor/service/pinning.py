"""A pod pinner as the evictor sees it: it serves slot reservations, and creates pods on the reserved nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from moorage.kube import resources
from moorage.kube.resource import Resource
from moorage.objects import Pod
from moorage.reservations import Slot, SlotReservation, destinations, rules
from tests.unit.pinner.bed.api import KINDS, Api, Request
from tests.unit.pinner.bed.refusals import Json

_KIND: Resource[Any] = resources.SLOT_RESERVATIONS
PLURAL = _KIND.plural
KINDS.update({PLURAL: _KIND})


class Pinner:
    """The pod pinner.

    Args:
        api: the API server.

    Attributes:
        serves: whether it is there.
        after: seconds until it serves a new reservation.
    """

    def __init__(self, api: Api) -> None:
        self.serves = False
        self.after = 0.2
        self._api = api
        api.policies.append(self._admit)

    async def run(self) -> None:
        """Say which reservations are served, until cancelled."""
        while True:
            await asyncio.sleep(self.after)
            for name, found in list(self._reservations.items()) if self.serves else ():
                served = {"served": {"generation": found["metadata"]["generation"]}}
                if found.get("status") != served:
                    self._api.edit(PLURAL, name, lambda each, served=served: each.update(status=served))  # type: ignore[misc]

    @property
    def _reservations(self) -> dict[str, Json]:
        return self._api.store.objects[PLURAL]

    def _admit(self, request: Request, new: Json) -> None:
        """What the API server and the webhook make of an object that is about to be stored."""
        if request.resource == PLURAL:
            new["metadata"]["generation"] = new["metadata"].get("generation", 0) + 1
        elif request.resource == "pods" and request.verb == "create" and self.serves:
            node = next(self._expecting(new), None)
            new["spec"].update({"nodeName": node} if node is not None else {})

    def _expecting(self, new: Json) -> Iterator[str]:
        """The nodes where a pod is expected."""
        pod = msgspec.convert(new, Pod)
        return (name for name, slot, left in self.free() if left and rules.belongs_to(pod, slot.owner))

    def free(self) -> Iterator[tuple[str, Slot, int]]:
        """The slots of each node, with the number of pods that are still to come."""
        on_nodes: dict[str, list[Pod]] = {}
        for each in self._api.store.objects["pods"].values():
            on_nodes.setdefault(each["spec"].get("nodeName", ""), []).append(msgspec.convert(each, Pod))
        for name, found in sorted(self._reservations.items()):
            spec, problems = destinations.read(msgspec.convert(found, SlotReservation))
            assert problems == ()
            if destinations.in_force(spec, self._api.time()):
                for slot, filled in destinations.slots_filled(spec, on_nodes.get(name, ())):
                    yield name, slot, slot.count - len(filled)


def reservation(by: str, uid: str, **spec: Any) -> Json:
    """The spec of a reservation by a user."""
    slot = {"owner": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "count": 1}
    times = {"since": "2030-01-01T00:00:00Z", "until": "2030-01-01T00:30:00Z"}
    return {"nodeUID": uid, "by": by, **times, "slots": [slot], **spec}
