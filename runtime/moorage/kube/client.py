"""Reads and writes of single objects. Every write that could hurt names what it means to change.

Deleting, binding and evicting take the object's uid: a name may belong to another object by the time a request
arrives. Updates carry the resourceVersion that they were decided on. Flow control (429 without a disruption budget) is
waited out here, because the request was not executed; everything else is the caller's to judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from moorage.objects import KubeObject

from . import errors
from .backoff import Backoff
from .http.transport import JSON, Transport
from .resource import Resource
from .resources import PODS
from .wire import lenient
from .wire.bindings import binding
from .wire.decoder import ListMeta
from .wire.envelope import CONTENT_TYPE as PROTOBUF

T = TypeVar("T", bound=KubeObject)

Propagation = Literal["Background", "Foreground", "Orphan"]
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML
FIELD_MANAGER = "moorage"
FLOW_CONTROL_PATIENCE = 60.0
_PAGE = 500

_encode = msgspec.json.Encoder().encode


class Client:
    """Typed reads and writes over one transport.

    Args:
        transport: the connections to the API server.
        field_manager: recorded by the server as the author of our changes.
        patience: how long (seconds) a request waits in all when flow control pushes back, before that is an error.
    """

    def __init__(
        self, transport: Transport, *, field_manager: str = FIELD_MANAGER, patience: float = FLOW_CONTROL_PATIENCE
    ) -> None:
        self.transport = transport
        self._manager = field_manager
        self._patience = patience

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """Read one object.

        Raises:
            NotFound: there is none of that name.
        """
        return _decode(await self._send("GET", resource.path(namespace, name)), resource.type)

    async def list(
        self, resource: Resource[T], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[T, ...]:
        """Read all objects of a kind, in pages, without keeping a cache.

        Args:
            resource: the kind.
            namespace: restricts to one namespace; empty means all.
            labels: label selector as text.
            fields: field selector as text.

        Raises:
            Gone: the list grew too old while it was paged; start again.
            Undecodable: an answer is no list, or an object in it is not what the kind promises.
        """
        found: list[T] = []
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        query = {k: v for k, v in query.items() if v}
        while True:
            page = _decode(await self._send("GET", resource.path(namespace), query=query), _Page)
            # A proxy's 200 with some other JSON must not look like "nothing exists".
            if not page.metadata.resource_version:
                raise errors.Undecodable(f"the answer is not a list of {resource.plural}")
            if page.metadata.continue_ and page.metadata.continue_ == query.get("continue"):
                raise errors.Undecodable(f"list of {resource.plural}: the same page again and again")
            found.extend(_decode(item, resource.type) for item in page.items or ())
            if not page.metadata.continue_:
                return tuple(found)
            query["continue"] = page.metadata.continue_

    async def create(
        self, resource: Resource[T], body: Mapping[str, Any], namespace: str = "", *, dry_run: bool = False
    ) -> T:
        """Create an object from its manifest; ``apiVersion`` and ``kind`` are filled in.

        Raises:
            Conflict: with cause ALREADY_EXISTS when the name is taken.
            Invalid: when validation refuses it; ``causes`` name the fields.
        """
        manifest = {"apiVersion": resource.group_version, "kind": resource.kind, **body}
        answer = await self._send(
            "POST", resource.path(namespace), query=self._write_query(dry_run), body=_encode(manifest)
        )
        return _decode(answer, resource.type)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        changes: Mapping[str, Any],
        uid: str,
        resource_version: str = "",
        subresource: str = "",
        dry_run: bool = False,
    ) -> T:
        """Merge changes into one object (RFC 7386), only while it is the object that was meant.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            changes: a merge patch; a list replaces a list, None removes.
            uid: refuse when the name belongs to another object by now.
            resource_version: refuse when the object changed since; needed whenever a list is replaced.
            subresource: the part of it that is changed, for example ``status``; empty means the object itself.
            dry_run: let the server check everything and store nothing.

        Raises:
            Conflict: cause UID or RESOURCE_VERSION.
        """
        metadata = {**changes.get("metadata", {}), "uid": uid}
        if resource_version:
            metadata["resourceVersion"] = resource_version
        try:
            answer = await self._send(
                "PATCH",
                resource.path(namespace, name, subresource),
                query=self._write_query(dry_run),
                body=_encode({**changes, "metadata": metadata}),
                content_type=MERGE_PATCH,
            )
        except errors.Invalid as error:
            # A patch cannot carry preconditions: another uid reads as an attempt to change an immutable field.
            if any(cause.field == "metadata.uid" for cause in error.causes):
                raise errors.Conflict(409, error.status, request=error.request) from error
            raise
        return _decode(answer, resource.type)

    async def apply(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        body: Mapping[str, Any],
        force: bool = False,
        dry_run: bool = False,
    ) -> T:
        """Server-side apply: own exactly the fields in ``body``, creating the object when there is none.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            body: the fields wanted; a ``metadata.uid`` in it is a precondition.
            force: take fields over from other managers.
            dry_run: let the server check everything and store nothing.

        Raises:
            Conflict: another manager owns a field and ``force`` is False.
        """
        metadata = {**body.get("metadata", {}), "name": name}
        manifest = {"apiVersion": resource.group_version, "kind": resource.kind, **body, "metadata": metadata}
        query = self._write_query(dry_run) | ({"force": "true"} if force else {})
        answer = await self._send(
            "PATCH",
            resource.path(namespace, name),
            query=query,
            body=_encode(manifest),
            content_type=APPLY_PATCH,
        )
        return _decode(answer, resource.type)

    async def update_status(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        status: Mapping[str, Any],
        uid: str,
        resource_version: str,
    ) -> T:
        """Replace the whole status of one object, only while it is as it was read; nothing else of it is changed.

        Args:
            resource: the kind, which has a status subresource.
            name: the object's name.
            namespace: the object's namespace.
            status: all of it.
            uid: refuse when the name belongs to another object by now.
            resource_version: refuse when the object changed since.

        Raises:
            Conflict: cause UID or RESOURCE_VERSION.
            NotFound: it is gone.
        """
        meta = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version}
        body = {
            "apiVersion": resource.group_version,
            "kind": resource.kind,
            "metadata": {key: value for key, value in meta.items() if value},
            "status": status,
        }
        path = resource.path(namespace, name, "status")
        return _decode(await self._send("PUT", path, query=self._write_query(False), body=_encode(body)), resource.type)

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        uid: str,
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Propagation = "Background",
        dry_run: bool = False,
    ) -> None:
        """Delete one object, only while it is the object that was meant.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            uid: refuse when the name belongs to another object by now.
            resource_version: refuse when the object changed since.
            grace_seconds: overrides the pod's own; 0 removes it from the API at once.
            propagation: what happens to objects it owns.
            dry_run: let the server check everything and delete nothing.

        Raises:
            NotFound: it is gone already.
            Conflict: cause UID or RESOURCE_VERSION.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if dry_run:
            options["dryRun"] = ["All"]
        await self._send("DELETE", resource.path(namespace, name), body=_encode(options))

    async def bind(
        self,
        name: str,
        namespace: str,
        *,
        uid: str,
        node: str,
        annotations: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> None:
        """Bind one pod to a node; annotations are written to the pod in the same transaction.

        Args:
            name: the pod's name.
            namespace: the pod's namespace.
            uid: the pod that is meant.
            node: the node's name.
            annotations: marks for the pod (``setPodNodeAndMetadata`` in pod/storage/storage.go).
            dry_run: let the server check everything and bind nothing.

        Raises:
            NotFound: the pod is gone.
            Conflict: cause UID, ALREADY_BOUND (also to the same node), GATED or TERMINATING.
        """
        path = PODS.path(namespace, name, "binding")
        body = binding(name, uid=uid, node=node, annotations=annotations or {})
        # No field manager: a Binding is not kept, so nobody would see it, and a query costs the server more than that.
        query = {"dryRun": "All"} if dry_run else None
        await self._send("POST", path, query=query, body=body, content_type=PROTOBUF, accept=f"{PROTOBUF},{JSON}")

    async def evict(
        self, name: str, namespace: str, *, uid: str, grace_seconds: int | None = None, dry_run: bool = False
    ) -> None:
        """Ask the Eviction API to remove one pod, disruption budgets permitting.

        Args:
            name: the pod's name.
            namespace: the pod's namespace.
            uid: the pod that is meant.
            grace_seconds: overrides the pod's own.
            dry_run: let the server check everything and evict nothing.

        Raises:
            NotFound: the pod is gone.
            Conflict: cause UID (the server looks at the budget first: 429 hides it).
            TooManyRequests: cause DISRUPTION_BUDGET; the budget allows none now.
            ServerError: ``several_budgets`` when more than one budget selects the pod.
        """
        options: dict[str, Any] = {"preconditions": {"uid": uid}}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if dry_run:
            options["dryRun"] = ["All"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        }
        await self._send("POST", PODS.path(namespace, name, "eviction"), body=_encode(eviction))

    def _write_query(self, dry_run: bool) -> dict[str, str]:
        return {"fieldManager": self._manager} | ({"dryRun": "All"} if dry_run else {})

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        """Send, waiting while flow control pushes back; the request was not executed, so repeating it is safe."""
        backoff = None  # hardly ever needed, and its randomness costs more than encoding a request
        waited = 0.0
        while True:
            try:
                return await self.transport.request(
                    method, path, query=query, body=body, content_type=content_type, accept=accept
                )
            except errors.TooManyRequests as error:
                if error.cause is not errors.ThrottleCause.FLOW_CONTROL:
                    raise
                backoff = backoff or Backoff(base=0.5, cap=10.0)
                # Retry-After is a floor that all clients get alike; the jitter on top spreads them out.
                delay = (error.retry_after or 0.0) + backoff.next()
                if waited + delay > self._patience:
                    raise
                waited += delay
                await asyncio.sleep(delay)


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    metadata: ListMeta = ListMeta()
    items: tuple[msgspec.Raw, ...] | None = None


D = TypeVar("D")


def _decode(body: bytes | msgspec.Raw, kind: type[D]) -> D:
    try:
        return lenient.decode(body, msgspec.json.Decoder(kind))
    except errors.UNREADABLE as error:
        raise errors.Undecodable(f"the answer is not a {kind.__name__}: {error}") from error
