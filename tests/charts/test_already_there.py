"""Objects that already exist in the cluster: the charts report them, and refuse before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.paths import collection
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Object, Refused, Values, annotations_of, notes, render
from tools.localcluster import ClusterHandle

pytestmark = pytest.mark.cluster

QUIET: Values = {"crds": {"enabled": False}}  # another test's definition may be on the cluster


def on_the_server(cluster: ClusterHandle, namespace: str) -> tuple[str, ...]:
    """Options of Helm with which templates see the cluster, and nothing is written."""
    return ("--dry-run=server", f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}")


def owned_by(found: Object, release: str, namespace: str) -> Object:
    """The object as a part of a Helm release."""
    notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    meta = {**found["metadata"], "annotations": {**annotations_of(found), **notes}}
    return {**found, "metadata": meta}


def add_deployment(cluster: ClusterHandle, namespace: str, name: str, *, replicas: int, **meta: Any) -> Object:
    """A Deployment of that name with our labels, which runs nothing because no node takes it."""
    made = dict(render(PINNER, namespace=namespace).one("Deployment"))
    made["metadata"] = {"name": name, "namespace": namespace, **meta}
    made["spec"] = {**made["spec"], "replicas": replicas}
    found: Object = cluster.api.request("POST", collection(made), made)
    return found


def test_notes_know_what_runs_beside_the_release(cluster: ClusterHandle, namespace: str) -> None:
    options = on_the_server(cluster, namespace)
    alone = notes(PINNER, QUIET, options=options)
    assert "There is no planner yet" in alone
    assert "castai-cluster-controller" not in alone

    planner = next(each for each in render(PLANNER, namespace=namespace).all("Service"))
    cluster.api.request("POST", collection(planner), planner)
    add_deployment(cluster, namespace, "castai-cluster-controller", replicas=0)
    beside = notes(PINNER, QUIET, options=options)
    assert "It follows moorage-planner in this namespace." in beside
    assert "managedByCASTAI, which is not set, means false here" in beside
    told = notes(PINNER, {**QUIET, "managedByCASTAI": True}, options=options)
    assert "castai-cluster-controller is in this namespace" in told
    assert "moorage/castai-pod-pinner -n " in told
    assert "--reset-then-reuse-values --set managedByCASTAI=false" in told
    assert "castai-cluster-controller" not in notes(PINNER, {**QUIET, "managedByCASTAI": False}, options=options)


@pytest.mark.parametrize(
    ("values", "label"), [({}, "false"), ({"managedByCASTAI": True}, "true"), ({"managedByCASTAI": "false"}, "false")]
)
def test_beside_the_closed_products_controller_unset_means_not_managed(
    values: Values, label: str, cluster: ClusterHandle, namespace: str
) -> None:
    add_deployment(cluster, namespace, "castai-cluster-controller", replicas=0)
    seen = render(PINNER, {**QUIET, **values}, namespace=namespace, options=on_the_server(cluster, namespace))
    unseen = render(PINNER, {**QUIET, **values}, namespace=namespace)
    for rendered, wanted in ((seen, label), (unseen, "true" if not values else label)):
        assert rendered.one("Deployment")["metadata"]["labels"]["charts.cast.ai/managed"] == wanted
        assert rendered.pod["metadata"]["labels"]["charts.cast.ai/managed"] == wanted
        assert rendered.env["MOORAGE_MANAGED"] == wanted


@pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
def test_whatever_belongs_to_another_release_is_refused_before_anything_is_written(
    chart: str, cluster: ClusterHandle, namespace: str
) -> None:
    values = {PINNER: {**QUIET, "castai": {"apiKey": "abc"}}, PLANNER: {}, EVICTOR: QUIET}[chart]
    options = on_the_server(cluster, namespace)
    kinds = set()
    for each in render(chart, values, namespace=namespace).installed:
        if each["kind"] in kinds:
            continue
        kinds.add(each["kind"])
        path = f"{collection(each)}/{each['metadata']['name']}"
        cluster.api.request("POST", collection(each), owned_by(each, "castai", namespace))
        try:
            with pytest.raises(Refused) as caught:
                notes(chart, values, options=options)
        finally:
            cluster.api.request("DELETE", path)
        place = "/".join(filter(None, (each["metadata"].get("namespace"), each["metadata"]["name"])))
        said = str(caught.value)
        assert f"{each['kind']} {place} belongs to release castai of namespace {namespace}" in said
        assert f"helm upgrade castai moorage/{chart} -n {namespace} --reset-then-reuse-values" in said
    assert {"Deployment", "ServiceAccount", "ClusterRole", "RoleBinding"} <= kinds
    assert ("ConfigMap" if chart == EVICTOR else "Secret") in kinds
    assert f"Deployment {chart} in namespace {namespace}" in notes(chart, values, options=options)


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"app.kubernetes.io/name": PINNER, "app.kubernetes.io/instance": "castai"}, {}),
        (
            {"app.kubernetes.io/name": PINNER, "app.kubernetes.io/instance": PINNER},
            {"global": {"nameOverride": "other"}},
        ),
    ],
)
def test_a_selector_that_would_change_is_refused_before_anything_is_written(
    labels: dict[str, str], values: Values, cluster: ClusterHandle, namespace: str
) -> None:
    made = dict(render(PINNER, namespace=namespace).one("Deployment"))
    made["spec"] = {**made["spec"], "replicas": 0, "selector": {"matchLabels": labels}}
    made["spec"]["template"] = {**made["spec"]["template"], "metadata": {"labels": labels}}
    cluster.api.request("POST", collection(made), made)
    with pytest.raises(Refused, match="a selector cannot be changed") as caught:
        notes(PINNER, {**QUIET, **values}, options=on_the_server(cluster, namespace))
    assert f"kubectl delete deployment castai-pod-pinner -n {namespace}" in str(caught.value)


@pytest.mark.parametrize(
    ("there", "values", "refused"),
    [
        (2, {"replicaCount": 0}, True),
        (3, {"deploy": False}, True),
        (0, {"replicaCount": 0}, False),
        (2, {"replicas": 0}, False),
        (2, {"replicas": 0, "replicaCount": 0}, False),
        (2, {"replicaCount": 1}, False),
        (2, {}, False),
    ],
)
def test_what_runs_is_stopped_only_when_that_is_meant(
    there: int, values: Values, refused: bool, cluster: ClusterHandle, namespace: str
) -> None:
    owner = {"meta.helm.sh/release-name": PINNER, "meta.helm.sh/release-namespace": namespace}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    add_deployment(cluster, namespace, PINNER, replicas=there, annotations=owner, labels=labels)
    options = on_the_server(cluster, namespace)
    if not refused:
        assert f"replicas: {values.get('replicas', values.get('replicaCount', 2))}" in notes(
            PINNER, {**QUIET, **values}, options=options
        )
        return
    with pytest.raises(Refused, match="nobody scales it up later") as caught:
        notes(PINNER, {**QUIET, **values}, options=options)
    said = str(caught.value)
    assert f"Deployment {namespace}/castai-pod-pinner runs {there} replicas" in said
    way_out = said.partition("--reset-then-reuse-values --set ")[2].partition(";")[0]
    assert f"replicas: {there}" in notes(PINNER, {**QUIET, **values}, options=(*options, "--set", way_out))
    meant = (*options, "--set", "replicas=0")
    assert "NOTHING RUNS" in notes(PINNER, {**QUIET, **values}, options=meant)
