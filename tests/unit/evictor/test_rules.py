"""The advanced rules: the matched pods and nodes, each setting's effect, and precedence."""

from __future__ import annotations

import pytest

from moorage.evictor.candidates import Stance
from tests.unit.evictor.build import Json, controller, judged, judged_pod, names, node, owner, pod, policy

RS, STS, JOB, DS = (
    owner(kind, name)
    for kind, name in (("ReplicaSet", "web-1"), ("StatefulSet", "db"), ("Job", "batch"), ("DaemonSet", "logs"))
)
DEPLOYMENT, CRON_JOB = owner("Deployment", "web"), owner("CronJob", "nightly")
WEB = (
    pod(of=RS),
    controller("ReplicaSet", "web-1", of=DEPLOYMENT, spec={"replicas": 3}),
    controller("Deployment", "web", spec={"replicas": 3}),
)
SINGLE = (pod(of=RS), controller("ReplicaSet", "web-1", spec={"replicas": 1}))
DB = (pod(of=STS), controller("StatefulSet", "db", spec={"replicas": 3}))
BATCH = (pod(of=JOB), controller("Job", "batch", of=CRON_JOB), controller("CronJob", "nightly"))
KEEP: Json = {"removalDisabled": {"enabled": True}}


def about_pods(settings: Json, **selector: object) -> Json:
    return {"podSelector": selector, "settings": settings}


def about_nodes(settings: Json, **labels: str) -> Json:
    return {"nodeSelector": {"labelSelector": {"matchLabels": labels}}, "settings": settings}


def expression(operator: str, *values: str, key: str = "app") -> Json:
    return {"labelSelector": {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}}


@pytest.mark.parametrize(
    ("selector", "things", "matches"),
    [
        ({"namespace": "shop"}, WEB, True),
        ({"namespace": "bank"}, WEB, False),
        ({"kind": "ReplicaSet"}, WEB, True),
        ({"kind": "Deployment"}, WEB, True),
        ({"kind": "StatefulSet"}, WEB, False),
        ({"kind": "StatefulSet"}, DB, True),
        ({"kind": "Job"}, BATCH, True),
        ({"kind": "CronJob"}, BATCH, True),
        ({"kind": "Job", "replicasMin": 2}, BATCH, False),
        (
            {"kind": "Job", "replicasMin": 2},
            (pod(of=JOB), controller("Job", "batch", spec={"parallelism": 2, "completions": 9})),
            True,
        ),
        ({"kind": "Rollout"}, (pod(of=RS), controller("ReplicaSet", "web-1", of=owner("Rollout", "web"))), True),
        ({"kind": "Pod"}, (pod(),), True),
        ({"kind": "Pod"}, WEB, False),
        ({"replicasMin": 3}, WEB, True),
        ({"replicasMin": 4}, WEB, False),
        ({"replicasMin": 3}, DB, True),
        ({"replicasMin": 0}, (pod(),), True),
        ({"replicasMin": None, "kind": "Deployment"}, WEB, True),
        ({"labelSelector": {"matchLabels": {"app": "web"}}}, WEB, True),
        ({"labelSelector": {"matchLabels": {"app": "web", "tier": "front"}}}, WEB, False),
        ({"labelSelector": {}, "kind": "Deployment"}, WEB, True),
        (expression("In", "web", "api"), WEB, True),
        (expression("In", "api"), WEB, False),
        (expression("NotIn", "api"), WEB, True),
        (expression("NotIn", "web"), WEB, False),
        (expression("NotIn", "api", key="tier"), WEB, True),
        (expression("Exists"), WEB, True),
        (expression("Exists", key="tier"), WEB, False),
        (expression("DoesNotExist"), WEB, False),
        (expression("DoesNotExist", key="tier"), WEB, True),
        ({"namespace": "shop", "kind": "Deployment", "replicasMin": 2, **expression("Exists")}, WEB, True),
        ({"namespace": "shop", "kind": "Deployment", "replicasMin": 2, **expression("DoesNotExist")}, WEB, False),
    ],
)
def test_which_pods_a_rule_matches(selector: Json, things: tuple[Json, ...], matches: bool) -> None:
    found = judged_pod(*things, settings=policy(about_pods(KEEP, **selector)))
    assert ("RULE_REMOVAL_DISABLED" in names(found)) == matches


@pytest.mark.parametrize("spelling", [True, {"enabled": True}], ids=["resource", "file"])
def test_both_spellings(spelling: object) -> None:
    keep = policy(about_pods({"removalDisabled": spelling}, namespace="shop"))
    aggressive = policy(about_pods({"aggressive": spelling}, namespace="shop"))
    disposable = policy(about_pods({"disposable": spelling}, namespace="shop"))
    assert names(judged_pod(*WEB, settings=keep)) == ["RULE_REMOVAL_DISABLED"]
    assert names(judged_pod(*SINGLE, settings=aggressive)) == ["AGGRESSIVE_REPLICA"]
    assert names(judged_pod(*DB, settings=aggressive)) == ["STATEFUL_SET"]
    assert names(judged_pod(*DB, settings=disposable)) == ["DISPOSABLE"]


@pytest.mark.parametrize("no", [False, {"enabled": False}], ids=["resource", "file"])
def test_a_rule_that_says_no_makes_an_exception_from_those_below_it_and_from_the_mode(no: object) -> None:
    everything: Json = {"removalDisabled": True, "disposable": True, "aggressive": True}
    rules = (
        about_pods(dict.fromkeys(everything, no), labelSelector={"matchLabels": {"app": "web"}}),
        about_pods(everything, namespace="shop"),
    )
    assert names(judged_pod(*SINGLE, settings=policy(*rules))) == ["SINGLE_REPLICA"]
    assert names(judged_pod(*SINGLE, settings=policy(*rules, aggressive=True))) == ["SINGLE_REPLICA"]
    assert names(judged_pod(*SINGLE, settings=policy(*reversed(rules)))) == ["RULE_REMOVAL_DISABLED"]


