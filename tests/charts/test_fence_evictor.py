"""The policies for the evictor's account on a real API server: attacks that are refused, and a drain's writes.

Each line of the tables is a request. Refused ones are attacks with the account's token. Allowed ones are those that the
drain library sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from moorage.drain import names, patches
from moorage.drain.names import Mark, Phase
from moorage.objects import Node
from tests.charts.fenced import (
    APPLY,
    JSON_PATCH,
    LEASES,
    MERGE,
    NODES,
    POLICIES,
    Installation,
    at,
    installed,
    is_fenced,
    node,
    pod,
    type_errors,
)
from tests.charts.node_patches import (
    CHANGES,
    CHOSEN,
    DEDICATED,
    DIRECTIVES,
    DRAINING,
    EMPTIED,
    NOW,
    PLACES,
    SOFT,
    THEIRS,
    Change,
    labelled,
    others,
)
from tests.charts.rendering import EVICTOR
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiClient, ApiError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

ACTS = {"dryRun": False}
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@pytest.fixture(scope="module")
def it(cluster: ClusterHandle) -> Iterator[Installation]:
    """The chart without its program, and Nodes of every kind."""
    with installed(cluster, EVICTOR, ACTS) as found:
        stand(found)
        yield found


@pytest.fixture(scope="module")
def careless(cluster: ClusterHandle) -> Iterator[Installation]:
    """The same with all rights for the account: only the policies limit it."""
    with installed(cluster, EVICTOR, ACTS) as found:
        subject = {"kind": "ServiceAccount", "name": EVICTOR, "namespace": found.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": found.namespace}, "subjects": [subject], "roleRef": role}
        found.admin.request("POST", BINDINGS, binding)
        try:
            stand(found)
            yield found
        finally:
            found.admin.request("DELETE", f"{BINDINGS}/{found.namespace}")


def stand(found: Installation) -> None:
    """Create Nodes, and wait until the API server enforces the policies."""
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system"}
    owner["uid"] = found.admin.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    kept = {"annotations": {"a": "b"}, "labels": {"pool": "x"}}
    cordons = {"theirs": {}, "chosen": CHOSEN, "ours": DRAINING}
    nodes = {
        "worker": node("", version="v1.36.3", taints=[DEDICATED], **kept),
        "owned": node("", version="v1.36.3", finalizers=["example.com/theirs"], ownerReferences=[owner]),
        "emptied": node("", version="v1.36.3", taints=[SOFT], annotations=EMPTIED),
        **{name: node("", version="v1.36.3", annotations=annotations) for name, annotations in cordons.items()},
    }
    for name, made in nodes.items():
        made["metadata"]["name"] = at(found, name)
        if name in cordons:
            made["spec"]["unschedulable"] = True
        found.admin.request("POST", NODES, made)
    pods = f"/api/v1/namespaces/{found.namespace}/pods"
    found.admin.request("POST", pods, pod("web"))
    wait_until_fenced(found, "PATCH", f"{NODES}/{at(found, 'worker')}?dryRun=All", labelled("probe"), MERGE)
    wait_until_fenced(found, "POST", f"{pods}/web/eviction?dryRun=All", eviction("web"))


def wait_until_fenced(
    found: Installation, method: str, path: str, body: object, kind: str = "application/json"
) -> None:
    end = time.monotonic() + 60
    while not is_fenced(found.api, method, path, body, kind):
        assert time.monotonic() < end, f"waited 60 s for a policy to refuse {method} {path}"
        time.sleep(0.3)


def said(client: ApiClient, method: str, path: str, body: object = None, kind: str = "application/json") -> str:
    """The error of a refused request; empty for an allowed one."""
    try:
        client.request(method, path, body, kind)
    except ApiError as error:
        if error.status != 403:
            raise
        return str(error)
    return ""


# --- Nodes: the taint, the mark, cordons of ours, and nothing else ---


def patched(it: Installation, suffix: str, change: Change, kind: str = MERGE, query: str = "dryRun=All") -> str:
    """The error of a patch with the Node's resourceVersion; repeated if a controller has changed the Node."""
    path = f"{NODES}/{at(it, suffix)}"
    while True:
        found = it.admin.get(path)
        body = change(found)
        body["metadata"] = {**body.get("metadata", {}), "resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            return said(it.api, "PATCH", f"{path}?{query}", body, kind)
        except ApiError as error:
            if error.status != 409:
                raise


@pytest.mark.parametrize("change", CHANGES)
def test_nodes_are_changed_only_as_a_drain_does(it: Installation, change: str) -> None:
    suffix, rule, body = CHANGES[change]
    answer = patched(it, suffix, body)
    assert rule in answer
    assert bool(rule) == bool(answer), answer


# An apply takes nothing away that it has not applied.
APPLIED = [each for each in CHANGES if "taken away" not in each and "uncordon" not in each and "ours:" not in each]


@pytest.mark.parametrize("change", APPLIED)
def test_an_apply_is_judged_alike(it: Installation, change: str) -> None:
    suffix, rule, body = CHANGES[change]

    def applied(found: dict[str, Any]) -> dict[str, Any]:
        changes = body(found)
        metadata = {**changes.get("metadata", {}), "name": found["metadata"]["name"]}
        return {"apiVersion": "v1", "kind": "Node", **changes, "metadata": metadata}

    answer = patched(it, suffix, applied, APPLY, "dryRun=All&fieldManager=thief&force=true")
    assert rule in answer
    assert bool(rule) == bool(answer), answer


STRATEGIC = "application/strategic-merge-patch+json"


@pytest.mark.parametrize("which", DIRECTIVES)
def test_a_strategic_merge_takes_nothing_away_either(it: Installation, which: str) -> None:
    suffix, rule, body = DIRECTIVES[which]
    assert rule in said(it.api, "PATCH", f"{NODES}/{at(it, suffix)}?dryRun=All", body, STRATEGIC)


def test_a_status_in_a_patch_of_a_node_is_not_written(it: Installation) -> None:
    path = f"{NODES}/{at(it, 'worker')}"
    change = {"metadata": {"annotations": CHOSEN}, "status": {"phase": "Terminated", "capacity": {"cpu": "0"}}}
    written = it.api.request("PATCH", f"{path}?dryRun=All", change, MERGE)
    assert written["metadata"]["annotations"].keys() >= CHOSEN.keys()
    assert written["status"].get("phase") is None
    assert "cpu" not in written["status"].get("capacity", {})


@pytest.mark.parametrize("which", PLACES)
def test_nothing_is_taken_away_by_its_place_either(it: Installation, which: str) -> None:
    suffix, rule, step = PLACES[which]
    assert rule in said(it.api, "PATCH", f"{NODES}/{at(it, suffix)}?dryRun=All", [step], JSON_PATCH)


# --- what a drain writes ---


def send(it: Installation, name: str, changes: Callable[[Node], dict[str, Any]]) -> None:
    """Write as a drain does: with uid and resourceVersion."""
    while True:
        found = it.admin.get(f"{NODES}/{name}")
        body = changes(msgspec.convert(found, type=Node, strict=False))
        same = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
        body["metadata"] = {**body["metadata"], **same}
        try:
            it.api.request("PATCH", f"{NODES}/{name}", body, MERGE)
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            return


def read_mark(found: Node) -> Mark:
    mark = names.read(found)
    assert mark is not None
    return mark


def standing_as(it: Installation, name: str) -> tuple[bool, bool, Phase]:
    """Whether a Node is cordoned, whether it has the taint, and how far it has come."""
    found = msgspec.convert(it.admin.get(f"{NODES}/{name}"), type=Node, strict=False)
    return found.spec.unschedulable, names.soft_tainted(found), read_mark(found).phase


def begin(it: Installation, name: str, *, cordon: bool = True) -> None:
    made = node(name, version="v1.36.3", taints=[DEDICATED], labels={"pool": "x"}, annotations={"a": "b"})
    it.admin.request("POST", NODES, made)
    send(it, name, lambda found: patches.chosen(found, "here", "c-1", NOW))
    assert standing_as(it, name) == (False, True, Phase.CHOSEN)
    send(it, name, lambda found: patches.begun(found, read_mark(found), NOW, cordon=cordon))
    assert standing_as(it, name) == (cordon, True, Phase.DRAINING)


def give_back(it: Installation, name: str, phase: Phase) -> None:
    said = 'shop/web: no room: 0/3 nodes, "set":["cordon"]'
    send(it, name, lambda found: patches.given_back(found, read_mark(found), phase, NOW, said))
    assert standing_as(it, name) == (False, False, phase)
    found = it.admin.get(f"{NODES}/{name}")
    assert DEDICATED in [{key: each[key] for key in DEDICATED} for each in others(found) if "value" in each]
    assert found["metadata"]["labels"]["pool"] == "x"


@pytest.mark.parametrize("cordon", [True, False])
def test_a_drain_that_empties_its_node_and_hands_it_back(it: Installation, cordon: bool) -> None:
    name = at(it, f"drained-{cordon}".lower())
    begin(it, name, cordon=cordon)
    send(it, name, lambda found: patches.emptied(found, read_mark(found), NOW))
    assert standing_as(it, name) == (False, True, Phase.EMPTIED)
    give_back(it, name, Phase.HANDED_BACK)
    send(it, name, lambda found: patches.chosen(found, "here", "c-2", NOW))
    assert standing_as(it, name) == (False, True, Phase.CHOSEN)


@pytest.mark.parametrize("by_hand", [False, True], ids=["as it was", "uncordoned by somebody in between"])
def test_a_drain_that_is_rolled_back(it: Installation, by_hand: bool) -> None:
    name = at(it, f"rolled-back-{by_hand}".lower())
    begin(it, name)
    if by_hand:
        it.admin.request("PATCH", f"{NODES}/{name}", {"spec": {"unschedulable": None}}, MERGE)
    give_back(it, name, Phase.ROLLED_BACK)


# --- evictions ---

WHICH = "an eviction of the evictor says which pod is meant: deleteOptions.preconditions.uid"
GRACE = "an eviction of the evictor says nothing but which pod is meant"
UID: dict[str, Any] = {"preconditions": {"uid": "UID"}}
EVICTIONS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "no options": (WHICH, None),
    "options of nothing": (WHICH, {}),
    "no preconditions": (WHICH, {"preconditions": {}}),
    "an empty uid": (WHICH, {"preconditions": {"uid": ""}}),
    "only a resourceVersion": (WHICH, {"preconditions": {"resourceVersion": "1"}}),
    "no time to end": (GRACE, {**UID, "gracePeriodSeconds": 0}),
    "a second to end": (GRACE, {**UID, "gracePeriodSeconds": 1}),
    "dependents first": (GRACE, {**UID, "propagationPolicy": "Foreground"}),
    "orphaned dependents": (GRACE, {**UID, "propagationPolicy": "Orphan"}),
    "orphaned dependents, as it was said once": (GRACE, {**UID, "orphanDependents": True}),
    "ours": ("", UID),
    "ours, as a dry run": ("", {**UID, "dryRun": ["All"]}),
}


