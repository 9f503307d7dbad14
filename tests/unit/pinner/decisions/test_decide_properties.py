"""Rules for all decisions about one node, in any situation."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from moorage.objects import Pod
from moorage.pinner import eligibility
from moorage.pinner.decisions import nominations
from moorage.pinner.decisions.decide import decide
from moorage.pinner.decisions.observation import Observation
from moorage.pinner.decisions.signs import NONE, Signs
from moorage.pinner.decisions.steps import (
    Bind,
    ClearNomination,
    CreateNode,
    DeleteNode,
    DeletePod,
    EndReservation,
    Nominate,
    PatchNode,
)
from moorage.pinner.instructions.judge import can_be_bound
from moorage.pinner.names import PIN_ANNOTATION, PREPARING_TAINT
from moorage.reservations import Nomination, merging
from tests.examples import examples
from tests.unit.pinner import model
from tests.unit.pinner.model import (
    LATE,
    NAME,
    NOW,
    Corner,
    joined,
    placeholder,
    pod,
    reservation_of,
    spec_of,
    started,
)

_pods = st.builds(
    lambda **how: _pod(**how),
    number=st.integers(1, 4),
    node=st.sampled_from(["", NAME, NAME, "other"]),
    phase=st.sampled_from(["Pending", "Pending", "Failed", "Succeeded"]),
    reason=st.sampled_from(["", "OutOfcpu", "NodeAffinity", "Evicted"]),
    started_=st.booleans(),
    begun=st.booleans(),
    leaving=st.sampled_from([None, NOW, LATE]),
    managed=st.booleans(),
    marked=st.booleans(),
    device=st.booleans(),
    nominated=st.sampled_from(["", "", NAME, "other"]),
)


def _pod(
    number: int,
    node: str,
    phase: str,
    reason: str,
    started_: bool,
    begun: bool,
    leaving: Any,
    managed: bool,
    marked: bool,
    device: bool,
    nominated: str,
) -> Pod:
    made = pod(number, node=node, phase=phase, reason=reason, start_time=NOW.isoformat() if begun and node else None)
    if marked and node:
        made = model.marked(made)
    if started_ and node:
        made = started(made)
    if device:
        made = model.wanting_device(made)
    made = msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, nominated_node_name=nominated))
    meta = msgspec.structs.replace(
        made.metadata,
        deletion_timestamp=leaving.isoformat() if leaving else None,
        owner_references=made.metadata.owner_references if managed else (),
    )
    return msgspec.structs.replace(made, metadata=meta)


_nodes = st.builds(
    lambda ours, kubelet, ready, effect: _node(ours, kubelet, ready, effect),
    ours=st.booleans(),
    kubelet=st.booleans(),
    ready=st.booleans(),
    effect=st.sampled_from(["", "NoSchedule", "PreferNoSchedule"]),
)


def _node(ours: bool, kubelet: bool, ready: bool, effect: str) -> Any:
    made = placeholder(ours=ours)
    taints = (msgspec.structs.replace(PREPARING_TAINT, effect=effect),) if effect else ()
    made = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, taints=taints))
    return joined(made, ready=ready) if kubelet else made


_raw = st.sampled_from([{}, {}, {}, {"deadline": "whenever"}, {"pins": "none"}, {"promise": 4}])


def _corner(
    numbers: set[int],
    taken: set[int],
    intent: str,
    released: bool,
    node_uid: str,
    is_open: bool,
    deleted: bool,
    raw: Any,
    pods: list[Pod],
    nominated: dict[int, tuple[int, Any]],
    late: str,
    **more: Any,
) -> Corner:
    tried = tuple(Nomination(f"u{n}", tries, at.isoformat()) for n, (tries, at) in nominated.items() if n in numbers)
    spec = spec_of(*sorted(numbers), intent=intent, released=released, node_uid=node_uid, nominations=tried)
    if late:
        learned = {"node_name": NAME, "node_uid": node_uid or "n"} if late == "learned" else {"node_uid": ""}
        spec = msgspec.structs.replace(spec, promise=model.BROUGHT, **learned)
        more["node"] = model.brought(more["node"], NOW - timedelta(hours=late == "before"))
        more["made"] = False
    stored = reservation_of(spec, is_open=is_open, deleted=deleted, raw=raw)
    one = Corner(stored, pods={p.metadata.name: p for p in pods}, **more)
    if can_be_bound(one.observe(), ()):  # else pins are written first
        one.taken_on = tuple(sorted(number for number in taken if _takeable(one.pods.get(f"p{number}"))))
    return one


def _takeable(one: Pod | None) -> bool:
    """Whether a pod may have been accepted: its controller creates it again, and its binding has our mark."""
    return one is None or (
        eligibility.recreated(one) and (not one.spec.node_name or PIN_ANNOTATION in one.metadata.annotations)
    )


_corners = st.builds(
    _corner,
    numbers=st.sets(st.integers(1, 4)),
    taken=st.sets(st.integers(1, 4), max_size=2),
    intent=st.sampled_from(["Hold", "Hold", "Delete"]),
    released=st.booleans(),
    node_uid=st.sampled_from(["", "n", "another"]),
    is_open=st.booleans(),
    deleted=st.sampled_from([False, False, True]),
    raw=_raw,
    node=st.none() | _nodes,
    pods=st.lists(_pods, max_size=4),
    signs=st.sampled_from([NONE, NONE, Signs("a CSINode"), Signs("a Lease", alive=True)]),
    capacity=st.integers(0, 6),
    misplaced=st.frozensets(st.sampled_from(["u1", "u2"])),
    made=st.booleans(),
    nominated=st.dictionaries(
        st.integers(1, 4), st.tuples(st.integers(1, 4), st.sampled_from([NOW, NOW - timedelta(minutes=1)])), max_size=3
    ),
    devices=st.none() | st.integers(0, 4),
    unseen=st.frozensets(st.sampled_from(["u1", "u2"]), max_size=1),
    now=st.sampled_from([NOW, NOW, LATE]),
    late=st.sampled_from(["", "", "", "awaited", "before", "learned"]),
)


def _stands(seen: Observation, uid: str) -> bool:
    one = seen.pinned.get(uid)
    return one is not None and not one.spec.node_name and one.status.nominated_node_name == NAME


_LATE_WITHOUT_KUBELET = _corner(
    numbers=set(),
    taken=set(),
    intent="Hold",
    released=True,
    node_uid="",
    is_open=False,
    deleted=False,
    raw={},
    pods=[],
    nominated={},
    late="learned",
    node=_node(ours=False, kubelet=False, ready=False, effect="NoSchedule"),
)
"""A machine's own Node with an emptied status: it was once deleted as a placeholder."""


