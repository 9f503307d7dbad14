"""The policies for Nodes on a real API server: attacks with the pod pinner's token, and the program's writes.

Each line of the tables is a request. Refused ones are attacks with the account's token. Allowed ones are those that the
program sends.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from moorage.objects import Node
from moorage.pinner.decisions import adoption
from moorage.pinner.providers import PROFILES
from tests.charts.fenced import (
    APPLY,
    JSON_PATCH,
    MARKS,
    MERGE,
    NODES,
    PREPARING,
    PROMISE,
    ROLE,
    Fenced,
    ask,
    at,
    node,
    placeholder,
)
from tools.localcluster.api import ApiError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}


# --- Nodes are created as placeholders only ---

TAINT = "creates only Nodes with the taint scheduling.cast.ai/pod-pinning-preparing, effect NoSchedule"
MARK = "creates only Nodes with its marks"
SPEC = "nothing but taints and providerID in their spec"
STATUS = "nothing but capacity and allocatable in their status"
OWNERS = "no ownerReferences and no finalizers"
ROLES = "neither sets nor changes labels of node-role.kubernetes.io"
INFO = node("", version="v1.36.3")["status"]["nodeInfo"]

FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "no taint": (TAINT, {"spec": {"taints": []}}),
    "another taint": (TAINT, {"spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}),
    "our taint, preferred only": (TAINT, {"spec": {"taints": [{**PREPARING, "effect": "PreferNoSchedule"}]}}),
    "our taint, executed only": (TAINT, {"spec": {"taints": [{**PREPARING, "effect": "NoExecute"}]}}),
    "no spec at all": (TAINT, {"spec": {"taints": None}}),
    "no annotation": (MARK, {"metadata": {"annotations": None}}),
    "no label": (MARK, {"metadata": {"labels": {"kubernetes.io/os": "linux"}}}),
    "Ready": (STATUS, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    "not Ready": (STATUS, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
    "addresses": (STATUS, {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
    "a kubelet": (STATUS, {"status": {"nodeInfo": INFO}}),
    "a machine": (STATUS, {"status": {"nodeInfo": {**INFO, "kubeletVersion": "", "machineID": "x"}}}),
    "swap": (STATUS, {"status": {"nodeInfo": {**INFO, "kubeletVersion": "", "swap": {"capacity": 1}}}}),
    "a port for logs": (STATUS, {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}),
    "images": (STATUS, {"status": {"images": [{"names": ["x"], "sizeBytes": 1}]}}),
    "volumes": (STATUS, {"status": {"volumesAttached": [{"name": "v", "devicePath": "/dev/x"}]}}),
    "volumes in use": (STATUS, {"status": {"volumesInUse": ["v"]}}),
    "a phase": (STATUS, {"status": {"phase": "Running"}}),
    "runtime handlers": (STATUS, {"status": {"runtimeHandlers": [{"name": "x"}]}}),
    "features": (STATUS, {"status": {"features": {"supplementalGroupsPolicy": True}}}),
    "an owner that is gone": (OWNERS, {"metadata": {"ownerReferences": [OWNER]}}),
    "a finalizer": (OWNERS, {"metadata": {"finalizers": ["example.com/stay"]}}),
    "unschedulable": (SPEC, {"spec": {"unschedulable": True}}),
    "pod addresses": (SPEC, {"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}),
    "an external id": (SPEC, {"spec": {"externalID": "x"}}),
    **{
        f"label {key}": (ROLES, {"metadata": {"labels": {"moorage.dev/placeholder": "true", key: "x"}}})
        for key in (
            "node-role.kubernetes.io/control-plane",
            "node-role.kubernetes.io/worker",
            "kubernetes.io/role",
            "node-restriction.kubernetes.io/tenant",
            "example.com.node-restriction.kubernetes.io/tenant",
        )
    },
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_no_placeholder_is_not_created(it: Fenced, forged: str) -> None:
    rule, parts = FORGED[forged]
    body = {"apiVersion": "v1", "kind": "Node", **placeholder("generic", **parts)}
    name = at(it, "forged")
    body["metadata"] = {**body["metadata"], "name": name}
    ask(it.api, rule, "POST", NODES, body)
    ask(it.api, rule, "PATCH", f"{NODES}/{name}?fieldManager=x&force=true", body, APPLY)
    body["metadata"] = {**body["metadata"], "name": "", "generateName": name}
    ask(it.api, rule, "POST", NODES, body)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "parts", [{}, {"status": {"conditions": None, "addresses": [], "nodeInfo": {**INFO, "kubeletVersion": ""}}}]
)
def test_placeholders_are_created_and_deleted(it: Fenced, profile: str, parts: Mapping[str, Any]) -> None:
    made = copy.deepcopy(placeholder(profile))
    made["metadata"]["name"] = at(it, "made")
    made["status"] = {**made["status"], **parts.get("status", {})}
    it.api.request("POST", NODES, made)
    it.api.request("DELETE", f"{NODES}/{at(it, 'made')}")
    with pytest.raises(ApiError, match="not found"):
        it.admin.get(f"{NODES}/{at(it, 'made')}")


# --- Nodes are changed only where they are marked, and only in labels and taints ---

NOT_OURS = "is not marked as ours"
CHANGES_SPEC = "changes nothing but taints in a Node's spec"
STAYS = "stays on a Node until a kubelet has joined"
OPEN: dict[str, Any] = {"spec": {"taints": []}}
PREFERRED = {"spec": {"taints": [{**PREPARING, "effect": "PreferNoSchedule"}]}}

CHANGES: dict[str, tuple[str, str, Any]] = {
    "real: a label": ("real", NOT_OURS, {"metadata": {"labels": {"pool": "y"}}}),
    "real: an annotation": ("real", NOT_OURS, {"metadata": {"annotations": {"a": "b"}}}),
    "real: our marks": ("real", NOT_OURS, {"metadata": MARKS}),
    "real: our taint": ("real", NOT_OURS, {"spec": {"taints": [PREPARING]}}),
    "real: a taint that evicts": ("real", NOT_OURS, {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}),
    "real: an owner that is gone": ("real", NOT_OURS, {"metadata": {"ownerReferences": [OWNER]}}),
    "real: a finalizer": ("real", NOT_OURS, {"metadata": {"finalizers": ["example.com/stay"]}}),
    "real: a cordon": ("real", NOT_OURS, {"spec": {"unschedulable": True}}),
    "real: marks and an owner at once": ("real", NOT_OURS, {"metadata": {**MARKS, "ownerReferences": [OWNER]}}),
    "bare: our marks": ("bare", NOT_OURS, {"metadata": MARKS}),
    "placeholder: opened": ("placeholder", STAYS, OPEN),
    "placeholder: preferred only": ("placeholder", STAYS, PREFERRED),
    "placeholder: opened by no spec": ("placeholder", STAYS, {"spec": {"taints": None}}),
    "placeholder: opened with a kubelet at once": ("placeholder", STAYS, {**OPEN, "status": {"nodeInfo": INFO}}),
    "placeholder: cordoned": ("placeholder", CHANGES_SPEC, {"spec": {"unschedulable": True}}),
    "placeholder: a provider id": ("placeholder", CHANGES_SPEC, {"spec": {"providerID": "x://y"}}),
    "placeholder: pod addresses": (
        "placeholder",
        CHANGES_SPEC,
        {"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}},
    ),
    "placeholder: an owner": ("placeholder", OWNERS, {"metadata": {"ownerReferences": [OWNER]}}),
    "placeholder: a finalizer": ("placeholder", OWNERS, {"metadata": {"finalizers": ["example.com/stay"]}}),
    "placeholder: a role": ("placeholder", ROLES, {"metadata": {"labels": ROLE}}),
    "joined: an owner that is gone": ("joined", OWNERS, {"metadata": {"ownerReferences": [OWNER]}}),
    "joined: a restricted label": (
        "joined",
        ROLES,
        {"metadata": {"labels": {"a.node-restriction.kubernetes.io/b": "c"}}},
    ),
    "joined: a cordon": ("joined", CHANGES_SPEC, {"spec": {"unschedulable": True}}),
    "cordoned: an uncordon": ("cordoned", CHANGES_SPEC, {"spec": {"unschedulable": None}}),
    "cordoned: a role taken away": ("cordoned", ROLES, {"metadata": {"labels": dict.fromkeys(ROLE)}}),
    "cordoned: a role changed": ("cordoned", ROLES, {"metadata": {"labels": dict.fromkeys(ROLE, "x")}}),
    "owned: its owners taken away": ("owned", OWNERS, {"metadata": {"ownerReferences": None}}),
    "owned: its finalizers taken away": ("owned", OWNERS, {"metadata": {"finalizers": None}}),
    "placeholder: a label": ("placeholder", "", {"metadata": {"labels": {"pool": "y"}}}),
    "placeholder: more taints": (
        "placeholder",
        "",
        {"spec": {"taints": [PREPARING, {"key": "x", "effect": "NoSchedule"}]}},
    ),
    "joined: opened": ("joined", "", OPEN),
    "joined: preferred": ("joined", "", PREFERRED),
    "tainted: opened": ("tainted", "", OPEN),
    "adopted: a label": ("adopted", "", {"metadata": {"labels": {"pool": "x"}}}),
    "cordoned: opened, and as cordoned as before": ("cordoned", "", OPEN),
    "owned: opened for nobody, and as owned as before": ("owned", "", {"metadata": {"labels": {"pool": "x"}}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nodes_are_changed_only_where_they_are_marked(it: Fenced, change: str) -> None:
    suffix, rule, body = CHANGES[change]
    ask(it.api, rule, "PATCH", f"{NODES}/{at(it, suffix)}?dryRun=All", body, MERGE)


@pytest.mark.parametrize("change", [each for each, (_, rule, _) in CHANGES.items() if rule in (NOT_OURS, OWNERS)])
def test_and_not_by_an_apply_either(it: Fenced, change: str) -> None:
    suffix, rule, body = CHANGES[change]
    if suffix == "owned":  # an apply takes nothing away that it did not apply: then let it add
        body = {"metadata": {"finalizers": ["example.com/stay"], "ownerReferences": [OWNER]}}
    name = at(it, suffix)
    applied = {"apiVersion": "v1", "kind": "Node", **body, "metadata": {**body.get("metadata", {}), "name": name}}
    ask(it.api, rule, "PATCH", f"{NODES}/{name}?dryRun=All&fieldManager=x&force=true", applied, APPLY)


def test_taints_are_not_taken_away_by_place_either(it: Fenced) -> None:
    patch = [{"op": "remove", "path": "/spec/taints"}]
    ask(it.api, STAYS, "PATCH", f"{NODES}/{at(it, 'placeholder')}?dryRun=All", patch, JSON_PATCH)


def test_what_adoption_writes_is_allowed(it: Fenced) -> None:
    name = at(it, "adopting")
    made = {**placeholder("azure"), "status": node("", version="v1.36.3")["status"]}
    made["metadata"] = {**made["metadata"], "name": name, "labels": {**made["metadata"]["labels"], "pool": None}}
    made["metadata"]["labels"].pop("pool")
    it.admin.request("POST", NODES, made)
    steps = 0
    for effect in ("PreferNoSchedule", ""):
        found = msgspec.convert(it.admin.get(f"{NODES}/{name}"), type=Node, strict=False)
        changes, _ = adoption.adopt(found, PROMISE, PROFILES["azure"], preparing=effect)
        it.api.request("PATCH", f"{NODES}/{name}", changes, MERGE)
        steps += 1
    after = it.admin.get(f"{NODES}/{name}")
    assert PREPARING["key"] not in {taint["key"] for taint in after["spec"].get("taints", ())}
    assert after["metadata"]["labels"]["pool"] == "x"
    assert steps == 2


# --- Nodes are deleted only as placeholders ---

DELETIONS = {
    "real": "has a kubelet: the pod pinner deletes placeholders only",
    "joined": "has a kubelet: the pod pinner deletes placeholders only",
    "adopted": "has a kubelet: the pod pinner deletes placeholders only",
    "tainted": "has a kubelet: the pod pinner deletes placeholders only",
    "bare": NOT_OURS,
    "placeholder": "",
}


@pytest.mark.parametrize("suffix", DELETIONS)
@pytest.mark.parametrize("options", [{}, {"gracePeriodSeconds": 0}, {"propagationPolicy": "Foreground"}])
def test_only_placeholders_are_deleted(it: Fenced, suffix: str, options: dict[str, Any]) -> None:
    ask(it.api, DELETIONS[suffix], "DELETE", f"{NODES}/{at(it, suffix)}", {**options, "dryRun": ["All"]})


def test_others_are_not_fenced(it: Fenced) -> None:
    name = at(it, "admin")
    it.admin.request("POST", NODES, node(name, version="v1.36.3", labels=ROLE))
    it.admin.request("PATCH", f"{NODES}/{name}", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    it.admin.request("DELETE", f"{NODES}/{name}")
