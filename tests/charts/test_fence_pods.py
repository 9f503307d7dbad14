"""The policies for pods, Bindings and Leases on a real API server, and for the account of ``helm test``.

Each line of the tables is a request: an attack that is refused, or one that the program sends.
"""

from __future__ import annotations

from typing import Any

import pytest

from moorage.pinner.names import LEADER, ROLE_LABEL
from tests.charts.fenced import LEASES, MERGE, NODES, PINNED, POLICIES, Fenced, ask, at, node, pod, type_errors
from tools.localcluster.api import ApiError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

UNSTARTED: dict[str, Any] = {}
RUNS = {"phase": "Running", "startTime": "2026-01-31T12:00:00Z"}
FAILED = {"phase": "Failed", "reason": "OutOfcpu", "startTime": "2026-01-31T12:00:00Z"}
ENDED = {"phase": "Succeeded", "startTime": "2026-01-31T12:00:00Z"}

# --- pods ---

UNBOUND = "deletes only pods that are bound to a node"
RUNNING = "deletes only pods that it pinned"
NO_GRACE = "deletes a pod without grace only if it never started"
DAEMON = "deletes a pod of a DaemonSet only if it is being deleted already"
# Of a group that is not there: the garbage collector cannot look for the owner, and leaves the pod.
OF_A_DAEMON_SET: dict[str, Any] = {
    "ownerReferences": [
        {"apiVersion": "example.com/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    ]
}
LEAVING = "being deleted"

PODS: dict[str, tuple[dict[str, Any], dict[str, Any], bool, str, str]] = {
    # metadata, status, whether it is bound; what is said with grace, and without
    "somebody's, running": ({}, RUNS, True, RUNNING, RUNNING),
    "somebody's, ended": ({}, ENDED, True, RUNNING, RUNNING),
    "somebody's, not scheduled": ({}, UNSTARTED, False, UNBOUND, UNBOUND),
    "somebody's with a mark, not scheduled": (PINNED, UNSTARTED, False, UNBOUND, UNBOUND),
    "ours, running": (PINNED, RUNS, True, "", NO_GRACE),
    "ours, not started": (PINNED, UNSTARTED, True, "", ""),
    "somebody's, not started": ({}, UNSTARTED, True, "", ""),
    "refused by a kubelet": ({}, FAILED, True, "", ""),
    "ours, ended": (PINNED, ENDED, True, "", ""),
    "a DaemonSet's, not started": (OF_A_DAEMON_SET, UNSTARTED, True, DAEMON, DAEMON),
    "a DaemonSet's with a mark, running": ({**OF_A_DAEMON_SET, **PINNED}, RUNS, True, DAEMON, NO_GRACE),
    f"a DaemonSet's, not started, {LEAVING}": (OF_A_DAEMON_SET, UNSTARTED, True, "", ""),
    f"somebody's, not started, {LEAVING}": ({}, UNSTARTED, True, "", ""),
    f"somebody's, running, {LEAVING}": ({}, RUNS, True, "", RUNNING),  # without a shorter grace nothing happens
}


@pytest.mark.parametrize("which", PODS)
@pytest.mark.parametrize("place", ["kube-system", ""])
def test_pods_are_deleted_only_if_pinned_unstarted_or_failed(it: Fenced, which: str, place: str) -> None:
    metadata, status, bound, with_grace, without = PODS[which]
    pods = f"/api/v1/namespaces/{place or it.namespace}/pods"
    name = f"{it.namespace}-{which.translate(str.maketrans(' ,', '--')).replace(chr(39), '').lower()}"
    it.admin.request("POST", pods, pod(name, on=at(it, "real") if bound else "", **metadata))
    try:
        if status:
            it.admin.request("PATCH", f"{pods}/{name}/status", {"status": status}, MERGE)
        if which.endswith(LEAVING):
            it.admin.request("DELETE", f"{pods}/{name}?gracePeriodSeconds=600")
        for options, rule in (({}, with_grace), ({"gracePeriodSeconds": 0}, without)):
            ask(it.api, rule, "DELETE", f"{pods}/{name}", {**options, "dryRun": ["All"]})
        ask(it.api, without, "DELETE", f"{pods}/{name}?dryRun=All&gracePeriodSeconds=0")
    finally:
        it.admin.request("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")


# --- the label of the leader's pod ---

OF_US = {"app.kubernetes.io/name": "castai-pod-pinner", "app.kubernetes.io/instance": "castai-pod-pinner"}
LEADS = {"metadata": {"labels": {ROLE_LABEL: LEADER}}}
EVERY_POD_S = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]
ONLY_OURS = "changes only pods of its own release"
ONLY_THE_LABEL = "changes nothing of a pod but its label moorage.dev/role"
ONLY_LEADER = "says leader, or is not there"
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # labels of the pod, what is patched, what is said
    "it leads": (OF_US, LEADS, ""),
    "it leads no more": ({**OF_US, ROLE_LABEL: LEADER}, {"metadata": {"labels": {ROLE_LABEL: None}}}, ""),
    "nothing": ({**OF_US, ROLE_LABEL: LEADER}, {}, ""),
    "another role": (OF_US, {"metadata": {"labels": {ROLE_LABEL: "king"}}}, ONLY_LEADER),
    "somebody else's": ({"app": "web"}, LEADS, ONLY_OURS),
    "somebody else's without labels": ({}, LEADS, ONLY_OURS),
    "of another release": ({**OF_US, "app.kubernetes.io/instance": "other"}, LEADS, ONLY_OURS),
    "of our name only": ({"app.kubernetes.io/name": "castai-pod-pinner"}, LEADS, ONLY_OURS),
    "made one of ours": ({"app": "web"}, {"metadata": {"labels": OF_US}}, ONLY_OURS),
    "another label": (OF_US, {"metadata": {"labels": {ROLE_LABEL: LEADER, "app": "web"}}}, ONLY_THE_LABEL),
    "a label changed": (OF_US, {"metadata": {"labels": {"app.kubernetes.io/name": "web"}}}, ONLY_THE_LABEL),
    "a label taken off": (OF_US, {"metadata": {"labels": {"app.kubernetes.io/name": None}}}, ONLY_THE_LABEL),
    "an annotation": (OF_US, {"metadata": PINNED}, ONLY_THE_LABEL),
    "a finalizer": (OF_US, {"metadata": {"finalizers": ["example.com/theirs"]}}, ONLY_THE_LABEL),
    "an owner": (
        OF_US,
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}},
        ONLY_THE_LABEL,
    ),
    "another image": (
        OF_US,
        {"spec": {"containers": [{"name": "main", "image": "registry.invalid/theirs:1"}]}},
        ONLY_THE_LABEL,
    ),
    "its end": (OF_US, {"spec": {"activeDeadlineSeconds": 1}}, ONLY_THE_LABEL),
    "a toleration": (OF_US, {"spec": {"tolerations": [*EVERY_POD_S, {"operator": "Exists"}]}}, ONLY_THE_LABEL),
}


