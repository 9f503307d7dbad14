"""A real API server validates every rendered object, and Pod Security. Admission policies are in test_fence_*."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.charts.fenced import PREPARING, node
from tests.charts.paths import collection
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Values, render
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])

FULL: Values = {
    "commonLabels": {"team": "a"},
    "podAnnotations": {"note": 'quotes " and {{ braces }}'},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "additionalEnv": {"PPROF_PORT": 6060},
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca", "optional": True}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "envFrom": [{"secretRef": {"name": "keys", "optional": True}}],
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"pool": "infra"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "grafanaDashboard": {"enabled": True},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}], "extraEgress": [{"ports": [{"port": 9443}]}]},
    "image": {"digest": "sha256:" + "0123456789abcdef" * 4},
    "podDisruptionBudget": {"minAvailable": "50%"},
    "hostAliases": [{"ip": "10.0.0.10", "hostnames": ["planner.example.com"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.53"], "options": [{"name": "ndots", "value": "1"}]},
    "runtimeClassName": "gvisor",
    "revisionHistoryLimit": 3,
    "updateStrategy": {"type": "Recreate"},
    "deploymentAnnotations": {"example.com/reload": "true"},
    "service": {"annotations": {"a": "b"}, "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
    "podSpec": {
        "schedulerName": "theirs",
        "initContainers": [{"name": "first", "image": "example.com/first"}],
        "containers": [{"name": "beside", "image": "example.com/beside"}],
    },
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
}
ODD: Values = {
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "0", "maxUnavailable": "0%"}},
    "service": {"ipFamilies": ["IPv4", "IPv4"]},
    "podSpec": {"hostNetwork": True},
    "fullnameOverride": "a" * 63,
    "nameOverride": "b" * 63,
}
OWN: dict[str, Values] = {
    PINNER: {
        "castai": {"apiKey": "abc", "clusterIdConfigMapKeyRef": {"name": "c"}},
        "planner": {"address": "a:1"},
        "webhook": {"hostNetwork": True, "url": "https://pinner.example.com/mutate"},
        "service": {"type": "LoadBalancer"},
    },
    PLANNER: {"tls": {"existingSecret": "t"}, "apiKey": {"existingSecret": "k"}},
    EVICTOR: {"prices": [{"instanceType": "m5.large", "pricePerHour": 0.096}], "configMapLabels": {"a": "b"}},
}


@EACH
@pytest.mark.parametrize("fullness", ["bare", "full", "gke"])
def test_every_object_is_accepted_to_the_letter(
    chart: str, fullness: str, cluster: ClusterHandle, namespace: str
) -> None:
    values: Values = {"full": {**FULL, **OWN[chart]}, "gke": ODD}.get(fullness, {})
    options = ("--kube-version", "v1.34.1-gke.1293000") if fullness == "gke" else ()
    rendered = render(chart, values, namespace=namespace, options=options)
    for account in rendered.all("ServiceAccount"):  # a pod is only judged when its account is there
        cluster.api.request("POST", collection(account), account)
    for each in [found for found in rendered.objects if found["kind"] != "ServiceAccount"]:
        path = f"{collection(each)}?dryRun=All&fieldValidation=Strict"
        try:
            created = cluster.api.request("POST", path, each)
        except ApiError as error:
            if error.reason != "AlreadyExists":  # the definition, when the cluster is in use
                pytest.fail(f"{each['kind']} {each['metadata']['name']}: {error}", pytrace=False)
        else:
            assert created["metadata"]["name"] == each["metadata"]["name"]


STRATEGIES: list[Values] = [
    {},
    {"updateStrategy": None},
    {"updateStrategy": {"type": "Recreate"}},
    {"updateStrategy": {"type": "RollingUpdate"}},
    {"updateStrategy": {"type": "Recreate"}},
    {},
]


@EACH
def test_an_upgrade_changes_how_pods_are_replaced(chart: str, cluster: ClusterHandle, namespace: str) -> None:
    """By a server-side apply, as Helm 4, Flux and Argo CD do it: what an earlier one left out is in nobody's hands."""
    for values in STRATEGIES:
        deployment = render(chart, {**values, "replicas": 0}, namespace=namespace).one("Deployment")
        path = f"{collection(deployment)}/{deployment['metadata']['name']}?fieldManager=helm"
        applied = cluster.api.request("PATCH", path, deployment, "application/apply-patch+yaml")
        assert applied["spec"]["strategy"] == deployment["spec"]["strategy"]


@EACH
def test_pods_satisfy_pod_security_restricted(chart: str, cluster: ClusterHandle, namespace: str) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    path = f"/api/v1/namespaces/{namespace}"
    cluster.api.request("PATCH", path, enforce, "application/merge-patch+json")
    rendered = render(chart, {"serviceAccount": {"create": False}}, namespace=namespace)
    specs = [
        rendered.pod["spec"],
        *({**each["spec"]["template"]["spec"], "serviceAccountName": "default"} for each in rendered.all("Job")),
    ]
    pods = [{"metadata": {"name": "p"}, "spec": spec} for spec in specs]
    for pod in pods:
        cluster.api.request("POST", f"{path}/pods?dryRun=All&fieldValidation=Strict", pod)
    broken = {"metadata": {"name": "p"}, "spec": {**pods[0]["spec"], "hostNetwork": True}}
    with pytest.raises(ApiError, match="restricted"):  # and the namespace does enforce it
        cluster.api.request("POST", f"{path}/pods?dryRun=All", broken)


@EACH
def test_the_scheduler_puts_our_pods_on_no_placeholder_and_on_no_node_being_emptied(
    chart: str, cluster: ClusterHandle, namespace: str, node_name: Callable[..., str]
) -> None:
    pool = {"moorage.test/pool": namespace, "kubernetes.io/os": "linux"}
    values: Values = {
        "serviceAccount": {"create": False},
        "tolerations": [{"operator": "Exists"}],  # even so
        "nodeSelector": {"moorage.test/pool": namespace},
    }
    spec = {**render(chart, values, namespace=namespace).pod["spec"], "serviceAccountName": "default"}
    pods = f"/api/v1/namespaces/{namespace}/pods"

    def add(suffix: str, labels: dict[str, str] | None = None) -> str:
        name = node_name(suffix)
        room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
        made = node(name, taints=[PREPARING] if labels else [])
        made["metadata"]["labels"] = {**pool, **(labels or {})}
        cluster.api.request("POST", "/api/v1/nodes", {**made, "status": {"capacity": room, "allocatable": room}})
        return name

    def state() -> tuple[str, str]:
        found = cluster.api.get(f"{pods}/p")
        (condition, *_) = [c for c in found["status"].get("conditions", ()) if c["type"] == "PodScheduled"] or [{}]
        return found["spec"].get("nodeName", ""), condition.get("reason", "")

    add("placeholder", {"moorage.dev/placeholder": "true"})
    add("draining", {"autoscaling.cast.ai/draining": "spot-interruption"})
    cluster.api.request("POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    wait_until(lambda: state() == ("", "Unschedulable"), "the scheduler to find no node")
    plain = add("plain")
    wait_until(lambda: state()[0] == plain, "the pod to be put on the node that stays")


def wait_until(probe: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < end, f"waited 60 s for {what}"
        time.sleep(0.2)
