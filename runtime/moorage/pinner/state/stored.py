"""The reservations as they are stored: every write carries the resourceVersion it was decided on.

A change of a reservation is sent as the whole object, not as a patch, and without a record of who manages which field.
This write is the most expensive one of the pinner; sent so it costs the API server about a third less CPU (measured).
Fields that are not ours, or not known to this version, stay as they are.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from moorage.controller.fence import Fence
from moorage.kube import errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import FIELD_MANAGER, Client
from moorage.reservations import NodeReservation, Spec, merging, read, unknown_fields

from ..decisions.steps import EditReservation
from ..names import FINALIZER, NO_MANAGERS
from ..refusal import is_final
from .cluster import ClusterState

_encode = msgspec.json.Encoder().encode
_QUERY = {"fieldManager": FIELD_MANAGER}


class Stored(enum.Enum):
    """What became of an intent that was to be stored."""

    YES = "stored"
    CHANGED = "the reservation has changed, or come, meanwhile"
    NOT_KEPT = "the API server took it and keeps something else"


@dataclass(slots=True)
class _PutOff:
    """A reservation of which no write got through: when the next may be tried (monotonic seconds), and why."""

    backoff: Backoff
    due: float
    error: errors.KubeError


class IntentStore:
    """Stores intents.

    Several want to write one reservation, and each tries again by itself. While no write of it gets through they wait
    together: until the next one is due, what was said of the last is said again without a request.

    Args:
        client: the API server.
        cluster: told of every change.
        fence: lets requests through.
        backoff: how writes of one reservation wait.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        client: Client,
        cluster: ClusterState,
        fence: Fence,
        backoff: Callable[[], Backoff],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._fence = fence
        self._backoff = backoff
        self._monotonic = monotonic
        self._put_off: dict[str, _PutOff] = {}

    async def store(self, name: str, spec: Spec) -> Stored:
        """Store the intent for a node: a new reservation, or the difference to the one there is.

        Args:
            name: the node's name.
            spec: all of the intent.

        Raises:
            KubeError: it was not stored.
        """
        reservation = self._cluster.reservation(name)
        if reservation is None:
            body = {"metadata": {"name": name, "finalizers": [FINALIZER]}, "spec": merging.changes(None, spec)}
            try:
                written = await self._write(name, lambda: self._client.create(resources.NODE_RESERVATIONS, body))
            except errors.Conflict:
                await self.read(name)
                return Stored.CHANGED
            self._cluster.wrote_reservation(written)
        else:
            old = self._cluster.reading(name).spec
            if old == spec:
                return Stored.YES
            changes, finalizers = merging.changes(old, spec), reservation.metadata.finalizers
            replaced = await self._replace(reservation, changes, finalizers)
            if replaced is None:
                return Stored.CHANGED
            written = replaced
        return Stored.YES if read(written).spec == spec else Stored.NOT_KEPT

    async def edit(self, step: EditReservation) -> Stored:
        """Store another spec; when the reservation has changed since, nothing is stored."""
        finalizers = step.reservation.metadata.finalizers
        if step.close:
            finalizers = tuple(finalizer for finalizer in finalizers if finalizer != FINALIZER)
        written = await self._replace(step.reservation, merging.changes(step.old, step.new), finalizers)
        if written is None:
            return Stored.CHANGED
        kept = read(written).spec == step.new and not (step.close and FINALIZER in written.metadata.finalizers)
        return Stored.YES if kept else Stored.NOT_KEPT

    async def end(self, reservation: NodeReservation) -> bool:
        """Delete a reservation: its finalizer goes first, then the object, exactly as it was decided on.

        Returns:
            False when it has changed meanwhile. Finalizers of others may hold it after that.
        """
        meta = reservation.metadata
        current = reservation
        if FINALIZER in meta.finalizers:
            written = await self._replace(reservation, {}, tuple(f for f in meta.finalizers if f != FINALIZER))
            if written is None or FINALIZER in written.metadata.finalizers:
                return False
            current = written
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
                return False
        self._put_off.pop(meta.name, None)
        if current.metadata.finalizers:
            await self.read(meta.name)
        else:
            self._cluster.ended_reservation(reservation)
        return True

    async def read(self, name: str) -> None:
        """Read a reservation that is not as it was thought to be."""
        try:
            async with self._fence.read():
                found = await self._client.get(resources.NODE_RESERVATIONS, name)
        except errors.NotFound:
            known = self._cluster.reservation(name)
            if known is not None:
                self._cluster.ended_reservation(known)
        else:
            self._cluster.found_reservation(found)

    async def write_status(self, reservation: NodeReservation, status: Mapping[str, Any]) -> Stored:
        """Show people how it stands."""
        current = self._cluster.reservation(reservation.metadata.name)
        if current is None or current.metadata.uid != reservation.metadata.uid:
            return Stored.CHANGED
        meta = current.metadata
        metadata = {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version}
        body = _body(metadata, spec={}, status=status)  # of a status only the status is taken
        path = resources.NODE_RESERVATIONS.path("", meta.name, "status")
        try:
            written = await self._fence.write(lambda: self._put_to(path, body))
        except (errors.NotFound, errors.Conflict, errors.Invalid):
            await self.read(meta.name)  # it has changed, or another object has the name by now, or none
            return Stored.CHANGED
        self._cluster.wrote_reservation(written)
        shown = written.status if isinstance(written.status, dict) else {}
        # An older definition does not have conditions: what it keeps says the same.
        kept = {key: value for key, value in status.items() if key != "conditions" or key in shown}
        return Stored.YES if shown.items() >= kept.items() else Stored.NOT_KEPT

    async def _replace(
        self, old: NodeReservation, changes: Mapping[str, Any], finalizers: tuple[str, ...]
    ) -> NodeReservation | None:
        """What the API server made of it; None when the reservation has changed meanwhile."""
        meta, changes = old.metadata, unknown_fields.keeping(old.spec, changes)
        request = self._patch if meta.owner_references else self._put  # we do not know all fields of such references
        try:
            written = await self._write(meta.name, lambda: request(old, changes, finalizers))
        except (errors.Conflict, errors.NotFound):
            await self.read(meta.name)
            return None
        self._cluster.wrote_reservation(written)
        return written

    async def _write(self, name: str, request: Callable[[], Awaitable[NodeReservation]]) -> NodeReservation:
        before = self._put_off.get(name)
        if before is not None and self._monotonic() < before.due:
            raise before.error.with_traceback(None)
        try:
            written = await self._fence.write(request)
        except (errors.Conflict, errors.NotFound):
            self._put_off.pop(name, None)
            raise
        except errors.KubeError as error:
            if isinstance(error, errors.ApiError) and is_final(error):  # another write may well be taken
                self._put_off.pop(name, None)
                raise
            backoff = before.backoff if before is not None else self._backoff()
            asked = error.retry_after if isinstance(error, errors.ApiError) else None
            self._put_off[name] = _PutOff(backoff, self._monotonic() + max(backoff.next(), asked or 0.0), error)
            raise
        self._put_off.pop(name, None)
        return written

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
            "managedFields": NO_MANAGERS,
        }
        spec = merging.merge_patch(old.spec, changes)
        return await self._put_to(resources.NODE_RESERVATIONS.path("", meta.name), _body(metadata, spec=spec))

    async def _put_to(self, path: str, body: bytes) -> NodeReservation:
        answer = await self._client.transport.request("PUT", path, query=_QUERY, body=body)
        try:
            return msgspec.json.decode(answer, type=NodeReservation)
        except errors.UNREADABLE as error:
            raise errors.Undecodable(f"the answer is not a NodeReservation: {error}") from error


def _body(metadata: Mapping[str, Any], **parts: object) -> bytes:
    kind = resources.NODE_RESERVATIONS
    return _encode({"apiVersion": kind.group_version, "kind": kind.kind, "metadata": metadata, **parts})