@example(_LATE_WITHOUT_KUBELET, True)
@given(_corners, st.booleans())
def test_no_step_ever_hurts_a_real_node_or_a_pod_that_is_none_of_ours(one: Corner, confirmed: bool) -> None:
    one.confirmed = confirmed
    seen = one.observe()
    decision = one.decide()
    deleted_by_hand = seen.reservation is not None and seen.reservation.metadata.deletion_timestamp is not None
    for step in decision.steps:
        assert not model.fenced(step)
        if isinstance(step, DeleteNode):
            assert not step.node.has_kubelet
            assert not seen.signs.alive
            assert seen.is_ours
        if isinstance(step, DeleteNode | EndReservation) or (isinstance(step, DeletePod) and step.grace == 0):
            assert confirmed
        if isinstance(step, DeleteNode | EndReservation | DeletePod):
            assert not seen.problems or deleted_by_hand
        if isinstance(step, DeletePod):
            assert step.pod.spec.node_name == NAME
            assert not (step.grace == 0 and seen.node is not None and seen.node.has_kubelet)
            assert not (step.grace == 0 and model.started(step.pod) == step.pod)
            assert not (step.grace == 0 and (seen.signs.text or step.pod.status.start_time is not None))
            pinned = step.pod.metadata.uid in {p.uid for p in seen.spec.pins}
            assert pinned or (step.sweep and step.pod.metadata.controller() is not None)
        if isinstance(step, Bind):
            assert seen.node is not None
            assert not seen.node.has_kubelet or "NoSchedule" in {t.effect for t in seen.node.spec.taints}
            assert step.pod.spec.node_name == ""
            assert step.pod.metadata.controller() is not None
        if isinstance(step, CreateNode):
            assert seen.node is None
        if isinstance(step, CreateNode | DeleteNode):
            assert not seen.late
        if isinstance(step, Bind | Nominate | PatchNode) and seen.late:
            assert seen.stored.node_name == NAME, "it is written down first"
        if isinstance(step, PatchNode):
            assert step.node.has_kubelet


@settings(max_examples=examples(500))
@given(_corners, st.booleans())
def test_deciding_twice_says_the_same_and_changes_nothing(one: Corner, confirmed: bool) -> None:
    one.confirmed = confirmed
    seen, room = one.observe(), one.room()
    before = repr((seen, room))
    assert decide(seen, room) == decide(seen, room)
    assert repr((seen, room)) == before


@settings(max_examples=examples(500))
@given(_corners)
def test_only_pods_that_may_be_are_nominated_and_only_our_own_nominations_are_taken_back(one: Corner) -> None:
    seen = one.observe()
    decision = one.decide()
    for step in decision.steps:
        if isinstance(step, Nominate):
            assert seen.node is not None
            assert seen.node.ready
            for each, nominated in step.pods:
                record = merging.nomination_of(seen.spec, each.uid)
                assert nominated.status.nominated_node_name == ""
                assert not nominated.spec.node_name
                assert record is not None or seen.guarded
                assert record is None or (record.tries < 3 and record.at < (NOW - timedelta(seconds=9)).isoformat())
        if isinstance(step, ClearNomination):
            assert step.pod.status.nominated_node_name == NAME
            assert merging.nomination_of(seen.spec, step.pod.metadata.uid) is not None
        if isinstance(step, PatchNode) and seen.guarded and decision.ended is None:
            assert not seen.unseen & {each.uid for each in seen.spec.nominations if _stands(seen, each.uid)}


@given(_corners)
def test_there_is_always_an_end_and_it_is_one(one: Corner) -> None:
    had_kubelet = one.node is not None and one.node.has_kubelet
    nominated = {uid for uid in one.observe().pinned if nominations.stands(one.observe(), uid)}
    one.settle()
    assert one.decide().steps == ()
    assert one.decide().later is None
    if had_kubelet:
        assert one.node is not None
    left = {each.metadata.uid for each in one.pods.values() if each.status.nominated_node_name == NAME}
    if one.reservation is None:
        assert not nominated & left, "a nomination of ours is left, and nobody knows it any more"
    before = one.shape()
    one.crash()
    one.settle()
    assert one.shape() == before


@settings(max_examples=examples(500))
@given(_corners, st.lists(st.integers(0, 3), max_size=6))
def test_a_crash_after_any_step_leads_to_the_same_end(one: Corner, deaths: list[int]) -> None:
    one.observe()  # what is only remembered must not make a difference, so begin with what a new leader would know
    one.crash()
    straight = copy.copy(one)
    straight.pods = dict(one.pods)
    straight.settle()
    for done in deaths:
        decision = one.decide()
        for step in decision.steps[:done]:
            one.do(step)
        one.crash()
    one.settle()
    assert one.shape() == straight.shape()
