"""The published rules, line by line: pods that hold their node, pods that may be evicted, and overrides."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.evictor.candidates import Stance
from tests.unit.evictor.build import Json, budget, controller, judged, judged_pod, names, node, owner, pod, policy

REMOVAL, EVICTION = "autoscaling.cast.ai/removal-disabled", "beta.evictor.cast.ai/eviction-disabled"
DISPOSABLE, OLD_DISPOSABLE = "autoscaling.cast.ai/disposable", "beta.evictor.cast.ai/disposable"
AGGRESSIVE = policy(aggressive=True)

RS, RC = owner("ReplicaSet", "web-1"), owner("ReplicationController", "old")
STS, JOB, DS = owner("StatefulSet", "db"), owner("Job", "batch"), owner("DaemonSet", "logs")
DEPLOYMENT = owner("Deployment", "web")


def replicas(count: int | None, kind: str = "ReplicaSet", name: str = "web-1", of: Json | None = None) -> Json:
    return controller(kind, name, of=of, spec={"replicas": count})


WEB, SINGLE = (pod(of=RS), replicas(2)), (pod(of=RS), replicas(1))
DB = (pod(of=STS), replicas(3, "StatefulSet", "db"))
BATCH = (pod(of=JOB), controller("Job", "batch"))
LOGS = (pod(of=DS), controller("DaemonSet", "logs"))
BARE = (pod(),)
STATIC = pod(of=owner("Node", "n1"), metadata={"annotations": {"kubernetes.io/config.mirror": "x"}})


@pytest.mark.parametrize(
    ("things", "stance", "reason", "aggressive_stance", "aggressive_reason"),
    [
        pytest.param(WEB, "moves", "REPLICATED", "moves", "REPLICATED", id="a ReplicaSet of two"),
        pytest.param(
            (pod(of=RC), replicas(2, "ReplicationController", "old")),
            *("moves", "REPLICATED", "moves", "REPLICATED"),
            id="a ReplicationController of two",
        ),
        pytest.param(
            (pod(of=RS), replicas(1, of=DEPLOYMENT), replicas(3, "Deployment", "web")),
            *("moves", "REPLICATED", "moves", "REPLICATED"),
            id="a Deployment of three, whatever its ReplicaSet has by now",
        ),
        pytest.param(
            (pod(of=RS), replicas(2, of=DEPLOYMENT), replicas(1, "Deployment", "web")),
            *("holds", "SINGLE_REPLICA", "moves", "AGGRESSIVE_REPLICA"),
            id="a Deployment of one, although its ReplicaSet has two",
        ),
        pytest.param(
            (pod(of=RS), replicas(2, of=owner("Rollout", "web", "argoproj.io/v1alpha1"))),
            *("moves", "REPLICATED", "moves", "REPLICATED"),
            id="a ReplicaSet counts whoever owns it",
        ),
        pytest.param(
            (pod(of=RS), replicas(2, of=DEPLOYMENT)),
            *("moves", "REPLICATED", "moves", "REPLICATED"),
            id="a ReplicaSet whose Deployment is gone",
        ),
        pytest.param(SINGLE, "holds", "SINGLE_REPLICA", "moves", "AGGRESSIVE_REPLICA", id="a single replica"),
        pytest.param(
            (pod(of=RS), replicas(None)),
            *("holds", "SINGLE_REPLICA", "moves", "AGGRESSIVE_REPLICA"),
            id="no replicas said: the default is one",
        ),
        pytest.param(
            (pod(of=RS), replicas(0)),
            *("holds", "SINGLE_REPLICA", "moves", "AGGRESSIVE_REPLICA"),
            id="a ReplicaSet scaled to none",
        ),
        pytest.param(DB, "holds", "STATEFUL_SET", "holds", "STATEFUL_SET", id="a StatefulSet"),
        pytest.param(BARE, "holds", "BARE_POD", "holds", "BARE_POD", id="a bare pod"),
        pytest.param(
            (pod(metadata={"ownerReferences": [{**RS, "controller": False}]}), replicas(2)),
            *("holds", "BARE_POD", "holds", "BARE_POD"),
            id="an owner that is no controller",
        ),
        pytest.param(BATCH, "holds", "JOB", "moves", "AGGRESSIVE_JOB", id="a Job"),
        pytest.param((STATIC,), "stays", "STATIC_POD", "stays", "STATIC_POD", id="a static pod"),
        pytest.param(
            (pod(of=owner("Node", "n1")),), "stays", "STATIC_POD", "stays", "STATIC_POD", id="a static pod by its owner"
        ),
        pytest.param(LOGS, "stays", "DAEMON_SET", "stays", "DAEMON_SET", id="a DaemonSet"),
        pytest.param((pod(of=DS),), "stays", "DAEMON_SET", "stays", "DAEMON_SET", id="a DaemonSet that is gone"),
        pytest.param(
            (pod(status={"phase": "Succeeded"}),), "stays", "FINISHED", "stays", "FINISHED", id="a completed pod"
        ),
        pytest.param((pod(status={"phase": "Failed"}),), "stays", "FINISHED", "stays", "FINISHED", id="a failed pod"),
        pytest.param(
            (pod(metadata={"deletionTimestamp": "2026-01-01T12:00:30Z"}),),
            *("stays", "TERMINATING", "stays", "TERMINATING"),
            id="a terminating pod",
        ),
        pytest.param(
            (pod(of=owner("CloneSet", "web", "apps.kruise.io/v1alpha1")),),
            *("holds", "OWNER_UNKNOWN", "holds", "OWNER_UNKNOWN"),
            id="a direct owner of an unknown kind",
        ),
        pytest.param(
            (pod(of=owner("ReplicaSet", "web-1", "apps.example.com/v1")), replicas(2)),
            *("holds", "OWNER_UNKNOWN", "holds", "OWNER_UNKNOWN"),
            id="a ReplicaSet of another group",
        ),
        pytest.param(
            (pod(of=RS), controller("ReplicaSet", "web-1", metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})),
            *("holds", "OWNER_ABSENT", "holds", "OWNER_ABSENT"),
            id="a ReplicaSet that is being deleted",
        ),
        pytest.param((pod(of=RS),), "holds", "OWNER_ABSENT", "holds", "OWNER_ABSENT", id="a ReplicaSet that is gone"),
        pytest.param(
            (pod(of={**RS, "uid": "another"}), replicas(2)),
            *("holds", "OWNER_ABSENT", "holds", "OWNER_ABSENT"),
            id="a ReplicaSet that was made anew",
        ),
    ],
)
def test_controllers(
    things: tuple[Json, ...], stance: str, reason: str, aggressive_stance: str, aggressive_reason: str
) -> None:
    found = judged_pod(*things)
    assert (found.stance.value, names(found)) == (stance, [reason])
    found = judged_pod(*things, settings=AGGRESSIVE)
    assert (found.stance.value, names(found)) == (aggressive_stance, [aggressive_reason])


def test_a_node_goes_when_no_pod_holds_it() -> None:
    logs = pod("logs-x", of=DS)
    goes = judged(*WEB, logs)
    assert goes.may_go
    assert not goes.empty
    held = judged(*WEB, logs, pod("alone"))
    assert not held.may_go
    assert [holder.key for holder in held.holders] == ["shop/alone"]
    assert judged(logs, STATIC, pod("done", status={"phase": "Succeeded"})).empty


@pytest.mark.parametrize("key", [REMOVAL, EVICTION])
@pytest.mark.parametrize("place", ["annotations", "labels"])
@pytest.mark.parametrize(
    "things",
    [
        pytest.param(lambda mark: (pod(of=RS, metadata=mark), replicas(2)), id="pod"),
        pytest.param(lambda mark: (pod(of=RS), controller("ReplicaSet", "web-1", metadata=mark)), id="ReplicaSet"),
        pytest.param(
            lambda mark: (pod(of=RS), replicas(2, of=DEPLOYMENT), controller("Deployment", "web", metadata=mark)),
            id="Deployment",
        ),
        pytest.param(lambda mark: (pod(of=JOB), controller("Job", "batch", metadata=mark)), id="Job"),
        pytest.param(
            lambda mark: (
                pod(of=JOB),
                controller("Job", "batch", of=owner("CronJob", "nightly")),
                controller("CronJob", "nightly", metadata=mark),
            ),
            id="CronJob",
        ),
        pytest.param(lambda mark: (pod(of=STS), controller("StatefulSet", "db", metadata=mark)), id="StatefulSet"),
        pytest.param(lambda mark: (pod(metadata=mark),), id="bare pod"),
        pytest.param(lambda mark: (pod(of=DS, metadata=mark),), id="pod of a DaemonSet"),
        pytest.param(lambda mark: (pod(of=DS), controller("DaemonSet", "logs", metadata=mark)), id="DaemonSet"),
        pytest.param(lambda mark: (pod(of=owner("Node", "n1"), metadata=mark),), id="static pod"),
    ],
)
def test_removal_disabled_wherever_people_put_it(things: Any, place: str, key: str) -> None:
    marked = things({place: {key: "true"}})
    disposable_by_rule = policy({"podSelector": {"namespace": "shop"}, "settings": {"disposable": True}})
    for settings in (policy(), AGGRESSIVE, disposable_by_rule):
        found = judged_pod(*marked, settings=settings)
        assert found.stance is Stance.HOLDS
        assert names(found)[0] == "REMOVAL_DISABLED"
    unmarked = judged_pod(*things({place: {key: "false"}}), settings=disposable_by_rule)
    assert unmarked.stance is not Stance.HOLDS


@pytest.mark.parametrize("value", ["yes", "", "True", "1", "enabled"])
def test_a_mark_that_is_no_clear_no_protects(value: str) -> None:
    found = judged_pod(pod(of=RS, metadata={"labels": {REMOVAL: value}}), replicas(2))
    assert names(found) == ["MARK_UNREADABLE"]
    assert f'{REMOVAL}: "{value}"' in str(found.findings[0])


@pytest.mark.parametrize("state", [{"phase": "Succeeded"}, {"phase": "Failed"}])
def test_marks_of_pods_that_have_ended_hold_nothing(state: Json) -> None:
    assert judged_pod(pod(metadata={"annotations": {REMOVAL: "true"}}, status=state)).stance is Stance.STAYS


@pytest.mark.parametrize("key", [DISPOSABLE, OLD_DISPOSABLE])
@pytest.mark.parametrize(
    "things",
    [
        pytest.param(lambda mark: (pod(metadata=mark),), id="bare pod"),
        pytest.param(lambda mark: (pod(of=RS, metadata=mark), replicas(1)), id="single replica"),
        pytest.param(lambda mark: (pod(of=RS, metadata=mark),), id="owner absent"),
        pytest.param(lambda mark: (pod(of=STS, metadata=mark), replicas(3, "StatefulSet", "db")), id="StatefulSet"),
        pytest.param(lambda mark: (pod(of=JOB, metadata=mark), controller("Job", "batch")), id="pod of a Job"),
        pytest.param(lambda mark: (pod(of=JOB), controller("Job", "batch", metadata=mark)), id="Job"),
        pytest.param(lambda mark: (pod(of=owner("CloneSet", "web", "x/v1"), metadata=mark),), id="unknown owner"),
    ],
)
def test_disposable_outweighs_every_guard(things: Any, key: str) -> None:
    found = judged_pod(*things({"annotations": {key: "true"}}))
    assert (found.stance, names(found)) == (Stance.MOVES, ["DISPOSABLE"])
    for value in ("false", "True", "yes"):
        assert names(judged_pod(*things({"annotations": {key: value}}))) != ["DISPOSABLE"]
    assert names(judged_pod(*things({"labels": {key: "true"}}))) != ["DISPOSABLE"], "an annotation, as published"


def test_disposable_of_other_controllers_than_jobs_is_not_asked() -> None:
    mark = {"annotations": {DISPOSABLE: "true"}}
    assert names(judged_pod(pod(of=STS), controller("StatefulSet", "db", metadata=mark))) == ["STATEFUL_SET"]


def test_the_example_manifest_of_the_published_page() -> None:
    found = judged(pod("disposable-pod", metadata={"annotations": {"beta.evictor.cast.ai/disposable": "true"}}))
    assert found.may_go
    assert names(found.pods[0]) == ["DISPOSABLE"]


@pytest.mark.parametrize("key", [REMOVAL, EVICTION])
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_the_published_commands_on_nodes(place: str, key: str) -> None:
    marked = node(metadata={place: {key: "true"}})
    for things in (WEB, ()):
        found = judged(marked, *things)
        assert not found.may_go, "not marked for removal even when it is empty"
        assert names(found) == ["NODE_REMOVAL_DISABLED"]
        assert found.receives
    assert judged(node(metadata={place: {key: "false"}})).may_go
    assert names(judged(node(metadata={place: {key: "yes"}}))) == ["NODE_MARK_UNREADABLE"]


def test_pod_disruption_budgets_are_respected() -> None:
    assert judged(*WEB, budget()).may_go
    assert names(judged_pod(*WEB, budget(disruptionsAllowed=0, currentHealthy=2))) == ["BUDGET_SPENT"]
