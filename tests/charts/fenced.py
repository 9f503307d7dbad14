"""The accounts of charts on a cluster, with the rights and the policies that the charts give them."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from moorage.objects import Taint
from moorage.pinner.promised.manifest import placeholder_manifest
from moorage.pinner.providers import PROFILES
from moorage.reservations import Promise
from tests.auditing.guard import THIEF
from tests.charts.paths import collection
from tests.charts.rendering import PINNER, Values, render
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiClient, ApiError

PREPARING = {"key": "scheduling.cast.ai/pod-pinning-preparing", "value": "true", "effect": "NoSchedule"}
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
PINNED = {"annotations": {"moorage.dev/pinned-by": "i-1"}}
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
PROMISE = Promise(
    allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"},
    labels={"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r", "pool": "x"},
    taints=(Taint("dedicated", "x", "NoExecute"),),
)
MARKS = {"annotations": {"moorage.dev/reservation": "r"}, "labels": {"moorage.dev/placeholder": "true"}}
ROLE = {"node-role.kubernetes.io/control-plane": ""}
KINDS = {
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


@dataclass(frozen=True)
class Installation:
    """One installation.

    Attributes:
        api: requests as the program.
        admin: requests as an administrator.
        namespace: its own; names of Nodes begin with it.
        policies: names of the policies.
        token: of the program.
    """

    api: ApiClient
    admin: ApiClient
    namespace: str
    policies: tuple[str, ...]
    token: str


@dataclass(frozen=True)
class Fenced(Installation):
    """One installation of the pod pinner.

    Attributes:
        check: requests as the pod of ``helm test``.
    """

    check: ApiClient


@contextmanager
def fenced(cluster: ClusterHandle) -> Iterator[Fenced]:
    """Install accounts, rights and policies, and wait until the API server enforces the policies."""
    with installed(cluster, PINNER) as own:
        check = _as(cluster, _token(cluster, own.namespace, f"{PINNER}-check"))
        found = Fenced(own.api, own.admin, own.namespace, own.policies, own.token, check)
        _wait_for_policies(found)
        yield found


@contextmanager
def installed(cluster: ClusterHandle, chart: str, values: Values | None = None) -> Iterator[Installation]:
    """Install a chart's accounts, rights and policies. The API server may not enforce the policies yet."""
    namespace = f"fence-{secrets.token_hex(3)}"
    api = cluster.api
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    made = [each for each in render(chart, values, namespace=namespace).objects if each["kind"] in KINDS]
    for each in made:
        api.request("POST", collection(each), each)
    policies = tuple(each["metadata"]["name"] for each in made if each["kind"] == "ValidatingAdmissionPolicy")
    try:
        token = _token(cluster, namespace, chart)
        yield Installation(_as(cluster, token), api, namespace, policies, token)
    finally:
        for each in made:
            api.request("DELETE", f"{collection(each)}/{each['metadata']['name']}")
        api.request("DELETE", f"/api/v1/namespaces/{namespace}")
        for each in api.get("/api/v1/nodes")["items"]:
            if each["metadata"]["name"].startswith(namespace):
                api.request("DELETE", f"/api/v1/nodes/{each['metadata']['name']}")


