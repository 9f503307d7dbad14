"""The rights of an account, and its requests in the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.localcluster import ClusterHandle

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class Request:
    """A request of an account. `resource` has its subresource after a slash."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    allowed: bool
    code: int

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {_plural(self.group, self.resource)} {self.name!r}{where}: HTTP {self.code}"


@dataclass(frozen=True)
class Grant:
    """One verb on one resource that a role allows; an empty name or namespace stands for all."""

    role: str
    verb: str
    group: str
    resource: str
    name: str
    namespace: str

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"{self.role}: {self.verb} {_plural(self.group, self.resource)}{name}"

    def covers(self, request: Request) -> bool:
        """Whether the rule allows the request."""
        same = (self.verb, self.group, self.resource) == (request.verb, request.group, request.resource)
        return same and self.name in ("", request.name) and self.namespace in ("", request.namespace)


def _plural(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def requests(log: Path, user: str) -> list[Request]:
    """All requests of a user, oldest first.

    Args:
        log: audit log of level Metadata.
        user: for example ``system:serviceaccount:NAMESPACE:NAME``.
    """
    # A watch is logged when it starts and when it ends: the same request twice does not matter here.
    return [_request(event) for event in _events(log) if event["user"]["username"] == user]


def _events(log: Path) -> Iterator[Mapping[str, Any]]:
    whole = log.read_bytes().rpartition(b"\n")[0]
    return map(json.loads, whole.splitlines())


def _request(event: Mapping[str, Any]) -> Request:
    target = event.get("objectRef", {})
    resource = target.get("resource", event["requestURI"])
    return Request(
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource="/".join(filter(None, (resource, target.get("subresource")))),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        allowed=event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
        code=event.get("responseStatus", {}).get("code", 0),
    )


def grants(cluster: ClusterHandle, namespace: str, account: str) -> list[Grant]:
    """Everything that roles allow a service account by name, one verb and resource each."""
    found: list[Grant] = []
    for kind, place in (("clusterrolebindings", ""), ("rolebindings", "")):
        for binding in cluster.api.get(f"{RBAC}/{kind}")["items"]:
            if any(_is(subject, namespace, account) for subject in binding.get("subjects") or ()):
                place = binding["metadata"].get("namespace", "")
                found += _granted(cluster, binding["roleRef"], place)
    return found


def _is(subject: Mapping[str, str], namespace: str, account: str) -> bool:
    wanted = ("ServiceAccount", namespace, account)
    return (subject["kind"], subject.get("namespace"), subject["name"]) == wanted


def _granted(cluster: ClusterHandle, role: Mapping[str, str], namespace: str) -> Iterator[Grant]:
    kind, name = role["kind"], role["name"]
    path = f"{RBAC}/clusterroles/{name}" if kind == "ClusterRole" else f"{RBAC}/namespaces/{namespace}/roles/{name}"
    for rule in cluster.api.get(path).get("rules") or ():
        assert "nonResourceURLs" not in rule, f"{kind} {name} grants more than objects: {rule}"
        for verb in rule["verbs"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    assert "*" not in (verb, group, resource), f"{kind} {name} grants everything: {rule}"
                    for only in rule.get("resourceNames") or [""]:
                        yield Grant(f"{kind} {name}", verb, group, resource, only, namespace)


def refused(asked: Iterable[Request]) -> list[str]:
    """The requests that were not allowed, each once."""
    return sorted({str(each) for each in asked if not each.allowed or each.code in (401, 403)})


def unused(granted: Iterable[Grant], asked: Iterable[Request]) -> list[str]:
    """What was granted and never used."""
    allowed = [each for each in asked if each.allowed]
    return sorted(str(grant) for grant in granted if not any(grant.covers(each) for each in allowed))
