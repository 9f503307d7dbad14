"""Reads and writes of single objects. A write that could do harm names the object by uid or resourceVersion.

Deletes, binds and evictions carry the object's uid, because the name may belong to another object when the request
arrives. Updates carry the resourceVersion that they are based on. If flow control (429 without a disruption budget)
rejects a request, the client waits and sends it again, because the server did not execute it. All other errors are the
caller's to handle.
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
        field_manager: the server records it as the author of our changes.
        patience: seconds that a request may wait for flow control in all, before the 429 is raised.
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
            NotFound: the object does not exist.
        """
        return _decode(await self._send("GET", resource.path(namespace, name)), resource.type)

    async def list(
        self, resource: Resource[T], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[T, ...]:
        """Read all objects of a kind, in pages, without keeping a cache.

        Args:
            resource: the kind.
            namespace: restricts the list to one namespace; empty means all.
            labels: label selector as text.
            fields: field selector as text.

        Raises:
            Gone: the list expired between two pages; start again.
            Undecodable: a response is not a list, or an object in it does not match the kind's struct.
        """
        result: list[T] = []
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        query = {k: v for k, v in query.items() if v}
        while True:
            page = _decode(await self._send("GET", resource.path(namespace), query=query), _Page)
            # A proxy's 200 with some other JSON must not look like "nothing exists".
            if not page.metadata.resource_version:
                raise errors.Undecodable(f"the answer is not a list of {resource.plural}")
            if page.metadata.continue_ and page.metadata.continue_ == query.get("continue"):
                raise errors.Undecodable(f"list of {resource.plural}: the same page again and again")
            result.extend(_decode(item, resource.type) for item in page.items or ())
            if not page.metadata.continue_:
                return tuple(result)
            query["continue"] = page.metadata.continue_

    async def create(
        self, resource: Resource[T], body: Mapping[str, Any], namespace: str = "", *, dry_run: bool = False
    ) -> T:
        """Create an object from its manifest; ``apiVersion`` and ``kind`` are filled in.

        Raises:
            Conflict: with cause ALREADY_EXISTS when the name is in use.
            Invalid: validation refuses the object; ``causes`` name the fields.
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
        """Merge changes into one object (RFC 7386), if it is still the object with this uid.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            changes: a merge patch; a list replaces a list, None removes.
            uid: the server refuses when the name belongs to another object.
            resource_version: the server refuses when the object has changed since. Required when a list is replaced.
            subresource: for example ``status``; empty means the object itself.
            dry_run: the server checks everything and stores nothing.

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
            # A patch has no preconditions. The server reads another uid as an attempt to change an immutable field.
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
        """Server-side apply: own exactly the fields in ``body``. Creates the object if it does not exist.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            body: the fields to own. A ``metadata.uid`` in it is a precondition.
            force: take the fields over from other managers.
            dry_run: the server checks everything and stores nothing.

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
        """Replace the status of one object, if the object is unchanged since it was read.

        Args:
            resource: the kind, which has a status subresource.
            name: the object's name.
            namespace: the object's namespace.
            status: the complete status.
            uid: the server refuses when the name belongs to another object.
            resource_version: the server refuses when the object has changed since.

        Raises:
            Conflict: cause UID or RESOURCE_VERSION.
            NotFound: the object does not exist any more.
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
        """Delete one object, if it is still the object with this uid.

        Args:
            resource: the kind.
            name: the object's name.
            namespace: the object's namespace.
            uid: the server refuses when the name belongs to another object.
            resource_version: the server refuses when the object has changed since.
            grace_seconds: overrides the pod's own grace period. With 0 the pod is removed from the API at once.
            propagation: what happens to the objects that it owns.
            dry_run: the server checks everything and deletes nothing.

        Raises:
            NotFound: the object does not exist any more.
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
        """Bind one pod to a node. The server writes the annotations to the pod in the same transaction.

        Args:
            name: the pod's name.
            namespace: the pod's namespace.
            uid: the pod's uid.
            node: the node's name.
            annotations: are added to the pod (``setPodNodeAndMetadata`` in pod/storage/storage.go).
            dry_run: the server checks everything and binds nothing.

        Raises:
            NotFound: the pod does not exist any more.
            Conflict: cause UID, ALREADY_BOUND (also to the same node), GATED or TERMINATING.
        """
        path = PODS.path(namespace, name, "binding")
        body = binding(name, uid=uid, node=node, annotations=annotations or {})
        # No field manager: the server does not store a Binding, and parsing a query would cost it more CPU.
        query = {"dryRun": "All"} if dry_run else None
        await self._send("POST", path, query=query, body=body, content_type=PROTOBUF, accept=f"{PROTOBUF},{JSON}")

    async def evict(
        self, name: str, namespace: str, *, uid: str, grace_seconds: int | None = None, dry_run: bool = False
    ) -> None:
        """Evict one pod, if its disruption budgets allow that.

        Args:
            name: the pod's name.
            namespace: the pod's namespace.
            uid: the pod's uid.
            grace_seconds: overrides the pod's own grace period.
            dry_run: the server checks everything and evicts nothing.

        Raises:
            NotFound: the pod does not exist any more.
            Conflict: cause UID. The server checks the budget first, so a 429 may hide this.
            TooManyRequests: cause DISRUPTION_BUDGET; the budget allows no eviction now.
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
        """Send a request. Send it again while flow control rejects it: the server did not execute it."""
        backoff = None  # rarely needed, and drawing a random number costs more than encoding a request
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
                # All clients get the same Retry-After. The jitter on top spreads them out.
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
