"""The comparison itself: it finds a forbidden request and an unused right."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.rights import audit
from tests.e2e.rights.audit import Grant


def event(verb: str, resource: str, *, decision: str = "allow", code: int = 200, **target: str) -> str:
    return json.dumps(
        {
            "verb": verb,
            "requestURI": "/",
            "user": {"username": "us"},
            "objectRef": {"resource": resource, **target},
            "annotations": {"authorization.k8s.io/decision": decision},
            "responseStatus": {"code": code},
        }
    )


def read(tmp_path: Path, *events: str) -> list[audit.Request]:
    log = tmp_path / "audit.log"
    log.write_text("".join(f"{each}\n" for each in events) + '{"half": ')
    return audit.requests(log, "us")


def test_what_was_refused_is_named_whoever_refused_it(tmp_path: Path) -> None:
    asked = read(
        tmp_path,
        event("get", "pods", namespace="shop", name="web", code=404),
        event("delete", "nodes", name="a", decision="forbid", code=403),
        event("delete", "nodes", name="b", code=403),  # by admission
    )
    assert audit.refused(asked) == ["delete nodes 'a': HTTP 403", "delete nodes 'b': HTTP 403"]


def test_a_right_is_used_only_by_the_same_verb_resource_name_and_namespace(tmp_path: Path) -> None:
    asked = read(
        tmp_path,
        event("create", "pods", subresource="binding", namespace="shop", name="web"),
        event("get", "leases", apiGroup="coordination.k8s.io", namespace="agent", name="ours"),
        event("delete", "nodes", name="a", decision="forbid", code=403),
    )
    used = [
        Grant("r", "create", "", "pods/binding", "", ""),
        Grant("r", "get", "coordination.k8s.io", "leases", "ours", "agent"),
    ]
    unused = [
        Grant("r", "create", "", "pods", "", ""),
        Grant("r", "get", "coordination.k8s.io", "leases", "theirs", "agent"),
        Grant("r", "get", "coordination.k8s.io", "leases", "ours", "elsewhere"),
        Grant("r", "get", "", "leases", "", ""),
        Grant("r", "delete", "", "nodes", "", ""),
    ]
    assert audit.unused(used, asked) == []
    assert audit.unused([*used, *unused], asked) == sorted(map(str, unused))
