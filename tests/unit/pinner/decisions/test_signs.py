"""Decisions when a kubelet may have started without a report, and when a Node is not ours or no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.objects import NodeSpec
from moorage.pinner.decisions.signs import NONE, UNKNOWN, Signs
from moorage.pinner.decisions.steps import Confirm, DeletePod
from moorage.pinner.names import EXCLUDE_BALANCERS, PREPARING
from moorage.protocol import ReasonCode
from tests.unit.pinner import model
from tests.unit.pinner.model import NAME, NOW, Corner, joined, placeholder, pod, reservation_of, spec_of

LATE = NOW + timedelta(minutes=11)
KUBELETS_LEASE = Signs("somebody else has renewed its Lease", alive=True)
SILENT_LEASE = Signs("somebody else has renewed its Lease")
CSI_NODE = Signs("it has a CSINode")
GRACE = [
    # what tells of a kubelet, when the pod was begun with, by whom it was bound; the grace, and whether the Node goes
    (NONE, None, True, 0, True),
    (NONE, None, False, 0, True),
    (NONE, NOW, True, None, True),
    (NONE, NOW, False, "stays", True),
    (CSI_NODE, None, True, None, True),
    (CSI_NODE, None, False, None, True),
    (SILENT_LEASE, None, True, None, True),
    (KUBELETS_LEASE, None, True, None, False),
    (KUBELETS_LEASE, NOW, True, None, False),
    (UNKNOWN, None, True, None, True),
]


def held(**how: Any) -> Corner:
    """A placeholder with one pinned and bound pod."""
    pods = {"p1": pod(1, node=NAME)}
    return Corner(**{"reservation": reservation_of(spec_of(1)), "node": placeholder(), "pods": pods, **how})


@pytest.mark.parametrize(("signs", "begun", "by_us", "grace", "goes"), GRACE)
@pytest.mark.parametrize("how", [{"now": LATE}, {"reservation": reservation_of(spec_of(1, intent="Delete"))}])
def test_pods_get_no_grace_only_where_nothing_tells_of_a_kubelet(
    signs: Signs, begun: Any, by_us: bool, grace: int | str | None, goes: bool, how: Any
) -> None:
    one = held(signs=signs, **how)
    there = pod(1, node=NAME, start_time=begun and begun.isoformat())
    one.pods["p1"] = model.marked(there) if by_us else there
    one.do(Confirm(()))
    steps = [step for step in one.decide().steps if isinstance(step, DeletePod)]
    assert [step.grace for step in steps] == ([] if grace == "stays" else [grace])
    one.settle()
    assert (one.node is None) == goes
    assert ("p1" in one.pods) == (grace != 0)
    if not goes:
        assert one.decide().ended is not None
        one.do(Confirm(()))
        waiting = one.decide()
        assert (waiting.steps, "a kubelet is waited for" in waiting.message) == ((), True)
        assert waiting.wake == one.now + timedelta(seconds=10)


def test_a_kubelet_that_reports_after_all_keeps_its_node() -> None:
    one = held(signs=KUBELETS_LEASE, now=LATE)
    one.settle()
    assert one.node is not None
    one.node = joined(one.node, ready=True)
    one.settle()
    assert one.node is not None
    assert PREPARING not in {taint.key for taint in one.node.spec.taints}


@pytest.mark.parametrize(("signs", "goes"), [(NONE, True), (CSI_NODE, False), (SILENT_LEASE, False)])
def test_a_pod_that_hangs_is_let_go_only_where_nothing_tells_of_a_kubelet(signs: Signs, goes: bool) -> None:
    one = held(signs=signs)
    leaving = msgspec.structs.replace(one.pods["p1"].metadata, deletion_timestamp=NOW.isoformat())
    one.pods["p1"] = msgspec.structs.replace(one.pods["p1"], metadata=leaving)
    one.now = NOW + timedelta(minutes=1)
    one.do(Confirm(()))
    wake = one.decide().wake
    assert wake is not None
    assert wake >= one.now + timedelta(seconds=1), "to wait is not to look all the time"
    one.settle()
    assert ("p1" not in one.pods) == goes


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("node_uid", ["", "n", "another"])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_machine_without_our_marks_is_left_alone_and_told_of_once(ready: bool, node_uid: str, is_open: bool) -> None:
    bare = msgspec.structs.replace(placeholder(ours=False), spec=NodeSpec())
    node = joined(bare, ready=ready)
    stored = reservation_of(spec_of(1, 2, node_uid=node_uid), is_open=is_open)
    one = Corner(stored, node=node, pods={"p1": pod(1, node=NAME), "p2": pod(2)}, made=True, now=LATE)
    one.settle()
    assert one.node is node
    assert one.pods == {"p1": pod(1, node=NAME), "p2": pod(2)}
    assert len(one.news) == (1 if is_open or node_uid != "n" else 0)
    decision = one.decide()
    assert decision.state == "Foreign"
    assert decision.ended is not None
    assert decision.ended.reason is ReasonCode.NODE_IS_REAL
    assert one.reservation is not None
    assert one.reservation.metadata.finalizers == ()


def test_a_machine_without_our_marks_stays_when_it_is_given_up() -> None:
    node = joined(msgspec.structs.replace(placeholder(ours=False), spec=NodeSpec()), ready=True)
    one = held(node=node, made=True, reservation=reservation_of(spec_of(1, intent="Delete")))
    one.settle()
    assert (one.node, one.reservation) == (node, None)
    assert "p1" in one.pods


def test_of_a_placeholder_that_was_wiped_of_our_marks_only_the_pods_are_ours() -> None:
    wiped = msgspec.structs.replace(placeholder(ours=False), spec=NodeSpec())
    one = held(node=wiped, reservation=reservation_of(spec_of(1, node_uid="n")))
    one.settle()
    assert (one.node, one.reservation, one.pods) == (wiped, None, {})


def test_labels_that_others_gave_to_an_adopted_node_are_not_taken_away_when_it_is_given_up() -> None:
    node = joined(placeholder(), ready=True)
    meta = msgspec.structs.replace(node.metadata, labels={EXCLUDE_BALANCERS: "true"})
    node = msgspec.structs.replace(node, metadata=meta, spec=NodeSpec())
    one = held(node=node, made=True, reservation=reservation_of(spec_of(1, intent="Delete"), is_open=False))
    one.settle()
    assert (one.node, one.reservation) == (node, None)