@pytest.mark.parametrize("which", CHANGES)
def test_of_a_pod_only_the_leaders_label_is_ours_to_change(it: Fenced, which: str) -> None:
    labels, change, rule = CHANGES[which]
    pods = f"/api/v1/namespaces/{it.namespace}/pods"
    name = "changed-" + which.translate(str.maketrans(" ", "-")).replace("'", "")
    it.admin.request("POST", pods, pod(name, labels=labels))
    try:
        ask(it.api, rule, "PATCH", f"{pods}/{name}?dryRun=All", change, MERGE)
    finally:
        it.admin.request("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")


# --- status of pods ---

UNTOUCHED = "changes no labels, annotations, ownerReferences and finalizers of pods"
ONLY = "changes nothing but nominatedNodeName in a pod's status"
PLACED = "nominates only pods that are bound to no node"
NOMINATE: dict[str, Any] = {"status": {"nominatedNodeName": "x"}}
CONDITION = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
STARTED = {"name": "main", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
STATUSES: dict[str, tuple[str, dict[str, Any], bool]] = {
    # the rule, what is sent, whether the pod is bound
    "nominated": ("", NOMINATE, False),
    "taken back": ("", {"status": {"nominatedNodeName": None}}, False),
    "nothing": ("", {"status": {}}, False),
    "nothing, of one that is bound": (PLACED, {"status": {}}, True),  # the API server itself lets none be nominated
    "a label": (UNTOUCHED, {**NOMINATE, "metadata": {"labels": {"app": "other"}}}, False),
    "a new label": (UNTOUCHED, {**NOMINATE, "metadata": {"labels": {"more": "x"}}}, False),
    "no labels": (UNTOUCHED, {**NOMINATE, "metadata": {"labels": None}}, False),
    "an annotation": (UNTOUCHED, {**NOMINATE, "metadata": PINNED}, False),
    "a finalizer": (UNTOUCHED, {**NOMINATE, "metadata": {"finalizers": ["example.com/ours"]}}, False),
    "a phase": (ONLY, {"status": {"phase": "Failed"}}, False),
    "a reason": (ONLY, {"status": {"nominatedNodeName": "x", "reason": "Evicted"}}, False),
    "a condition": (ONLY, {"status": {"conditions": [{**CONDITION, "status": "True"}]}}, False),
    "one condition more": (ONLY, {"status": {"conditions": [CONDITION, {"type": "Ready", "status": "True"}]}}, False),
    "no conditions": (ONLY, {"status": {"conditions": None}}, False),
    "an address": (ONLY, {"status": {"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}}, False),
    "a start": (ONLY, {"status": {"startTime": "2026-01-31T12:00:00Z"}}, False),
    "containers": (ONLY, {"status": {"containerStatuses": [STARTED]}}, False),
}


@pytest.mark.parametrize("which", STATUSES)
def test_of_a_pods_status_only_the_nomination_is_ours(it: Fenced, which: str) -> None:
    rule, body, bound = STATUSES[which]
    pods, name = f"/api/v1/namespaces/{it.namespace}/pods", "status-" + which.replace(",", "").replace(" ", "-")
    it.admin.request("POST", pods, pod(name, on=at(it, "real") if bound else "", labels={"app": "kept"}))
    try:
        stored = {"conditions": [CONDITION], **({"nominatedNodeName": "x"} if which == "taken back" else {})}
        it.admin.request("PATCH", f"{pods}/{name}/status", {"status": stored}, MERGE)
        ask(it.api, rule, "PATCH", f"{pods}/{name}/status", body, MERGE)
        found = it.admin.get(f"{pods}/{name}")
        assert found["metadata"]["labels"] == {"app": "kept"}
        assert found["status"].get("nominatedNodeName", "") == ("x" if which == "nominated" else "")
    finally:
        it.admin.request("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")


# --- Bindings ---

LABELS = "carries no labels but zone and region"
ANNOTATIONS = "carries annotations of moorage.dev/ only, moorage.dev/pinned-by among them"
TARGET = "binds pods to targets of kind Node only"
ZONE = {"topology.kubernetes.io/zone": "forged", "topology.kubernetes.io/region": "forged"}
BINDINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a label that others select by": (LABELS, {**PINNED, "labels": {"app": "web"}}, "Node"),
    "zone and another label": (LABELS, {**PINNED, "labels": {**ZONE, "app": "web"}}, "Node"),
    "an older zone label": (
        LABELS,
        {**PINNED, "labels": {"failure-domain.beta.kubernetes.io/zone": "x"}},
        "Node",
    ),
    "no mark": (ANNOTATIONS, {}, "Node"),
    "another annotation": (ANNOTATIONS, {"annotations": {**PINNED["annotations"], "a": "b"}}, "Node"),
    "only others of ours": (ANNOTATIONS, {"annotations": {"moorage.dev/x": "y"}}, "Node"),
    "no kind": (TARGET, PINNED, ""),
    "ours": ("", PINNED, "Node"),
    "ours with zone and region": ("", {**PINNED, "labels": ZONE}, "Node"),
}


@pytest.mark.parametrize("which", BINDINGS)
def test_a_binding_carries_our_mark_and_nothing_else(it: Fenced, which: str) -> None:
    rule, metadata, kind = BINDINGS[which]
    pods = f"/api/v1/namespaces/{it.namespace}/pods"
    name = "bound-" + which.replace(" ", "-")
    it.admin.request("POST", pods, pod(name, labels={"app": "kept"}))
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {**metadata, "name": name},
        "target": {"kind": kind, "name": at(it, "placeholder")},
    }
    ask(it.api, rule, "POST", f"{pods}/{name}/binding", body)
    found = it.admin.get(f"{pods}/{name}")
    assert found["metadata"]["labels"]["app"] == "kept"
    assert found["spec"].get("nodeName", "") == ("" if rule else at(it, "placeholder"))
    if not rule:
        assert found["metadata"]["annotations"] == PINNED["annotations"]
        assert (
            found["metadata"]["labels"].get("topology.kubernetes.io/zone", "a") == "a"
        )  # of the Node, not of the body


# --- Leases of nodes ---

SOON, LATER = "2026-01-31T12:00:00.000000Z", "2027-01-31T12:00:00.000000Z"
HELD: dict[str, tuple[str, str, bool]] = {
    # the annotation as stored, the renewTime as stored, whether we may renew it
    "a kubelet's": ("", SOON, False),
    "one that a kubelet took over": (LATER, SOON, False),
    "ours": (SOON, SOON, True),
    "one that nobody renewed": ("", "", True),
}


@pytest.mark.parametrize("which", HELD)
def test_only_leases_that_nobody_else_renews_are_ours_to_renew(it: Fenced, which: str) -> None:
    mark, renewed, allowed = HELD[which]
    name = at(it, which.replace(" ", "-").replace("'", ""))
    stored = {
        "metadata": {"name": name, "annotations": {"moorage.dev/renewed": mark} if mark else {}},
        "spec": {"holderIdentity": name, "renewTime": renewed or None},
    }
    it.admin.request("POST", LEASES, stored)
    try:
        found = it.api.get(f"{LEASES}/{name}")
        found["metadata"]["annotations"] = {"moorage.dev/renewed": LATER}
        found["spec"]["renewTime"] = LATER
        rule = "" if allowed else "was renewed by somebody else: the pod pinner leaves it alone"
        ask(it.api, rule, "PUT", f"{LEASES}/{name}", found)
    finally:
        it.admin.request("DELETE", f"{LEASES}/{name}")


def test_leases_of_nodes_are_created_with_our_mark_only(it: Fenced) -> None:
    name = at(it, "new")
    lease: dict[str, Any] = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "renewTime": SOON}}
    ask(it.api, "creates only Leases of nodes with the annotation moorage.dev/renewed", "POST", LEASES, lease)
    lease["metadata"]["annotations"] = {"moorage.dev/renewed": SOON}
    ask(it.api, "", "POST", LEASES, lease)
    it.admin.request("DELETE", f"{LEASES}/{name}")


