"""The chosen nodes, the new nodes of their pods, and the reasons for the other nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moorage.evictor.compaction import History, Settings, choose
from moorage.objects import Node
from tests.unit.evictor.build import NOW, Json, budget, controller, merged, owner, pod

from .build import ALL, chosen, cluster, moves, replica, replica_set, room, why

HALF = [room("n1"), room("n2"), replica("a", "n1"), replica("b", "n2"), replica_set(replicas=2)]
"""Two nodes that are both nearly empty."""
STAYS = [
    replica("twin", "n2", "0", metadata={"creationTimestamp": "2025-01-01T00:00:00Z"}),
    replica_set(replicas=2),
    replica("stays", "n2", "0", of="one"),
    replica_set("one", 1),
]
"""The second replica of every other workload, on n2, which may not be emptied."""


def test_the_pods_of_one_node_go_to_the_other() -> None:
    plan = chosen(*HALF)
    assert moves(plan) == {"n1": {"a": "n2"}}
    assert why(plan, "n2") == ["TARGET"]
    assert (plan.moved, plan.cut_off) == (1, False)


def test_pods_must_all_fit_at_the_same_time() -> None:
    nodes = [room(f"n{number}") for number in range(4)]
    pods = [replica(f"p{number}", f"n{number}", cpu="2") for number in range(4)]
    plan = chosen(*nodes, *pods, replica_set(replicas=4))
    assert len(plan.chosen) == 2, "each pod for itself would fit on any other node"
    assert len({target for of in moves(plan).values() for target in of.values()}) == 2


def test_what_fits_nowhere_keeps_its_node_and_says_why() -> None:
    pods = [replica("a", "n1", "2"), replica("b", "n2"), replica_set(replicas=2)]
    assert moves(chosen(room("n1"), room("n2", cpu="1"), *pods)) == {"n2": {"b": "n1"}}
    pods = [replica(f"p{number}", f"n{number}", "3") for number in range(1, 5)]
    kept = chosen(*(room(f"n{number}") for number in range(1, 5)), *pods, replica_set(replicas=4)).kept
    assert [str(found) for found in kept["n1"]] == [
        "its pods do not all fit elsewhere, once those of the chosen nodes have moved (n2, which has most room: the "
        "node has too little left of a resource that the pod requests (resources.requests[cpu]: cpu: 3000 needed, 1000 "
        "free of 4000 (thousandths)))"
    ]
    assert [found.pod for found in kept["n1"]] == ["shop/p1"]
    few = [replica("a", "n1", "3"), replica("b", "n2", "3"), replica_set(replicas=2)]
    plan = chosen(room("n1"), room("n2"), *few)
    assert [found.detail for found in plan.kept["n1"]] == ["all others together have too little cpu left"]


def test_nodes_that_may_not_go_take_pods_and_say_so() -> None:
    kept = room("n1", metadata={"annotations": {"autoscaling.cast.ai/removal-disabled": "true"}})
    plan = chosen(kept, *HALF[1:])
    assert moves(plan) == {"n2": {"b": "n1"}}
    assert why(plan, "n1") == ["HELD"]


@pytest.mark.parametrize(
    "away",
    [
        pytest.param({"spec": {"unschedulable": True}}, id="cordoned"),
        pytest.param(
            {"spec": {"taints": [{"key": "evictor.cast.ai/evicted", "effect": "PreferNoSchedule"}]}}, id="emptied"
        ),
        pytest.param({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, id="not ready"),
        pytest.param({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}}, id="virtual"),
        pytest.param({"status": {"nodeInfo": {"operatingSystem": "windows"}}}, id="of another system"),
    ],
)
def test_nodes_that_take_no_pods(away: Json) -> None:
    there = [replica("a", "n1"), *STAYS]
    assert moves(chosen(room("n1"), room("n2"), *there)) == {"n1": {"a": "n2"}}
    plan = chosen(room("n1"), merged(room("n2"), away), *there)
    assert not plan.chosen
    assert why(plan, "n1") == ["NO_ROOM"]
    assert plan.kept["n1"][0].detail == "there is no other node for them"


def test_a_node_that_fit_does_not_know_stays() -> None:
    found = cluster(*HALF)
    found.snapshot.delete(Node, "n1")
    plan = choose(found, ALL, History())
    assert (moves(plan), why(plan, "n1")) == ({}, ["UNSEEN"])


def test_empty_nodes_go_without_a_move_and_take_nothing() -> None:
    plan = chosen(*HALF, room("n0", cpu="64"))
    assert moves(plan) == {"n0": {}, "n1": {"a": "n2"}}


def test_pods_of_nodes_stay_with_them() -> None:
    agent = pod("agent", of=owner("DaemonSet", "agent"), on="n1")
    plan = chosen(*HALF, agent, controller("DaemonSet", "agent"))
    assert moves(plan) == {"n1": {"a": "n2"}}


# --- what else wants the room ---


def test_terminating_pods_hold_their_room_until_they_are_gone() -> None:
    going = replica("old", "n2", "3", metadata={"deletionTimestamp": "2026-01-01T12:00:30Z"})
    there = [room("n1"), room("n2"), replica("a", "n1", "2"), *STAYS]
    assert moves(chosen(*there)) == {"n1": {"a": "n2"}}
    assert not chosen(*there, going).chosen


def test_pending_pods_get_their_room_first() -> None:
    waiting = merged(replica("waiting", "", "3", of="other"), {"status": {"phase": "Pending"}})
    there = [room("n1"), room("n2"), replica("a", "n1", "2"), *STAYS]
    assert moves(chosen(*there)) == {"n1": {"a": "n2"}}
    plan = chosen(*there, waiting)
    assert not plan.chosen, "it would come to n2, which stays"
    assert why(plan, "n1") == ["NO_ROOM"]
    gated = merged(waiting, {"spec": {"schedulingGates": [{"name": "example.com/quota"}]}})
    assert moves(chosen(*there, gated)) == {"n1": {"a": "n2"}}, "it does not wait for a node yet"
    huge = merged(replica("huge", "", "9", of="other"), {"status": {"phase": "Pending"}})
    plan = chosen(*there, huge)
    assert (moves(plan), plan.unplaced) == ({"n1": {"a": "n2"}}, ("shop/huge",))


def test_a_node_that_a_pending_pod_needs_stays() -> None:
    waiting = merged(replica("waiting", "", "4", of="other"), {"status": {"phase": "Pending"}})
    plan = chosen(*HALF, room("n3"), waiting, replica_set("other", 1))
    assert moves(plan) == {"n1": {"a": "n2"}}
    assert [(found.reason.name, found.pod) for found in plan.kept["n3"]] == [("WAITING", "shop/waiting")]
    nominated = merged(waiting, {"status": {"nominatedNodeName": "n1"}})
    plan = chosen(*HALF, room("n3"), nominated, replica_set("other", 1))
    assert "n1" not in moves(plan)
    assert why(plan, "n1") == ["WAITING"]


def test_pods_that_controllers_are_to_make_get_their_room() -> None:
    there = [room("n1"), room("n2"), replica("a", "n1", "2"), *STAYS]
    others = [replica("x", "n2", "0", of="other"), replica("y", "n2", "2", of="other")]
    assert moves(chosen(*there, *others, replica_set("other", 2))) == {"n1": {"a": "n2"}}
    assert not chosen(*there, *others, replica_set("other", 3)).chosen, "one more like the youngest is still to come"


def test_pods_that_only_hold_room_free_count_like_all_others() -> None:
    pause = replica("pause", "n2", "3", of="headroom", spec={"priority": -10})
    there = [room("n1"), room("n2"), replica("a", "n1", "2"), *STAYS]
    assert moves(chosen(*there)) == {"n1": {"a": "n2"}}
    assert not chosen(*there, pause, replica_set("headroom", 1)).chosen


def test_nodes_do_not_get_too_full() -> None:
    there = [
        room("n1"),
        room("n2"),
        replica("a", "n1"),
        *STAYS,
        replica("b", "n2", "2", of="two"),
        replica_set("two", 1),
    ]
    assert moves(chosen(*there, settings=replace(ALL, utilisation=0.75))) == {"n1": {"a": "n2"}}
    plan = chosen(*there, settings=replace(ALL, utilisation=0.74))
    assert not plan.chosen
    assert [found.detail for found in plan.kept["n1"]] == ["all others together have too little cpu left"]


def test_nothing_goes_after_a_scale_up() -> None:
    new = room("n3", metadata={"creationTimestamp": "2026-01-01T11:53:00Z"})
    plan = chosen(*HALF, new)
    assert not plan.chosen
    assert [str(found) for found in plan.kept["n1"]] == [
        "a node was created lately, and nothing is emptied until the quiet period is over (n3, at 11:53:00)"
    ]
    assert moves(chosen(*HALF, new, settings=replace(ALL, quiet_period=timedelta(minutes=7))))
    virtual = merged(new, {"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}})
    assert moves(chosen(*HALF, virtual)), "it came with a pod"


# --- whom it disturbs ---


def handed_back(name: str, minutes: float, why: str = "the scheduler needs the node (shop/p)") -> Json:
    """A node that was emptied, and given back so long ago."""
    since = (NOW - timedelta(minutes=minutes)).isoformat()
    mark = {"by": "us", "cycle": "c", "phase": "handed-back", "since": since, "reason": why}
    return room(name, metadata={"annotations": {"moorage.dev/drain": json.dumps(mark)}})


@pytest.mark.parametrize(
    ("ago", "until"),
    [
        ((0.5,), "12:00:30"),
        ((1,), None),
        ((1, 4), "12:01:00"),
        ((2, 4), None),
        ((2, 4, 59.9), "12:02:00"),
        ((2, 4, 60), None),
        ((1, 2, 3, 4, 5, 6, 7), "12:59:00"),
        ((-10,), None),
    ],
)
def test_the_more_emptied_nodes_were_needed_again_the_longer_nothing_is_emptied(
    ago: tuple[float, ...], until: str | None
) -> None:
    nodes = [handed_back(f"h{number}", each) for number, each in enumerate(ago)]
    plan = chosen(*HALF, *nodes)
    if until is None:
        assert moves(plan)
    else:
        (found,) = plan.kept["n1"]
        others = f" and {len(ago) - 1} more" if len(ago) > 1 else ""
        assert (found.reason.name, found.detail) == ("NEEDED", f"h0{others}; until {until}")
        assert plan.chosen == ()


def test_what_nobody_has_deleted_says_nothing_of_the_room() -> None:
    assert moves(
        chosen(*HALF, handed_back("h", 0.5, "the node has not been deleted since it was emptied (15 minutes)"))
    )


def test_budgets_are_used_up_by_the_chosen_nodes() -> None:
    nodes = [room(f"n{number}") for number in range(1, 5)]
    pods = [replica(f"p{number}", f"n{number}") for number in range(1, 5)]
    there = [*nodes, *pods, replica_set(replicas=4)]
    assert len(chosen(*there).chosen) == 3
    plan = chosen(*there, budget(disruptionsAllowed=2, currentHealthy=4, expectedPods=4))
    assert len(plan.chosen) == 2
    (left,) = [
        found for name in ("n1", "n2", "n3", "n4") for found in plan.kept.get(name, ()) if found.reason.name == "BUDGET"
    ]
    assert left.detail == "PodDisruptionBudget shop/web allows 2, 2 are used up, 1 are needed"


def test_pods_that_are_not_ready_use_up_no_budget() -> None:
    unready: Json = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    allows = budget(disruptionsAllowed=1, currentHealthy=3, desiredHealthy=2, expectedPods=5)
    pods = [replica(f"p{number}", f"n{number}", **(unready if number > 1 else {})) for number in range(1, 4)]
    there = [*(room(f"n{number}") for number in range(1, 5)), *pods, replica("stays", "n4", "0", of="one")]
    plan = chosen(*there, replica_set(replicas=3), replica_set("one", 1), allows)
    assert sorted(moves(plan)) == ["n1", "n2", "n3"]


def test_an_owner_is_not_disturbed_all_the_time() -> None:
    top = owner("Deployment", "web")
    ready = {"replicas": 2, "updatedReplicas": 2}
    deployment = controller("Deployment", "web", spec={"replicas": 2}, status=ready)
    there = [*HALF[:4], controller("ReplicaSet", "web-1", of=top, spec={"replicas": 2}), deployment]
    (move,) = chosen(*there).chosen[0].moves
    assert move.owner == "uid-web", "all ReplicaSets of a Deployment count together"
    once = History().with_evictions(["uid-web"], NOW - timedelta(minutes=30))
    assert moves(chosen(*there, history=once))
    twice = once.with_evictions(["uid-web"], NOW - timedelta(minutes=59))
    plan = chosen(*there, history=twice)
    assert [str(found) for found in plan.kept["n1"]] == [
        "the owner of a pod would have too many evictions within the hour (the owner web allows 0, 0 are used up, 1 "
        "are needed)"
    ]
    assert moves(chosen(*there, history=twice, settings=replace(ALL, owner_window=timedelta(minutes=59))))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"updatedReplicas": 1}, "1 of 2 replicas is updated"),
        ({"replicas": 3}, "1 old replica is still there"),
        ({"observedGeneration": 4}, "its last change has not been seen yet"),
    ],
)
def test_workloads_in_a_rollout_are_left_alone(change: Json, says: str) -> None:
    ready = {"replicas": 2, "updatedReplicas": 2, "observedGeneration": 5}
    made = controller("ReplicaSet", "web-1", of=owner("Deployment", "web"), spec={"replicas": 2})
    there = [*HALF[:4], made]
    deployment = controller("Deployment", "web", metadata={"generation": 5}, spec={"replicas": 2}, status=ready)
    assert moves(chosen(*there, deployment))
    plan = chosen(*there, merged(deployment, {"status": change}))
    assert not plan.chosen
    assert why(plan, "n1") == ["ROLLOUT"]
    assert plan.kept["n1"][0].detail == f"Deployment web: {says}"


# --- where pods may go ---


@pytest.mark.parametrize(
    ("here", "there", "change", "goes"),
    [
        ({}, {"karpenter.sh/capacity-type": "spot"}, {}, False),
        ({}, {"karpenter.sh/capacity-type": "spot"}, {"spot": True}, True),
        ({"karpenter.sh/capacity-type": "spot"}, {"karpenter.sh/capacity-type": "spot"}, {}, True),
        ({"karpenter.sh/capacity-type": "spot"}, {}, {}, True),
        ({}, {"kubernetes.io/arch": "arm64"}, {}, True),
        ({}, {"kubernetes.io/arch": "arm64"}, {"arm64": False}, False),
        ({"kubernetes.io/arch": "arm64"}, {"kubernetes.io/arch": "arm64"}, {"arm64": False}, True),
    ],
)
def test_kinds_of_nodes(here: Json, there: Json, change: dict[str, Any], goes: bool) -> None:
    nodes = [room("n1", metadata={"labels": here}), room("n2", metadata={"labels": there})]
    plan = chosen(*nodes, replica("a", "n1"), *STAYS, settings=replace(ALL, **change))
    assert bool(moves(plan)) == goes


def test_relations_are_those_of_the_scheduler() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    apart = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    pods = [replica(name, node, "0", spec=apart) for name, node in (("a", "n1"), ("b", "n2"))]
    there = [room("n1"), room("n2"), *pods, replica_set(replicas=2)]
    plan = chosen(*there)
    assert not plan.chosen
    assert "must be away from" in plan.kept["n1"][0].detail
    single = [replica("stays", "n3", "0", of="one", metadata={"labels": {"app": "one"}}), replica_set("one", 1)]
    assert len(chosen(*there, room("n3"), *single).chosen) == 1


def test_nothing_is_guessed_of_what_cannot_be_read() -> None:
    odd = [replica("a", "n1", "a lot"), *STAYS]
    plan = chosen(room("n1"), room("n2"), *odd)
    assert not plan.chosen
    assert "a quantity of the pod cannot be read" in plan.kept["n1"][0].detail
    beside = [replica("a", "n1"), *STAYS, replica("odd", "n2", "a lot", of="odd"), replica_set("odd", 1)]
    plan = chosen(room("n1"), room("n2"), *beside)
    assert not plan.chosen
    assert "what a pod on the node uses cannot be read" in plan.kept["n1"][0].detail
    nothing = [replica("a", "n1"), *STAYS]
    for allocatable in ({"cpu": "many"}, {"cpu": "-1"}, {"pods": "0"}, None):
        plan = chosen(room("n1"), room("n2", status={"allocatable": allocatable}), *nothing)
        assert (plan.chosen, why(plan, "n1")) == ((), ["NO_ROOM"])


def test_an_empty_cluster_has_nothing_to_choose_from() -> None:
    plan = chosen()
    assert (plan.chosen, plan.kept, plan.total, plan.unit.value) == ((), {}, 0, "money")


# --- how much ---


def test_what_costs_more_goes_first() -> None:
    dear = room("n2", metadata={"annotations": {"moorage.dev/price-per-hour": "0.9"}})
    cheap = room("n1", metadata={"annotations": {"moorage.dev/price-per-hour": "0.1"}})
    plan = chosen(cheap, dear, *HALF[2:])
    assert moves(plan) == {"n2": {"b": "n1"}}
    assert (plan.freed, plan.total, plan.unit.value) == (0.9, 1.0, "money")


def test_a_node_that_is_worth_less_than_its_moves_stays() -> None:
    free = room("n1", metadata={"annotations": {"moorage.dev/price-per-hour": "0"}})
    dear = room("n2", metadata={"annotations": {"moorage.dev/price-per-hour": "1"}})
    plan = chosen(free, dear, replica("a", "n1"), *STAYS)
    assert why(plan, "n1") == ["NOT_WORTH"]


def test_a_cycle_empties_so_many_nodes() -> None:
    nodes = [room(f"n{number:02}", cpu="16") for number in range(30)]
    pods = [replica(f"p{number}", f"n{number:02}") for number in range(30)]
    there = [*nodes, *pods, replica_set(replicas=30)]
    assert len(chosen(*there).chosen) == 27
    plan = chosen(*there, settings=replace(ALL, percentage=10, least=1))
    assert len(plan.chosen) == 3
    assert sum(why(plan, name) == ["LIMIT"] for name in plan.kept) > 20
    assert len(chosen(*there, settings=replace(ALL, most=2)).chosen) == 2
    assert not chosen(*there, settings=replace(ALL, most=0)).chosen


@pytest.mark.parametrize(
    ("candidates", "change", "limit"),
    [
        (100, {}, 10),
        (1000, {}, 20),
        (20, {}, 5),
        (3, {}, 3),
        (11, {"least": 0}, 2),
        (0, {}, 0),
        (100, {"least": 30}, 20),
        (100, {"percentage": 0, "least": 0}, 0),
    ],
)
def test_limits(candidates: int, change: dict[str, Any], limit: int) -> None:
    assert replace(Settings(), **change).limit(candidates) == limit


def test_choosing_stops_where_the_steps_end() -> None:
    nodes = [room(f"n{number:02}", cpu="16") for number in range(30)]
    pods = [replica(f"p{number}", f"n{number:02}") for number in range(30)]
    there = [*nodes, *pods, replica_set(replicas=30)]
    plan = chosen(*there, settings=replace(ALL, steps=10))
    assert plan.cut_off
    assert plan.steps <= 10
    assert 0 < len(plan.chosen) < 27
    assert any(why(plan, name) == ["CUT_OFF"] for name in plan.kept)
    assert not chosen(*there).cut_off
