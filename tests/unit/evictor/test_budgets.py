"""PodDisruptionBudgets: evictions that the API server would always refuse, and those that it refuses only now."""

from __future__ import annotations

import pytest

from moorage.evictor.candidates import Stance
from tests.unit.evictor.build import Json, budget, controller, judged_pod, merged, names, owner, pod

RS = owner("ReplicaSet", "web-1")
WEB = pod(of=RS)
THREE = controller("ReplicaSet", "web-1", spec={"replicas": 3})
DISPOSABLE = {"metadata": {"annotations": {"autoscaling.cast.ai/disposable": "true"}}}
UNREADY: Json = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
SELECTS = {"matchLabels": {"app": "web"}}
NONE_NOW: Json = {"disruptionsAllowed": 0, "currentHealthy": 2}


@pytest.mark.parametrize(
    ("budgets", "reason", "says"),
    [
        pytest.param([budget()], "", "", id="allows one"),
        pytest.param([budget(**NONE_NOW)], "BUDGET_SPENT", "web: 2 healthy, 2 wanted", id="allows none now"),
        pytest.param([budget(), budget("other")], "SEVERAL_BUDGETS", "other, web", id="two"),
        pytest.param(
            [budget(spec={"selector": SELECTS, "maxUnavailable": 0}, disruptionsAllowed=0, desiredHealthy=3)],
            *("BUDGET_IMPOSSIBLE", "maxUnavailable: 0"),
            id="maxUnavailable: 0",
        ),
        pytest.param(
            [budget(spec={"selector": SELECTS, "maxUnavailable": "0%"}, generation=2)],
            *("BUDGET_IMPOSSIBLE", "maxUnavailable: 0%"),
            id="maxUnavailable: 0%, whatever an old status says",
        ),
        pytest.param(
            [budget(spec={"selector": SELECTS, "minAvailable": "100%"}, observedGeneration=0)],
            *("BUDGET_IMPOSSIBLE", "minAvailable: 100%"),
            id="minAvailable: 100%",
        ),
        pytest.param(
            [budget(spec={"selector": SELECTS, "minAvailable": 3}, disruptionsAllowed=0, desiredHealthy=3)],
            *("BUDGET_IMPOSSIBLE", "3 of 3 pods must be available"),
            id="minAvailable of all its pods",
        ),
        pytest.param(
            [budget(spec={"selector": SELECTS, "minAvailable": 3}, disruptionsAllowed=0, expectedPods=0)],
            *("BUDGET_SPENT", "web"),
            id="no pods expected: the controllers could not be counted",
        ),
        pytest.param([budget(generation=2)], "BUDGET_STALE", "older version", id="a status of an older version"),
        pytest.param([budget(observedGeneration=0)], "BUDGET_STALE", "older version", id="no status yet"),
        pytest.param([budget(spec={"selector": {}, "maxUnavailable": 1}, **NONE_NOW)], "BUDGET_SPENT", "", id="of all"),
        pytest.param([budget(spec={"selector": None, "maxUnavailable": 0})], "", "", id="no selector: selects none"),
        pytest.param(
            [budget(spec={"selector": {"matchLabels": {"app": "db"}}, "maxUnavailable": 0})], "", "", id="of others"
        ),
        pytest.param(
            [merged(budget(**NONE_NOW), {"metadata": {"namespace": "elsewhere"}})], "", "", id="of another namespace"
        ),
        pytest.param(
            [budget(spec={"selector": {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["w"]}]}})],
            *("BUDGET_UNSEEN", "PodDisruptionBudget shop/web: spec.selector.matchExpressions[0].operator: 'Like'"),
            id="a selector that means nothing",
        ),
        pytest.param(
            [merged(budget(), {"spec": {"maxUnavailable": ["1"]}})],
            *("BUDGET_UNSEEN", "PodDisruptionBudget shop/web: spec.maxUnavailable"),
            id="a field that cannot be read",
        ),
    ],
)
def test_budgets(budgets: list[Json], reason: str, says: str) -> None:
    found = judged_pod(WEB, THREE, *budgets)
    assert names(found) == [reason or "REPLICATED"]
    assert says in str(found.findings[0])
    disposable = judged_pod(merged(WEB, DISPOSABLE), THREE, *budgets)
    assert names(disposable) == [reason or "DISPOSABLE"], "the API server asks no rule of ours"


def test_pods_that_do_not_run_yet_need_no_budget() -> None:
    starting = merged(WEB, {"status": {"phase": "Pending"}})
    assert judged_pod(starting, THREE, budget(), budget("other")).stance is Stance.MOVES
    assert judged_pod(starting, THREE, unseen={"PodDisruptionBudget": "may not list"}).stance is Stance.MOVES


@pytest.mark.parametrize(
    ("health", "unhealthy", "reason"),
    [
        pytest.param({"currentHealthy": 2}, "IfHealthyBudget", "REPLICATED", id="the others are enough"),
        pytest.param({"currentHealthy": 2}, "", "REPLICATED", id="which is the default"),
        pytest.param({"currentHealthy": 1}, "IfHealthyBudget", "BUDGET_SPENT", id="the others are too few"),
        pytest.param({"currentHealthy": 1}, "AlwaysAllow", "REPLICATED", id="pods that are not ready may always go"),
    ],
)
def test_pods_that_are_not_ready(health: Json, unhealthy: str, reason: str) -> None:
    spent = budget(disruptionsAllowed=0, **health)
    spent["spec"]["unhealthyPodEvictionPolicy"] = unhealthy
    assert names(judged_pod(merged(WEB, UNREADY), THREE, spent)) == [reason]
    assert names(judged_pod(WEB, THREE, spent)) == ["BUDGET_SPENT"]


def test_a_budget_that_can_never_be_met_and_pods_that_are_not_ready() -> None:
    never = budget(spec={"selector": SELECTS, "maxUnavailable": 0}, desiredHealthy=3, currentHealthy=2)
    assert names(judged_pod(merged(WEB, UNREADY), THREE, never)) == ["BUDGET_IMPOSSIBLE"]
    never["status"]["currentHealthy"] = 3
    assert names(judged_pod(merged(WEB, UNREADY), THREE, never)) == ["REPLICATED"], "one more than are wanted"
    never["status"]["currentHealthy"] = 2
    never["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    assert names(judged_pod(merged(WEB, UNREADY), THREE, never)) == ["REPLICATED"]
    assert names(judged_pod(WEB, THREE, never)) == ["BUDGET_IMPOSSIBLE"]