# --- helm test ---


def test_helm_test_creates_pods_only_as_a_dry_run(it: Fenced) -> None:
    pods = f"/api/v1/namespaces/{it.namespace}/pods"
    ask(it.check, "", "POST", f"{pods}?dryRun=All", pod("tried"))
    ask(it.check, "creates pods only as a dry run", "POST", pods, pod("tried"))
    ask(it.check, "forbidden: User", "POST", "/api/v1/namespaces/kube-system/pods?dryRun=All", pod("tried"))


# --- what is not even asked: nobody has the right ---

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

RIGHTLESS: dict[str, tuple[str, str, Any, str]] = {
    "all nodes at once": ("DELETE", f"{NODES}?labelSelector=none%3Dthere", None, "deletecollection"),
    "a Node replaced": ("PUT", f"{NODES}/real", node("real"), "update"),
    "a Node's status": ("PATCH", f"{NODES}/real/status", {"status": {"phase": "Running"}}, "nodes/status"),
    "through a kubelet": ("GET", f"{NODES}/real/proxy/pods", None, "nodes/proxy"),
    "all pods at once": ("DELETE", "/api/v1/namespaces/kube-system/pods?labelSelector=a%3Db", None, "deletecollection"),
    "a pod changed": ("PATCH", "/api/v1/namespaces/kube-system/pods/p", {"metadata": PINNED}, "patch"),
    "a pod's status replaced": ("PUT", "/api/v1/namespaces/kube-system/pods/p/status", pod("p"), "pods/status"),
    "a pod made": ("POST", "/api/v1/namespaces/kube-system/pods?dryRun=All", pod("p"), "create"),
    "a pod evicted": (
        "POST",
        "/api/v1/namespaces/kube-system/pods/p/eviction",
        {"metadata": {"name": "p"}},
        "eviction",
    ),
    "into a pod": ("POST", "/api/v1/namespaces/kube-system/pods/p/exec?command=sh", None, "pods/exec"),
    "an older way to bind": ("POST", "/api/v1/namespaces/default/bindings", {"target": {"name": "real"}}, "bindings"),
    "a Lease deleted": ("DELETE", f"{LEASES}/real", None, "delete"),
    "the fence taken down": ("DELETE", f"{POLICIES}/castai-pod-pinner.x", None, "delete"),
    "secrets": ("GET", "/api/v1/secrets", None, "secrets"),
    "secrets here": ("GET", "/api/v1/namespaces/castai-agent/secrets", None, "secrets"),
    "another secret": ("GET", "/api/v1/namespaces/castai-agent/secrets/moorage-planner-tls", None, "secrets"),
    "all webhooks": ("GET", WEBHOOKS, None, "list"),
    "somebody else's webhook": ("PATCH", f"{WEBHOOKS}/theirs", {"webhooks": []}, "patch"),
    "a webhook made": ("POST", WEBHOOKS, {"metadata": {"name": "ours"}}, "create"),
    "a token": ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", {}, "serviceaccounts/token"),
}


@pytest.mark.parametrize("which", RIGHTLESS)
def test_the_account_has_no_other_rights(it: Fenced, which: str) -> None:
    method, path, body, said = RIGHTLESS[which]
    with pytest.raises(ApiError, match="forbidden: User") as error:
        it.api.request(method, path, body, MERGE if method == "PATCH" else "application/json")
    assert (error.value.status, said in str(error.value)) == (403, True)


def test_what_a_node_reports_is_not_ours_to_write(it: Fenced) -> None:
    """Else the fence would be a matter of first taking the kubelet's version away; on the Node itself it is ignored."""
    path = f"{NODES}/{at(it, 'joined')}"
    it.api.request("PATCH", path, {"status": {"nodeInfo": {"kubeletVersion": ""}}}, MERGE)
    assert it.admin.get(path)["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"


# --- the policies themselves ---


def test_the_api_server_finds_nothing_wrong_in_the_expressions(it: Fenced) -> None:
    assert type_errors(it) == {}