def test_each_setting_is_decided_by_the_first_rule_that_says_something_about_it() -> None:
    settings = policy(
        about_pods({"removalDisabled": False}, namespace="shop"),
        about_pods({"disposable": True}, namespace="shop"),
        about_pods({"removalDisabled": True}, namespace="shop"),
    )
    found = judged_pod(*DB, settings=settings)
    assert names(found) == ["DISPOSABLE"]
    assert "evictionConfig[1]" in str(found.findings[0])


def mark(key: str) -> Json:
    return {"annotations": {f"autoscaling.cast.ai/{key}": "true"}}


@pytest.mark.parametrize(
    ("annotated", "rule", "global_mode", "expected"),
    [
        ("removal-disabled", {"disposable": True}, True, "REMOVAL_DISABLED"),
        ("removal-disabled", {"removalDisabled": False}, True, "REMOVAL_DISABLED"),
        ("disposable", {"removalDisabled": True}, True, "RULE_REMOVAL_DISABLED"),
        ("disposable", {"aggressive": False}, False, "DISPOSABLE"),
        ("disposable", {"disposable": False}, False, "DISPOSABLE"),
        ("", {"removalDisabled": True, "disposable": True, "aggressive": True}, True, "RULE_REMOVAL_DISABLED"),
        ("", {"disposable": True, "aggressive": False}, False, "DISPOSABLE"),
        ("", {"aggressive": True}, False, "AGGRESSIVE_REPLICA"),
        ("", {"aggressive": False}, True, "SINGLE_REPLICA"),
        ("", {}, True, "AGGRESSIVE_REPLICA"),
        ("", {}, False, "SINGLE_REPLICA"),
    ],
)
def test_precedence(annotated: str, rule: Json, global_mode: bool, expected: str) -> None:
    rules = [about_pods(rule, namespace="shop")] if rule else []
    single = pod(of=RS, metadata=mark(annotated) if annotated else {})
    found = judged_pod(single, SINGLE[1], settings=policy(*rules, aggressive=global_mode))
    assert names(found)[0] == expected


def test_force_disposable_counts_as_disposable_and_breaks_no_protection() -> None:
    forced = policy(about_pods({"forceDisposable": True}, namespace="shop"))
    assert names(judged_pod(*DB, settings=forced)) == ["DISPOSABLE"]
    protected = pod(of=STS, metadata=mark("removal-disabled"))
    assert names(judged_pod(protected, DB[1], settings=forced)) == ["REMOVAL_DISABLED"]
    for settings in ({"forceDisposable": False}, {"forceDisposable": True, "disposable": False}):
        found = judged_pod(*DB, settings=policy(about_pods(settings, namespace="shop")))
        assert names(found) == ["STATEFUL_SET"]


def test_rules_about_nodes() -> None:
    pool, other = node(metadata={"labels": {"pool": "db"}}), node(metadata={"labels": {"pool": "web"}})
    keep = policy(about_nodes(KEEP, pool="db"))
    for things in (WEB, ()):
        found = judged(pool, *things, settings=keep)
        assert (names(found), found.may_go, found.receives) == (["NODE_RULE_REMOVAL_DISABLED"], False, True)
        assert judged(other, *things, settings=keep).may_go
    assert all(each.stance is Stance.MOVES for each in judged(pool, *WEB, settings=keep).pods), "it is about the node"
    aggressive, disposable = (policy(about_nodes({each: True}, pool="db")) for each in ("aggressive", "disposable"))
    assert judged(pool, *SINGLE, settings=aggressive).may_go
    assert not judged(other, *SINGLE, settings=aggressive).may_go
    assert judged(pool, *DB, settings=disposable).may_go
    assert not judged(other, *DB, settings=disposable).may_go
    assert judged(pool, settings=policy(about_nodes({"removalDisabled": False}, pool="db"))).may_go


def test_rules_about_nodes_and_pods_stand_in_one_order() -> None:
    pool = node(metadata={"labels": {"pool": "db"}})
    rules = about_pods({"disposable": False}, namespace="shop"), about_nodes({"disposable": True}, pool="db")
    assert names(judged(pool, *DB, settings=policy(*rules)).pods[0]) == ["STATEFUL_SET"]
    assert names(judged(pool, *DB, settings=policy(*reversed(rules))).pods[0]) == ["DISPOSABLE"]


def test_rules_do_not_reach_pods_that_belong_to_their_node_or_have_ended() -> None:
    """A rule that keeps all of kube-system would else keep every node, for the DaemonSets in it."""
    keep = policy(about_pods(KEEP, namespace="shop"))
    for things in ((pod(of=DS),), (pod(of=owner("Node", "n1")),), (pod(status={"phase": "Succeeded"}),)):
        assert judged(*things, settings=keep).may_go


@pytest.mark.parametrize(("setting", "matches"), [("removalDisabled", True), ("disposable", False)])
def test_where_nobody_says_how_many_replicas_there_are_only_protection_counts(setting: str, matches: bool) -> None:
    clones = pod(of=owner("CloneSet", "web", "apps.kruise.io/v1alpha1"))
    found = judged_pod(clones, settings=policy(about_pods({setting: True}, kind="CloneSet", replicasMin=2)))
    reason = {"removalDisabled": "RULE_REMOVAL_DISABLED", "disposable": "DISPOSABLE"}[setting]
    assert (reason in names(found)) == matches