def eviction(name: str, options: dict[str, Any] | None = None, uid: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    if options is not None:
        given = options.get("preconditions", {})
        meant = {key: uid if value == "UID" else value for key, value in given.items()}
        made["deleteOptions"] = {**options, "preconditions": meant} if "preconditions" in options else options
    return made


@pytest.mark.parametrize("which", EVICTIONS)
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_eviction_says_which_pod_is_meant_and_nothing_else(it: Installation, which: str, version: str) -> None:
    rule, options = EVICTIONS[which]
    path = f"/api/v1/namespaces/{it.namespace}/pods/web"
    body = eviction("web", options, it.admin.get(path)["metadata"]["uid"])
    answer = said(it.api, "POST", f"{path}/eviction?dryRun=All", {**body, "apiVersion": f"policy/{version}"})
    assert rule in answer
    assert bool(rule) == bool(answer), answer


def test_the_pod_that_is_meant_is_evicted(it: Installation) -> None:
    pods = f"/api/v1/namespaces/{it.namespace}/pods"
    uid = it.admin.request("POST", pods, pod("goes"))["metadata"]["uid"]
    it.api.request("POST", f"{pods}/goes/eviction", eviction("goes", UID, uid))
    with pytest.raises(ApiError, match="not found"):
        it.admin.get(f"{pods}/goes")


# --- what is not even asked: nobody has the right ---

KUBE = "/api/v1/namespaces/kube-system/pods"
APPS = "/apis/apps/v1/namespaces/kube-system"
RIGHTLESS: dict[str, tuple[str, str, Any, str]] = {
    "a Node made": ("POST", f"{NODES}?dryRun=All", node("made"), "create"),
    "a Node replaced": ("PUT", f"{NODES}/worker", node("worker"), "update"),
    "a Node deleted": ("DELETE", f"{NODES}/worker", None, "delete"),
    "all Nodes at once": ("DELETE", f"{NODES}?labelSelector=none%3Dthere", None, "deletecollection"),
    "a Node's status": ("PATCH", f"{NODES}/worker/status", {"status": {"phase": "Running"}}, "nodes/status"),
    "through a kubelet": ("GET", f"{NODES}/worker/proxy/pods", None, "nodes/proxy"),
    "a pod deleted": ("DELETE", f"{KUBE}/p", None, "delete"),
    "all pods at once": ("DELETE", f"{KUBE}?labelSelector=a%3Db", None, "deletecollection"),
    "a pod changed": ("PATCH", f"{KUBE}/p", {"metadata": {"labels": {"a": "b"}}}, "patch"),
    "a pod made": ("POST", f"{KUBE}?dryRun=All", pod("p"), "create"),
    "a pod bound": ("POST", f"{KUBE}/p/binding", {"target": {"kind": "Node", "name": "worker"}}, "pods/binding"),
    "into a pod": ("POST", f"{KUBE}/p/exec?command=sh", None, "pods/exec"),
    "a budget changed": (
        "PATCH",
        "/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets/b",
        {"spec": {"minAvailable": 0}},
        "poddisruptionbudgets",
    ),
    "a workload scaled": ("PATCH", f"{APPS}/deployments/d/scale", {"spec": {"replicas": 0}}, "deployments/scale"),
    "a NodeClaim deleted": ("DELETE", "/apis/karpenter.sh/v1/nodeclaims/c", None, "nodeclaims"),
    "its own configuration": (
        "PATCH",
        "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs/evictor-config",
        {"spec": {}},
        "evictorconfigs",
    ),
    "a node's Lease": ("PATCH", f"{LEASES}/worker", {"metadata": {"annotations": {"a": "b"}}}, "leases"),
    "the fence taken down": ("DELETE", f"{POLICIES}/castai-evictor.x", None, "delete"),
    "more rights": ("PATCH", f"{BINDINGS}/x", {"subjects": []}, "clusterrolebindings"),
    "secrets": ("GET", "/api/v1/secrets", None, "secrets"),
    "a token": ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", {}, "serviceaccounts/token"),
}


@pytest.mark.parametrize("which", RIGHTLESS)
def test_the_account_has_no_other_rights(it: Installation, which: str) -> None:
    method, path, body, rights = RIGHTLESS[which]
    answer = said(it.api, method, path, body, MERGE if method == "PATCH" else "application/json")
    assert "forbidden: User" in answer
    assert rights in answer


WRITES = {
    "patch nodes",
    "create pods/eviction",
    "create events.events.k8s.io",
    "patch events.events.k8s.io",
    "update evictorconfigs/status.autoscaling.cast.ai",
    *(f"{verb} slotreservations.moorage.dev" for verb in ("create", "patch", "delete")),
}
AT_HOME = {"create leases.coordination.k8s.io", "update leases.coordination.k8s.io castai-evictor"}
EVERYBODY = {"create selfsubjectaccessreviews", "create selfsubjectrulesreviews", "create selfsubjectreviews"}
"""Questions about oneself."""


@pytest.mark.parametrize("where", ["", "kube-system", "kube-node-lease"])
def test_the_api_server_knows_of_no_other_writes_that_the_account_may_make(it: Installation, where: str) -> None:
    review = {"spec": {"namespace": where or it.namespace}}
    found = it.api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)["status"]
    assert not found["incomplete"]
    may = {
        " ".join((verb, f"{resource}.{group}".rstrip("."), *rule.get("resourceNames", ())))
        for rule in found["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if verb not in ("get", "list", "watch")
    }
    assert {each for each in may if each.rpartition(".authorization")[0] not in EVERYBODY} - {
        "create selfsubjectreviews.authentication.k8s.io"
    } == WRITES | (AT_HOME if not where else set())


# --- and where somebody has given it all rights ---

NEITHER = "the evictor creates no Nodes and deletes none"
STATUS = "the evictor writes no status of a Node"
DELETES = "the evictor deletes no pods: it asks for their eviction"


@pytest.mark.parametrize("options", [{}, {"gracePeriodSeconds": 0}, {"propagationPolicy": "Foreground"}])
def test_nodes_and_pods_are_not_deleted_whatever_is_granted(careless: Installation, options: dict[str, Any]) -> None:
    pods = f"/api/v1/namespaces/{careless.namespace}/pods"
    tried = {**options, "dryRun": ["All"]}
    one_node = f"{NODES}?fieldSelector=metadata.name%3D{at(careless, 'ours')}"
    assert NEITHER in said(careless.api, "DELETE", f"{NODES}/{at(careless, 'emptied')}", tried)
    assert NEITHER in said(careless.api, "DELETE", one_node, tried)
    assert DELETES in said(careless.api, "DELETE", f"{pods}/web", tried)
    assert DELETES in said(careless.api, "DELETE", f"{pods}?fieldSelector=metadata.name%3Dweb", tried)


def test_nodes_are_neither_made_nor_replaced_whatever_is_granted(careless: Installation) -> None:
    made = node(at(careless, "made"), annotations=DRAINING)
    assert NEITHER in said(careless.api, "POST", f"{NODES}?dryRun=All", made)
    applied = f"{NODES}/{made['metadata']['name']}?dryRun=All&fieldManager=x"
    assert NEITHER in said(careless.api, "PATCH", applied, made, APPLY)
    found = careless.admin.get(f"{NODES}/{at(careless, 'theirs')}")
    found["metadata"].pop("resourceVersion")
    del found["spec"]["unschedulable"]
    assert THEIRS in said(careless.api, "PUT", f"{NODES}/{at(careless, 'theirs')}?dryRun=All", found)


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC, APPLY])
def test_no_status_of_a_node_is_written_whatever_is_granted(careless: Installation, kind: str) -> None:
    path = f"{NODES}/{at(careless, 'worker')}"
    body = {"apiVersion": "v1", "kind": "Node", **labelled("y"), "status": {"phase": "Terminated"}}
    query = "dryRun=All&fieldManager=thief" + ("&force=true" if kind == APPLY else "")
    assert STATUS in said(careless.api, "PATCH", f"{path}/status?{query}", body, kind)


# --- the policies themselves ---


def test_others_are_not_fenced(it: Installation) -> None:
    name = at(it, "admin")
    it.admin.request("POST", NODES, node(name, version="v1.36.3"))
    it.admin.request("PATCH", f"{NODES}/{name}", {"spec": {"unschedulable": True}, **labelled("z")}, MERGE)
    it.admin.request("PATCH", f"{NODES}/{name}", {"spec": {"unschedulable": None}}, MERGE)
    it.admin.request("DELETE", f"{NODES}/{name}")
    pods = f"/api/v1/namespaces/{it.namespace}/pods"
    it.admin.request("POST", pods, pod("theirs"))
    it.admin.request("POST", f"{pods}/theirs/eviction?dryRun=All", eviction("theirs"))
    it.admin.request("DELETE", f"{pods}/theirs")


def test_the_api_server_finds_nothing_wrong_in_the_expressions(it: Installation) -> None:
    assert len(it.policies) == 3
    assert type_errors(it) == {}
