"""An API server in memory that handles requests for single objects as kube-apiserver does.

Semantics and sentences are those of apiserver/pkg/registry (rest/{create,update,delete}.go, generic/registry/store.go)
and pkg/registry/core/pod/storage/storage.go; tests/kube shows each on a real server. Whoever is not under test calls
``create``, ``edit`` and ``delete`` directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from moorage.cluster.daemons import DAEMON_SETS
from moorage.kube import errors, resources
from moorage.kube.wire._generated import kubernetes_pb2 as pb
from moorage.kube.wire.envelope import unwrap
from moorage.reservations import merging

from . import refusals, schema
from .refusals import Cause, Json
from .store import Store, copied, key_of

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
MAX_REQUEST = 1536 << 10
"""Bytes that etcd takes in one request."""

KINDS = {
    kind.plural: kind
    for kind in (
        resources.NODES,
        resources.PODS,
        resources.NODE_RESERVATIONS,
        resources.LEASES,
        resources.NAMESPACES,
        resources.VOLUMES,
        resources.CLAIMS,
        resources.STORAGE_CLASSES,
        resources.CSI_NODES,
        resources.VOLUME_ATTACHMENTS,
        resources.REPLICA_SETS,
        resources.DEPLOYMENTS,
        resources.STATEFUL_SETS,
        resources.REPLICATION_CONTROLLERS,
        resources.DISRUPTION_BUDGETS,
        DAEMON_SETS,
    )
}
_RESERVATIONS = resources.NODE_RESERVATIONS.plural
_WITH_STATUS = {"nodes", "pods", _RESERVATIONS}
_SYSTEM = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}

Policy = Callable[["Request", Json], None]
"""A mutating admission policy: changes an object that is about to be stored."""


@dataclass
class Request:
    """One request for one object, or for the list of a kind.

    Attributes:
        verb: as in RBAC: create, get, list, watch, update, patch or delete.
        resource: the plural, with the subresource: ``pods/binding``.
        key: ``namespace/name``, or the name alone; of a list empty.
        body: the request's body.
    """

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    body: Json = field(default_factory=dict)
    size: int = 0

    @property
    def plural(self) -> str:
        return self.resource.partition("/")[0]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def read(cls, method: str, path: str, body: bytes | None, *, watch: bool = False) -> Request:
        """What a request over HTTP asks for."""
        parts = [unquote(part) for part in path.split("/")[3 if path.startswith("/api/") else 4 :]]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        resource = "/".join((parts[0], *parts[2:]))
        sent = _binding(body) if resource == "pods/binding" else msgspec.json.decode(body) if body else {}
        verb = _VERBS[method]
        if verb == "get" and len(parts) == 1:
            verb = "watch" if watch else "list"
        name = parts[1] if len(parts) > 1 else sent.get("metadata", {}).get("name", "")
        return cls(verb, resource, namespace, name, sent, len(body or b""))


class Entry(NamedTuple):
    """One line of the audit log.

    Attributes:
        at: seconds.
        ours: whether the request is the pinner's; else it is another client's change.
        code: the answer's status, even if the answer did not arrive.
        changed: whether anything was stored.
    """

    at: float
    ours: bool
    verb: str
    resource: str
    key: str
    code: int
    changed: bool


class Api:
    """The server.

    Args:
        now: seconds since its start.

    Attributes:
        policies: mutating policies, in their order.
        audit: all requests.
        deleted: the pinner's successful deletions, each with the object before it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.store = Store(now)
        self.policies: list[Policy] = []
        self.audit: list[Entry] = []
        self.deleted: list[tuple[Request, Json]] = []

    def time(self) -> datetime:
        """Its clock."""
        return EPOCH + timedelta(seconds=self.now())

    # --- everybody else ---

    def read(self, plural: str, key: str) -> Json | None:
        """The current object."""
        return self.store.get(plural, key)

    def create(self, plural: str, body: Json, namespace: str = "") -> Json:
        """Somebody else creates an object."""
        return self._by_others(Request("create", plural, namespace, body["metadata"]["name"], body))

    def delete(self, plural: str, key: str, **options: Any) -> None:
        """Somebody else deletes an object."""
        namespace, _, name = key.rpartition("/")
        self._by_others(Request("delete", plural, namespace, name, options))

    def edit(self, plural: str, key: str, change: Callable[[Json], None]) -> None:
        """Another client changes any part of an object. If it does not exist, nothing happens."""
        found = self.store.get(plural, key)
        if found is None:
            return
        change(found)
        before = self.store.version
        self._store(plural, found)
        namespace, _, name = key.rpartition("/")
        self.log(Request("edit", plural, namespace, name), 200, ours=False, before=before)

    def _by_others(self, request: Request) -> Json:
        before = self.store.version
        found = self.carry_out(request)
        self.log(request, 200, ours=False, before=before)
        return found

    # --- the pinner ---

    def serve(self, request: Request) -> Json:
        """Carry out a request of the pinner, and record it.

        Raises:
            ApiError: it is refused.
        """
        before, code = self.store.version, 200
        doomed = self.store.get(request.plural, request.key) if request.verb == "delete" else None
        try:
            found = self.carry_out(request)
            if doomed is not None:
                self.deleted.append((request, doomed))
            return found
        except errors.ApiError as error:
            code = error.code
            raise
        finally:
            self.log(request, code, ours=True, before=before)

    def log(self, request: Request, code: int, *, ours: bool, before: int | None = None) -> None:
        """Write a line of the audit log; ``before`` is the version before it was carried out, if it was."""
        changed = before is not None and self.store.version != before
        self.audit.append(Entry(self.now(), ours, request.verb, request.resource, request.key, code, changed))

    # --- one request ---

    def carry_out(self, request: Request) -> Json:
        """Carry out a request.

        Raises:
            ApiError: it is refused.
        """
        if request.size > MAX_REQUEST:
            raise refusals.refusal(500, "InternalError", "Internal error occurred: etcdserver: request is too large")
        if request.verb == "create":
            return self._bind(request) if request.resource == "pods/binding" else self._create(request)
        current = self.store.get(request.plural, request.key)
        sent = request.body.get("metadata", {}).get("uid", "")
        if current is None and request.verb == "update" and sent:  # the precondition is looked at first
            raise refusals.other_uid(request.plural, request.name, sent, "")
        if current is None:
            raise refusals.not_found(request.plural, request.name)
        if request.verb == "get":
            return current
        if request.verb == "delete":
            return self._delete(request, current)
        return self._update(request, current)

    def _create(self, request: Request) -> Json:
        plural, kind = request.plural, KINDS[request.plural]
        new = copied(request.body)
        meta = new.setdefault("metadata", {})
        if request.namespace:
            meta["namespace"] = request.namespace
        if key_of(new) in self.store.objects[plural]:
            raise refusals.exists(plural, request.name)
        new |= {"apiVersion": kind.group_version, "kind": kind.kind}
        meta |= {"uid": self.store.uid(), "creationTimestamp": self._stamp()}
        if plural == _RESERVATIONS:
            new.pop("status", None)
        if plural == "nodes":  # admission plugin TaintNodesByCondition
            taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
            spec = new.setdefault("spec", {})
            spec["taints"] = [t for t in spec.get("taints", ()) if t["key"] != taint["key"]] + [taint]
        return self._admit(request, new)

    def _update(self, request: Request, current: Json) -> Json:
        plural, name = request.plural, request.name
        new = merging.merge_patch(current, request.body) if request.verb == "patch" else copied(request.body)
        assert isinstance(new, dict)
        meta, known = new.setdefault("metadata", {}), current["metadata"]
        if request.verb == "patch" and meta.get("uid") != known["uid"]:
            text = f'Invalid value: "{meta.get("uid")}": field is immutable'
            raise refusals.invalid(KINDS[plural].kind, name, [Cause("metadata.uid", text)])
        if meta.get("uid", known["uid"]) != known["uid"]:
            raise refusals.other_uid(plural, name, meta["uid"], known["uid"])
        if not meta.get("resourceVersion"):
            cause = Cause("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
            raise refusals.invalid(KINDS[plural].kind, name, [cause])
        if meta["resourceVersion"] != known["resourceVersion"]:
            raise refusals.modified(plural, name)
        meta.pop("managedFields", None)
        meta |= {field: known[field] for field in _SYSTEM if field in known}
        added = set(meta.get("finalizers") or ()) - set(known.get("finalizers") or ())
        if added and "deletionTimestamp" in known:
            text = "Forbidden: no new finalizers can be added if the object is being deleted"
            raise refusals.invalid(KINDS[plural].kind, name, [Cause("metadata.finalizers", text)])
        if request.resource.endswith("/status"):
            new = {**current, "status": new.get("status", {})}
        elif plural in _WITH_STATUS:
            new = {**new, **({"status": current["status"]} if "status" in current else {})}
        return self._admit(request, new)

    def _admit(self, request: Request, new: Json) -> Json:
        """Let policies change an object, validate it and store it."""
        for policy in self.policies:
            policy(request, new)
        if request.plural == _RESERVATIONS:
            causes = [cause for part in ("spec", "status") if part in new for cause in schema.conform(part, new[part])]
            if "spec" not in new:
                causes.append(Cause("spec", "Required value", "FieldValueRequired"))
            if causes:
                raise refusals.invalid("NodeReservation.moorage.dev", request.name, causes)
        return self._store(request.plural, new)

    def _store(self, plural: str, new: Json) -> Json:
        """Store an object, or remove it if no finalizer is left."""
        meta = new["metadata"]
        for empty in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not meta.get(empty, True):
                del meta[empty]
        over = "deletionTimestamp" in meta and not meta.get("deletionGracePeriodSeconds") and "finalizers" not in meta
        if over:
            return self.store.remove(plural, key_of(new))
        return self.store.put(plural, new)

    def _delete(self, request: Request, current: Json) -> Json:
        meta, wanted = current["metadata"], request.body.get("preconditions", {})
        for what, name in (("UID", "uid"), ("ResourceVersion", "resourceVersion")):
            if wanted.get(name, meta[name]) != meta[name]:
                raise refusals.not_deleted(request.plural, request.name, what, wanted[name], meta[name])
        grace = 0
        if request.plural == "pods":
            grace = _grace(current, request.body.get("gracePeriodSeconds"))
        if meta.get("deletionGracePeriodSeconds", grace + 1) <= grace:
            return current  # being deleted already, and no later
        meta["deletionGracePeriodSeconds"] = grace
        meta["deletionTimestamp"] = self._stamp(grace)
        return self._store(request.plural, current)

    def _bind(self, request: Request) -> Json:
        """Bind a pod (setPodNodeAndMetadata). The Node need not exist."""
        pod = self.store.get("pods", request.key)
        if pod is None:
            raise refusals.not_found("pods", request.name)
        for policy in self.policies:
            policy(request, request.body)
        meta, spec, name = pod["metadata"], pod["spec"], request.name
        mark, node = request.body["metadata"], request.body["target"]["name"]
        if mark["uid"] not in ("", meta["uid"]):
            raise refusals.other_uid("pods/binding", name, mark["uid"], meta["uid"])
        if "deletionTimestamp" in meta:
            why = f"pod {name} is being deleted, cannot be assigned to a host"
        elif spec.get("nodeName"):
            why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        elif spec.get("schedulingGates"):
            why = f"pod {name} has non-empty .spec.schedulingGates"
        else:
            spec["nodeName"] = node
            meta["annotations"] = {**meta.get("annotations", {}), **mark.get("annotations", {})}
            pod.setdefault("status", {})["conditions"] = [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._stamp()}
            ]
            return self._store("pods", pod)
        raise refusals.conflict("pods/binding", name, why)

    def _stamp(self, seconds: float = 0) -> str:
        return (self.time() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _grace(pod: Json, wanted: int | None) -> int:
    """How long a pod may take to end (podStrategy.CheckGracefulDelete)."""
    if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30) if wanted is None else wanted)


def _binding(body: bytes | None) -> Json:
    message: Any = pb.Binding.FromString(unwrap(body or b"", "v1", "Binding"))
    annotations = {_text(mark.key): _text(mark.value) for mark in message.metadata.annotations}
    metadata = {"uid": _text(message.metadata.uid), "annotations": annotations}
    return {"metadata": metadata, "target": {"name": _text(message.target.name)}}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
