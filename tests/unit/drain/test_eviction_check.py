"""Whether one more pod may be evicted now: budgets and floors of the whole cluster, and writes not yet in a watch."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.drain import ClusterState, Reason
from moorage.drain.eviction_check import EvictionCheck
from moorage.drain.floor import available
from moorage.objects import Pod
from moorage.objects.selectors import LabelSelector

from .build import NOW, budget, cluster, deployed, owner, pod, rolling, workload

WEB = owner("ReplicaSet", "web-1")


def web(count: int, **last: Any) -> list[Pod]:
    """Pods of one Deployment; the result is that of the last pod."""
    pods = [pod(f"web-{number}", WEB, app="web") for number in range(count - 1)]
    return [*pods, pod(f"web-{count - 1}", WEB, app="web", **last)]


def reason(check: EvictionCheck, of: Pod, *, exempt: bool = False) -> Reason | None:
    found = check.against(of, exempt=exempt)
    return found.reason if found is not None else None


def test_one_may_go_and_the_next_waits_for_its_replacement() -> None:
    pods = web(4)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4)), ())
    assert reason(check, pods[0]) is None
    check.take(pods[0])
    assert reason(check, pods[1]) is Reason.FLOOR
    assert str(check.against(pods[1])) == (
        "its workload would have too few available pods "
        "(shop/web-1: Deployment shop/web would have 2 available pods, and keeps 3)"
    )


@pytest.mark.parametrize(
    "last",
    [{"ready": None}, {"going": True}, {"phase": "Failed"}, {"ready": -3.0}],
    ids=["not ready", "going", "failed", "not for long enough"],
)
def test_a_replacement_counts_only_when_it_is_available(last: dict[str, Any]) -> None:
    pods = web(4, **last)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4, min_ready=10)), ())
    assert reason(check, pods[0]) is Reason.FLOOR


def test_an_eviction_that_the_watch_has_not_shown_counts() -> None:
    pods = web(4)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4)), {"uid-web-3"})
    assert reason(check, pods[0]) is Reason.FLOOR


def test_a_pod_that_serves_nobody_goes_while_the_others_are_enough() -> None:
    assert (
        reason(EvictionCheck(cluster(*(pods := web(4, ready=None)), workloads=deployed("web", 4)), ()), pods[3]) is None
    )
    assert (
        reason(EvictionCheck(cluster(*(pods := web(3, ready=None)), workloads=deployed("web", 4)), ()), pods[2])
        is Reason.FLOOR
    )


def rollout(old: int, new: int) -> tuple[ClusterState, list[Pod]]:
    """An Argo Rollout of which nothing is known but two of its ReplicaSets; no pod of the new one serves yet."""
    top = owner("Rollout", "web", "argoproj.io/v1alpha1")
    makers = [workload("web-1", old, top), workload("web-2", new, top)]
    pods = [pod(f"old-{number}", owner("ReplicaSet", "web-1")) for number in range(old)]
    starting = [pod(f"new-{number}", owner("ReplicaSet", "web-2"), ready=None) for number in range(new)]
    return cluster(*pods, *starting, workloads={"ReplicaSet": {each.key: each for each in makers}}), pods


def test_what_a_rollout_wants_is_what_its_revisions_want_together() -> None:
    seen, pods = rollout(3, 1)
    assert reason(EvictionCheck(seen, ()), pods[0]) is Reason.FLOOR, "one of four is missing already"
    seen, pods = rollout(4, 1)
    assert reason(EvictionCheck(seen, ()), pods[0]) is Reason.FLOOR
    seen, pods = rollout(4, 0)
    check = EvictionCheck(seen, ())
    assert reason(check, pods[0]) is None
    check.take(pods[0])
    assert reason(check, pods[1]) is Reason.FLOOR


def test_a_rollout_is_known_by_any_of_its_revisions() -> None:
    before, pods = rollout(4, 0)
    group = before.group(pods[0])
    assert group is not None
    after = cluster(workloads={"ReplicaSet": {"shop/web-2": before.workloads["ReplicaSet"]["shop/web-2"]}})
    now = after.again(group)
    assert now is not None
    assert (now.uid, now.workload.spec.replicas) == (group.uid, 0)
    assert cluster(workloads={}).again(group) is None


def test_pods_of_all_revisions_of_a_deployment_count_together() -> None:
    workloads = deployed("web", 4)
    old = workload("web-0", 2, owner("Deployment", "web"))
    workloads["ReplicaSet"][old.key] = old
    pods = [*web(2), pod("old-0", owner("ReplicaSet", "web-0")), pod("old-1", owner("ReplicaSet", "web-0"))]
    check = EvictionCheck(cluster(*pods, workloads=workloads), ())
    assert reason(check, pods[3]) is None
    check.take(pods[3])
    assert reason(check, pods[0]) is Reason.FLOOR


@pytest.mark.parametrize(
    ("kind", "version"), [("ReplicaSet", "apps/v1"), ("ReplicationController", "v1"), ("StatefulSet", "apps/v1")]
)
def test_controllers_that_keep_a_number_of_pods(kind: str, version: str) -> None:
    made = workload("db", 3, updateStrategy=rolling(2))
    pods = [pod(f"db-{number}", owner(kind, "db", version)) for number in range(3)]
    check = EvictionCheck(cluster(*pods, workloads={kind: {made.key: made}}), ())
    allowed = 2 if kind == "StatefulSet" else 1
    for each in pods[:allowed]:
        assert reason(check, each) is None
        check.take(each)
    assert reason(check, pods[allowed]) is Reason.FLOOR


@pytest.mark.parametrize(
    "of",
    [None, owner("Job", "j", "batch/v1"), owner("ReplicaSet", "gone"), owner("ReplicaSet", "web-1", "example.com/v1")],
    ids=["nobody", "a Job", "one that is not there", "one of another group"],
)
def test_of_what_no_floor_is_known_nothing_goes_unless_somebody_has_said_so(of: dict[str, Any] | None) -> None:
    one = pod("a", of)
    check = EvictionCheck(cluster(one, workloads=deployed("web", 4)), ())
    assert reason(check, one) is Reason.FLOOR_UNKNOWN
    assert reason(check, one, exempt=True) is None


def test_a_replica_set_whose_deployment_is_not_seen_has_no_known_floor() -> None:
    workloads = deployed("web", 4)
    workloads["Deployment"] = {}
    pods = web(4)
    assert reason(EvictionCheck(cluster(*pods, workloads=workloads), ()), pods[0]) is Reason.FLOOR_UNKNOWN


def test_a_single_replica_goes_only_when_it_is_exempt() -> None:
    pods = web(1)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 1)), ())
    assert reason(check, pods[0]) is Reason.FLOOR
    assert reason(check, pods[0], exempt=True) is None


# --- budgets ---


def test_a_budget_takes_the_place_of_the_strategy_and_one_pod_stays() -> None:
    pods = web(4)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=[budget("b", 0, 4)]), ())
    for each in pods[:3]:
        assert reason(check, each) is None
        check.take(each)
    assert reason(check, pods[3]) is Reason.FLOOR


def test_a_budget_counts_even_for_what_is_exempt() -> None:
    pods = web(4)
    check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=[budget("b", 4, 0)]), ())
    assert reason(check, pods[0], exempt=True) is Reason.BUDGET_SPENT


@pytest.mark.parametrize(
    ("said", "flying", "expected"),
    [
        ({"allowed": 1}, (), None),
        ({"allowed": 0}, (), Reason.BUDGET_SPENT),
        ({"allowed": 2}, ("uid-web-3",), None),
        ({"allowed": 1}, ("uid-web-3",), Reason.BUDGET_SPENT),  # the status is older than our eviction
        ({"allowed": 1, "disrupted": ["web-3"]}, ("uid-web-3",), None),  # it is not
        ({"allowed": 2, "generation": 2}, (), Reason.BUDGET_STALE),
    ],
)
def test_what_a_budget_allows(said: dict[str, Any], flying: tuple[str, ...], expected: Reason | None) -> None:
    pods = web(4)
    budgets = [budget("b", 1, **said)]
    assert (
        reason(EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=budgets), flying), pods[0])
        is expected
    )


def test_unready_pods_go_always_where_their_budget_says_so() -> None:
    pods = web(2, ready=None)
    for policy, expected in (("AlwaysAllow", None), ("IfHealthyBudget", Reason.BUDGET_SPENT)):
        budgets = [budget("b", 2, 0, policy=policy)]
        assert (
            reason(EvictionCheck(cluster(*pods, workloads=deployed("web", 2), budgets=budgets), ()), pods[1])
            is expected
        )


def test_several_budgets_are_for_good_and_what_cannot_be_read_is_no_permission() -> None:
    pods = web(4)
    two = [budget("a", 1, 3), budget("b", 1, 3)]
    assert (
        reason(EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=two), ()), pods[0])
        is Reason.SEVERAL_BUDGETS
    )
    wrong = [budget("a", 1, 3, labels={"not a key!": "x"})]
    assert (
        reason(EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=wrong), ()), pods[0])
        is Reason.FLOOR_UNKNOWN
    )
    unseen = cluster(*pods, workloads=deployed("web", 4), unseen={"PodDisruptionBudget": "may not list them"})
    assert reason(EvictionCheck(unseen, ()), pods[0]) is Reason.FLOOR_UNKNOWN


@pytest.mark.parametrize(
    ("expressions", "selected"),
    [
        ([{"key": "app", "operator": "In", "values": ["web", "api"]}], 5),
        ([{"key": "app", "operator": "NotIn", "values": ["api"]}], 5),
        ([{"key": "app", "operator": "Exists"}, {"key": "tier", "operator": "DoesNotExist"}], 4),
        ([], 6),
    ],
)
def test_all_that_a_budget_selects_counts(expressions: list[dict[str, Any]], selected: int) -> None:
    pods = [*web(4), pod("bare"), pod("other", app="api", tier="back")]
    for desired in (selected - 1, selected):
        found = budget("b", desired, 3)
        selector = msgspec.convert({"matchExpressions": expressions}, LabelSelector)
        found = msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, selector=selector))
        check = EvictionCheck(cluster(*pods, workloads=deployed("web", 4), budgets=[found]), ())
        assert reason(check, pods[0]) is (None if desired < selected else Reason.BUDGET_SPENT)


_pods = st.lists(
    st.tuples(st.sampled_from((None, -60.0, -5.0, -1.0)), st.booleans(), st.booleans()), min_size=1, max_size=10
)


@given(
    _pods,
    st.integers(0, 10),
    st.sampled_from((0, 1, 3, "25%", "60%")),
    st.sampled_from((0, 4)),
    st.none() | st.integers(0, 8),
)
def test_nothing_that_is_allowed_leaves_less_than_the_floor(
    made: list[tuple[float | None, bool, bool]],
    replicas: int,
    unavailable: int | str,
    min_ready: int,
    desired: int | None,
) -> None:
    """Whatever is allowed one after the other, and whatever of it no watch has shown: the floor stands."""
    pods = [pod(f"w{n}", WEB, ready=ready, going=going, app="web") for n, (ready, going, _) in enumerate(made)]
    flying = {each.metadata.uid for each, (_, _, flies) in zip(pods, made, strict=True) if flies}
    workloads = deployed("web", replicas, unavailable, min_ready)
    budgets = [] if desired is None else [budget("b", desired, 10)]
    check = EvictionCheck(cluster(*pods, workloads=workloads, budgets=budgets), flying)
    gone = set(flying)
    for each in pods:
        if each.metadata.uid in gone or check.against(each) is not None:
            continue
        check.take(each)
        gone.add(each.metadata.uid)
        left = [one for one in pods if one.metadata.uid not in gone and available(one, min_ready, NOW)]
        top = workloads["Deployment"]["shop/web"].spec
        away = int(unavailable[:-1]) * replicas // 100 if isinstance(unavailable, str) else unavailable
        assert len(left) >= (max(1, (top.replicas or 0) - max(1, away)) if desired is None else max(1, desired))
