"""One node or pod: the explanation matches the plan and the simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moorage.evictor.report import UnknownName, explain_node, explain_pod
from tests.unit.evictor.build import Json, owner, pod
from tests.unit.evictor.compaction.build import replica, replica_set, room

from .build import ALL, SMALL, seen, small

FULL: tuple[Json, ...] = (
    room("n1"),
    room("n2"),
    room("n3", cpu="1"),
    room("n4", spec={"unschedulable": True}),
    replica("a", "n1", cpu="3", of="a"),
    replica("b", "n2", cpu="3", of="b"),
    replica("c", "n3", cpu="500m", of="c"),
    *(replica_set(name, replicas=2, status={"replicas": 2}) for name in "abc"),
)


def places(evaluation: Any, node: str) -> dict[str, str]:
    return {each.pod: each.node for each in explain_node(evaluation, node).places}


def test_a_chosen_node_tells_the_plan() -> None:
    evaluation = small()
    for each in evaluation.plan.chosen:
        assert places(evaluation, each.name) == {move.pod: move.node for move in each.moves}


def test_pods_that_fit_nowhere_and_why_node_by_node() -> None:
    evaluation = seen(*FULL)
    assert [each.name for each in evaluation.plan.chosen] == ["n3"]
    (stuck,) = explain_node(evaluation, "n1").places
    assert (stuck.pod, stuck.node, stuck.of) == ("shop/a", "", 3)
    assert {each.reason: each.nodes for each in stuck.against} == {
        "too little cpu": 1,
        "it could go itself": 1,
        "the node is cordoned": 1,
    }
    assert [(each.node, each.against) for each in stuck.closest] == [("n2", ("too little cpu: 3 needed, 1 left",))]


def test_a_node_that_stays_says_where_its_pods_would_go() -> None:
    evaluation = seen(*FULL, pod("db", of=owner("StatefulSet", "db"), on="n3"))
    assert evaluation.plan.chosen == ()
    assert places(evaluation, "n3") == {"shop/c": "n1"}
    (held,) = explain_node(evaluation, "n3").node.holders
    assert held.pod == "shop/db"


def test_why_not_is_found_out_for_a_few_pods() -> None:
    many = [replica(f"p{number}", "n1", cpu="1", of="p") for number in range(8)]
    things = (room("n1", cpu="8"), room("n2", cpu="500m"), *many, replica_set("p", replicas=8))
    found = explain_node(seen(*things), "n1")
    assert [bool(each.against) for each in found.places] == [True] * 5 + [False] * 3
    assert "  and 3 more pods (shop/p5, shop/p6, shop/p7)" in found.text().splitlines()


def test_room_is_asked_for_with_headroom() -> None:
    tight = replace(ALL, choice=replace(ALL.choice, utilisation=0.5))
    assert places(seen(*FULL, configuration=tight), "n3") == {"shop/c": ""}


def test_nothing_changes() -> None:
    evaluation = small()
    snapshot, names = evaluation.cluster.snapshot, list(evaluation.cluster.view.nodes)
    before = [sorted(snapshot.pods_on(name)) for name in names]
    assert explain_node(evaluation, "n3") == explain_node(evaluation, "n3")
    for one in evaluation.cluster.view.pods:
        explain_pod(evaluation, one.key)
    assert [sorted(snapshot.pods_on(name)) for name in names] == before


def test_nobody_waits_where_pods_have_no_node_to_go_to() -> None:
    waiting = replica("waits", "", status={"phase": "Pending"})
    evaluation = seen(*FULL, waiting)
    found = explain_pod(evaluation, "shop/waits")
    assert (found.node, found.stance) == ("", "")
    assert found.place is not None
    assert found.place.node in ("n1", "n2")
    assert f"Room is kept for it on {found.place.node}." in found.text()


def test_a_pod_with_gates_waits_for_no_node() -> None:
    gated = replica("waits", "", spec={"schedulingGates": [{"name": "later"}]}, status={"phase": "Pending"})
    assert explain_pod(seen(*FULL, gated), "shop/waits").place is None


def test_a_pod_on_a_node_that_was_not_seen() -> None:
    found = explain_pod(seen(*FULL, replica("lost", "gone")), "shop/lost")
    assert (found.stance, found.place) == ("", None)
    assert "is on no node that was seen" in found.text()


def test_controllers_from_the_owner_to_the_top() -> None:
    owned = replica_set("one-1", replicas=1, of=owner("Deployment", "one"))
    top = {"kind": "Deployment", "metadata": {"name": "one", "namespace": "shop", "uid": "uid-one"}, "spec": {}}
    found = explain_pod(seen(room("n1"), replica("a", "n1", of="one-1"), owned, top), "shop/a")
    assert found.controllers == ("ReplicaSet shop/one-1", "Deployment shop/one")
    assert [each.unless_disposable for each in found.reasons] == [True]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("shop/wep-a", ("shop/web-a", "shop/web-c", "shop/web-b")),
        ("other/tool", ("shop/tool",)),
        ("tool", ("shop/tool",)),
        ("toool", ("shop/tool",)),
        ("x", ()),
    ],
)
def test_unknown_pods(name: str, nearest: tuple[str, ...]) -> None:
    with pytest.raises(UnknownName) as error:
        explain_pod(seen(*SMALL), name)
    assert (error.value.kind, error.value.name) == ("pod", name)
    assert set(error.value.nearest) == set(nearest)
    assert all(each in str(error.value) for each in nearest)


def test_unknown_nodes() -> None:
    with pytest.raises(UnknownName, match=r"there is no node 'worker-n1': did you mean worker-1\?"):
        explain_node(seen(room("worker-1"), room("other")), "worker-n1")