def _token(cluster: ClusterHandle, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(cluster.api.request("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])


def _as(cluster: ClusterHandle, token: str) -> ApiClient:
    return ApiClient(cluster.server, cluster.ca_file, token, THIEF)


def _wait_for_policies(found: Fenced) -> None:
    """Wait until each policy refuses what it must: the API server reads them one by one."""
    name, here = f"{found.namespace}-probe", f"/api/v1/namespaces/{found.namespace}/pods"
    bare = {"metadata": {"name": "probe"}, "target": {"kind": "Node", "name": name}}
    found.admin.request("POST", here, pod("probe"))
    ended = {"status": {"phase": "Failed"}}
    probes: list[tuple[ApiClient, str, str, object]] = [
        (found.api, "POST", f"{NODES}?dryRun=All", node(name)),
        (found.api, "POST", f"{LEASES}?dryRun=All", {"metadata": {"name": name}}),
        (found.api, "DELETE", f"{here}/probe?dryRun=All", None),
        (found.api, "PATCH", f"{here}/probe/status?dryRun=All", ended),
        (found.api, "POST", f"{here}/probe/binding?dryRun=All", bare),
        (found.check, "POST", here, pod("created")),
    ]
    end = time.monotonic() + 60
    for client, method, path, body in probes:
        while not is_fenced(client, method, path, body, MERGE if method == "PATCH" else "application/json"):
            assert time.monotonic() < end, f"waited 60 s for a policy to refuse {method} {path}"
            if client is found.check:
                found.admin.request("DELETE", f"{here}/created?gracePeriodSeconds=0")
            time.sleep(1.1)  # more often would be a repetition for nothing (tests/auditing)


def is_fenced(client: ApiClient, method: str, path: str, body: object = None, kind: str = "application/json") -> bool:
    """Whether a policy refuses a request."""
    try:
        client.request(method, path, body, kind)
    except ApiError as error:
        return "ValidatingAdmissionPolicy" in str(error)
    return False


def node(
    name: str, *, taints: list[dict[str, str]] | None = None, version: str = "", **metadata: Any
) -> dict[str, Any]:
    """A Node; with a version one that a kubelet has reported for."""
    info = {
        "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "", "operatingSystem": "",
        "containerRuntimeVersion": "", "kubeProxyVersion": "", "architecture": "", "kubeletVersion": version,
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, **metadata},
        "spec": {"taints": taints or []},
        "status": {"nodeInfo": info} if version else {},
    }


def pod(name: str, *, on: str = "", status: Mapping[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod that no scheduler touches; a status is to be written afterwards."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "registry.invalid/main:1"}],
            **({"nodeName": on} if on else {}),
        },
        **({"status": dict(status)} if status else {}),
    }


def at(it: Installation, suffix: str) -> str:
    """The name of a Node of an installation."""
    return f"{it.namespace}-{suffix}"


def type_errors(it: Installation) -> dict[str, Any]:
    """What the API server finds wrong in the expressions of the policies, by the names of those."""
    found = {}
    for name in it.policies:
        end = time.monotonic() + 60
        while "observedGeneration" not in (policy := it.admin.get(f"{POLICIES}/{name}")).get("status", {}):
            assert time.monotonic() < end, f"waited 60 s for {name} to be checked"
            time.sleep(0.2)
        found[name] = policy["status"].get("typeChecking")
    return {name: errors for name, errors in found.items() if errors}


def standing(found: Fenced) -> dict[str, dict[str, Any]]:
    """Existing nodes: machines, placeholders, and states in between."""
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system"}
    owner["uid"] = found.admin.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    cordoned = node("", taints=[PREPARING], version="v1.36.3", **{**MARKS, "labels": {**MARKS["labels"], **ROLE}})
    cordoned["spec"]["unschedulable"] = True
    return {
        "real": node("", version="v1.36.3", labels={"pool": "x"}),
        "bare": node(""),
        "placeholder": placeholder("generic"),
        "joined": {**placeholder("generic"), "status": node("", version="v1.36.3")["status"]},
        "adopted": node("", version="v1.36.3", annotations=MARKS["annotations"]),
        "tainted": node("", version="v1.36.3", taints=[{**PREPARING, "effect": "PreferNoSchedule"}]),
        "cordoned": cordoned,
        "owned": node("", taints=[PREPARING], finalizers=["example.com/theirs"], ownerReferences=[owner]),
    }


def placeholder(profile: str, **parts: Any) -> dict[str, Any]:
    """A placeholder as the program creates it, with some parts replaced or added."""
    ids = {"aws": "aws:///a/i-0123456789abcdef0", "gcp": "gce://p/z/n", "azure": "azure:///subscriptions/s"}
    promise = msgspec.structs.replace(PROMISE, provider_id=ids.get(profile, ""))
    made = copy.deepcopy(placeholder_manifest("n", "reservation-uid", promise, PROFILES[profile]))
    for where, fields in parts.items():
        made[where] = {**made[where], **fields}
        for key in [key for key, value in fields.items() if value is None]:
            del made[where][key]
    return made


def ask(
    client: ApiClient, rule: str, method: str, path: str, body: object = None, kind: str = "application/json"
) -> None:
    """Make a request that is refused by this rule; by none when it is empty."""
    if not rule:
        client.request(method, path, body, kind)
        return
    with pytest.raises(ApiError) as error:
        client.request(method, path, body, kind)
    assert error.value.status == 403, error.value
    assert rule in str(error.value)
