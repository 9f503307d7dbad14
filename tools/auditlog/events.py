"""The fields of an audit log that the guard reads, for each answered request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

_ANSWERED = ("ResponseComplete", "Panic")


@dataclass(frozen=True, slots=True)
class Event:
    """One answered request.

    Attributes:
        at: when it was answered, in seconds since 1970.
        account: the user name on the API server.
        agent: the client's User-Agent.
        verb: as RBAC calls it.
        group: API group.
        resource: plural.
        subresource: empty for the object itself.
        namespace: empty for objects outside namespaces.
        name: empty where no single object is meant, and where the server makes the name up.
        code: HTTP status.
        stored: whether it was meant to change something: no dry run.
        pod: the one whose token it was, where it was a pod's: replicas have one account.
    """

    at: float
    account: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    stored: bool = True
    pod: str = ""


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    extra: dict[str, list[str]] = {}

    @property
    def pod(self) -> str:
        return next(iter(self.extra.get("authentication.kubernetes.io/pod-name", ())), "")


class _Reference(msgspec.Struct, frozen=True, rename="camel"):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Line(msgspec.Struct, frozen=True, rename="camel"):
    stage: str
    verb: str
    stage_timestamp: datetime
    request_uri: str = msgspec.field(name="requestURI", default="")
    user: _User = _User()
    impersonated_user: _User | None = None
    user_agent: str = ""
    object_ref: _Reference | None = None
    response_status: _Status = _Status()


_decode = msgspec.json.Decoder(_Line).decode


def read(lines: Iterable[bytes]) -> Iterator[Event]:
    """The answered requests about objects; a last line that is only half written is left out.

    Args:
        lines: of an audit log of level Metadata.
    """
    for line in lines:
        if not line.endswith(b"\n"):
            return
        entry = _decode(line)
        if entry.stage not in _ANSWERED or entry.object_ref is None:
            continue
        target = entry.object_ref
        user = entry.impersonated_user or entry.user
        yield Event(
            at=entry.stage_timestamp.timestamp(),
            account=user.username,
            agent=entry.user_agent,
            verb=entry.verb,
            group=target.api_group,
            resource=target.resource,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
            code=entry.response_status.code,
            stored="dryRun=All" not in entry.request_uri,
            pod=user.pod,
        )
