"""The reservations as they are stored: every write carries the resourceVersion it was decided on.

A change of a reservation is sent as the whole object, not as a patch: that costs the API server a quarter less, and
one such write per instruction is the dearest part of pinning. Fields that are not ours stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from moorage.kube import errors, resources
from moorage.kube.client import FIELD_MANAGER, MERGE_PATCH, Client
from moorage.reservations import NodeReservation, Spec, merging

from .fence import Fence
from .names import FINALIZER
from .steps import EditReservation
from .world import World

_encode = msgspec.json.Encoder().encode
_QUERY = {"fieldManager": FIELD_MANAGER}


class Ledger:
    """Stores intents.

    Args:
        client: the API server.
        world: told of every change.
        fence: lets requests through.
    """

    def __init__(self, client: Client, world: World, fence: Fence) -> None:
        self._client = client
        self._world = world
        self._fence = fence

    async def store(self, name: str, spec: Spec) -> bool:
        """Store the intent for a node: a new reservation, or the difference to the one there is.

        Args:
            name: the node's name.
            spec: all of the intent.

        Returns:
            Whether it is stored; False means that the reservation has changed, or come, meanwhile.

        Raises:
            KubeError: it was not stored.
        """
        reservation = self._world.reservation(name)
        if reservation is None:
            body = {"metadata": {"name": name, "finalizers": [FINALIZER]}, "spec": merging.changes(None, spec)}
            try:
                created = await self._fence.write(lambda: self._client.create(resources.NODE_RESERVATIONS, body))
            except errors.Conflict:
                await self.read(name)
                return False
            self._world.wrote_reservation(created)
            return True
        old = self._world.reading(name).spec
        if old == spec:
            return True
        await self.edit(EditReservation(reservation, old, spec))
        return self._world.reading(name).spec == spec

    async def edit(self, step: EditReservation) -> None:
        """Store another spec; when the reservation has changed since, nothing is stored."""
        finalizers = step.reservation.metadata.finalizers
        if step.close:
            finalizers = tuple(finalizer for finalizer in finalizers if finalizer != FINALIZER)
        await self._replace(step.reservation, merging.changes(step.old, step.new), finalizers)

    async def end(self, reservation: NodeReservation) -> None:
        """Delete a reservation: its finalizer goes first, then the object, exactly as it was decided on."""
        meta = reservation.metadata
        current = reservation
        if FINALIZER in meta.finalizers:
            await self._replace(reservation, {}, tuple(f for f in meta.finalizers if f != FINALIZER))
            current = self._world.reservation(meta.name) or reservation
            if FINALIZER in current.metadata.finalizers:
                return  # it has changed meanwhile: decide again
        if current.metadata.deletion_timestamp is None:
            version = current.metadata.resource_version
            try:
                await self._fence.write(
                    lambda: self._client.delete(
                        resources.NODE_RESERVATIONS, meta.name, uid=meta.uid, resource_version=version
                    )
                )
            except errors.NotFound:
                pass
            except errors.Conflict:
                await self.read(meta.name)
                return
        self._world.ended_reservation(reservation)

    async def read(self, name: str) -> None:
        """Read a reservation that is not as it was thought to be."""
        try:
            async with self._fence.read():
                found = await self._client.get(resources.NODE_RESERVATIONS, name)
        except errors.NotFound:
            known = self._world.reservation(name)
            if known is not None:
                self._world.ended_reservation(known)
        else:
            self._world.wrote_reservation(found)

    async def write_status(self, reservation: NodeReservation, status: Mapping[str, Any]) -> None:
        """Show people how it stands."""
        meta = reservation.metadata
        body = _encode({"metadata": {"uid": meta.uid}, "status": status})
        path = resources.NODE_RESERVATIONS.path("", meta.name, "status")
        try:
            await self._fence.write(
                lambda: self._client.transport.request("PATCH", path, query=_QUERY, body=body, content_type=MERGE_PATCH)
            )
        except (errors.NotFound, errors.Conflict, errors.Invalid):
            return  # another object has the name by now, or none: it gets its own

    async def _replace(self, old: NodeReservation, changes: Mapping[str, Any], finalizers: tuple[str, ...]) -> None:
        meta = old.metadata
        request = self._patch if meta.owner_references else self._put  # we do not know all fields of such references
        try:
            written = await self._fence.write(lambda: request(old, changes, finalizers))
        except (errors.Conflict, errors.NotFound):
            await self.read(meta.name)
            return
        self._world.wrote_reservation(written)

    async def _patch(
        self, old: NodeReservation, changes: Mapping[str, Any], finalizers: tuple[str, ...]
    ) -> NodeReservation:
        meta = old.metadata
        return await self._client.patch(
            resources.NODE_RESERVATIONS,
            meta.name,
            changes={"metadata": {"finalizers": finalizers}, "spec": changes},
            uid=meta.uid,
            resource_version=meta.resource_version,
        )

    async def _put(
        self, old: NodeReservation, changes: Mapping[str, Any], finalizers: tuple[str, ...]
    ) -> NodeReservation:
        meta = old.metadata
        metadata = {
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "labels": meta.labels,
            "annotations": meta.annotations,
            "finalizers": finalizers,
        }
        body = {
            "apiVersion": resources.NODE_RESERVATIONS.group_version,
            "kind": resources.NODE_RESERVATIONS.kind,
            "metadata": metadata,
            "spec": merging.merge_patch(old.spec, changes),
        }
        path = resources.NODE_RESERVATIONS.path("", meta.name)
        answer = await self._client.transport.request("PUT", path, query=_QUERY, body=_encode(body))
        try:
            return msgspec.json.decode(answer, type=NodeReservation)
        except errors.UNREADABLE as error:
            raise errors.Undecodable(f"the answer is not a NodeReservation: {error}") from error
