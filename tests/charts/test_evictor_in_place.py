"""The evictor's chart after the closed one, and its definition on a real API server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.charts.paths import collection
from tests.charts.rendering import EVICTOR, Object, notes, render
from tests.charts.test_already_there import on_the_server, owned_by
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

pytestmark = pytest.mark.cluster

CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
STRICT = "fieldValidation=Strict"


@pytest.fixture(scope="module")
def definition(cluster: ClusterHandle) -> Iterator[Object]:
    """The definition, as a Job would have made it: Helm knows nothing of it. Whatever others have left is gone."""
    made = dict(render(EVICTOR).one("CustomResourceDefinition"))
    made["metadata"] = {"name": made["metadata"]["name"]}
    path = f"{collection(made)}/{made['metadata']['name']}"
    if there(cluster, path):
        cluster.api.request("DELETE", path)
        until(lambda: not there(cluster, path) and not there(cluster, CONFIGS), "the definition of others to be gone")
    created = cluster.api.request("POST", collection(made), made)
    until(lambda: there(cluster, CONFIGS), "EvictorConfig to be served")
    yield created
    cluster.api.request("DELETE", path)


def there(cluster: ClusterHandle, path: str) -> bool:
    try:
        cluster.api.get(path)
    except ApiError:
        return False
    return True


def until(probe: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < end, f"waited 60 s for {what}"
        time.sleep(0.2)


def config(**spec: Any) -> Object:
    return {
        "apiVersion": "autoscaling.cast.ai/v1alpha1",
        "kind": "EvictorConfig",
        "metadata": {"name": "evictor-config"},
        "spec": spec,
    }


RULES = [
    {
        "podSelector": {"namespace": "default", "kind": "Job", "labelSelector": {"matchLabels": {"some.label": "x"}}},
        "settings": {"aggressive": True},
    },
    {
        "nodeSelector": {
            "labelSelector": {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["b"]},
                    {"key": "c", "operator": "Exists"},
                ]
            }
        },
        "settings": {"removalDisabled": True, "disposable": False},
    },
]
PUBLISHED = config(
    managementMode="self-managed",
    enabled=True,
    config={
        "aggressiveMode": False,
        "cycleInterval": "1m",
        "dryRun": False,
        "softTainting": True,
        "pricingModel": {"baseCPUCost": "7.0", "baseMemCost": 1, "spotDiscount": "500m"},
    },
    evictionRules=RULES,
)


@pytest.mark.usefixtures("definition")
def test_a_published_resource_is_taken_to_the_letter_and_stays_as_it_is(cluster: ClusterHandle) -> None:
    created = cluster.api.request("POST", f"{CONFIGS}?dryRun=All&{STRICT}", PUBLISHED)
    assert created["spec"] == PUBLISHED["spec"], "no default is filled in: what is not said is said by the values"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"config": {"targetNodePercentage": 300}}, "spec.config.targetNodePercentage"),
    ({"config": {"cycleInterval": "0s"}}, "spec.config.cycleInterval"),
    ({"config": {"nodeGracePeriodMinutes": -1}}, "spec.config.nodeGracePeriodMinutes"),
    ({"config": {"maxNodesToEvictPerCycle": 1}}, 'unknown field "spec.config.maxNodesToEvictPerCycle"'),
    ({"evictionRules": [{"settings": {"aggressive": True}}]}, "exactly one of podSelector, nodeSelector"),
    ({"evictionRules": [{**RULES[0], **RULES[1]}]}, "exactly one of podSelector, nodeSelector"),
    (
        {
            "evictionRules": [
                {
                    "nodeSelector": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
                    "settings": {"aggressive": True},
                }
            ]
        },
        "In and NotIn need values",
    ),
]


@pytest.mark.usefixtures("definition")
@pytest.mark.parametrize(("spec", "words"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_what_cannot_be_is_refused_with_its_path(spec: dict[str, Any], words: str, cluster: ClusterHandle) -> None:
    with pytest.raises(ApiError) as caught:
        cluster.api.request("POST", f"{CONFIGS}?dryRun=All&{STRICT}", config(**spec))
    assert words in str(caught.value)


@pytest.mark.usefixtures("definition")
def test_its_status_is_written_apart_from_it(cluster: ClusterHandle) -> None:
    created = cluster.api.request("POST", CONFIGS, config())
    status = {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": "InForce", "message": ""}],
        "lastCycle": {
            "time": "2026-11-22T01:03:12Z",
            "nodes": 12,
            "candidates": 4,
            "chosen": [{"node": "n-1", "price": 0.5, "pods": ["shop/web-1"]}],
            "freed": 0.5,
            "unit": "money",
            "cutOff": False,
            "held": {"SINGLE_REPLICA": 3},
        },
        "evictions": {"uid-1": ["2026-11-22T01:03:12+00:00"]},
    }
    path = f"{CONFIGS}/evictor-config"
    written = cluster.api.request("PUT", f"{path}/status?{STRICT}", {**created, "status": status})
    assert written["status"] == status
    assert written["metadata"]["generation"] == 1
    cluster.api.request("DELETE", path)


def test_a_release_of_the_closed_chart_is_upgraded_and_its_definition_left_alone(
    cluster: ClusterHandle, namespace: str, definition: Object
) -> None:
    options = on_the_server(cluster, namespace)
    place = f"{collection(definition)}/{definition['metadata']['name']}"
    closed = owned_by(render(EVICTOR, namespace=namespace).one("Deployment"), EVICTOR, namespace)
    container = {"name": EVICTOR, "image": "registry.invalid/x", "env": [{"name": "DRY_RUN", "value": "false"}]}
    closed["spec"]["template"]["spec"] = {"containers": [container]}
    cluster.api.request("POST", collection(closed), {**closed, "spec": {**closed["spec"], "replicas": 0}})
    said = notes(EVICTOR, options=options)
    assert "What was installed here before did evict: its dryRun was false. From now on nobody empties nodes." in said
    assert "may keep its cordon" not in said
    assert "What was installed here before" not in notes(EVICTOR, {"dryRun": False}, options=options)
    assert "evictorconfigs.autoscaling.cast.ai is there already and is not this release's: it stays as it is." in said
    assert "It has no status" not in said
    assert "stays, and with it every EvictorConfig" not in said

    without = {"spec": {"versions": [{**definition["spec"]["versions"][0], "subresources": None}]}}
    cluster.api.request("PATCH", place, without, "application/merge-patch+json")
    assert "It has no status for v1alpha1" in notes(EVICTOR, options=options)

    ours = {
        "metadata": owned_by({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}, EVICTOR, namespace)[
            "metadata"
        ]
    }
    cluster.api.request("PATCH", place, ours, "application/merge-patch+json")
    assert "stays, and with it every EvictorConfig" in notes(EVICTOR, options=options)


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_an_evictor_of_ours_may_leave_behind_is_said_when_it_is_turned_off(
    cluster: ClusterHandle, namespace: str, dry_run: bool
) -> None:
    options = on_the_server(cluster, namespace)
    made = owned_by(render(EVICTOR, {"dryRun": dry_run}, namespace=namespace).one("Deployment"), EVICTOR, namespace)
    cluster.api.request("POST", collection(made), {**made, "spec": {**made["spec"], "replicas": 0}})
    said = notes(EVICTOR, options=options)
    assert ("What was installed here before did evict" in said) is not dry_run
    assert ("may keep its cordon and the annotation moorage.dev/drain" in said) is not dry_run
    assert "To turn it on, once you have seen what it finds" in said
