"""Pods that a kubelet has not run: swept by their kind, for every reason that a kubelet has, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from moorage.objects import Pod
from moorage.objects.pod import ContainerState, ContainerStatus, StateDetail
from moorage.pinner.decisions import kubelet, slot_reservations
from moorage.pinner.decisions.steps import DeletePod
from moorage.pinner.names import PIN_ANNOTATION, STEERED_BY
from tests.unit.pinner.model import NAME, Corner, joined, marked, placeholder, pod, reservation_of, spec_of

from .kubelet_reasons import AT_ANY_TIME, BEFORE_IT_BEGINS, EVERY, REFUSALS

PAGE = Path(__file__).resolve().parents[4] / "docs/guides/troubleshooting.md"

RAN = ContainerStatus(name="main", state=ContainerState(terminated=StateDetail(reason="Error")))
RUNS = ContainerStatus(name="main", state=ContainerState(running=StateDetail()))
RESTARTED = ContainerStatus(name="main", restart_count=1, state=ContainerState(waiting=StateDetail()))
LOST = ContainerStatus(name="main", state=ContainerState(terminated=StateDetail(reason=kubelet.UNKNOWN)))
WAITS = ContainerStatus(name="main", state=ContainerState(waiting=StateDetail(reason="ContainerCreating")))


def failed(reason: str, *statuses: ContainerStatus, phase: str = "Failed") -> Pod:
    return pod(1, node=NAME, phase=phase, reason=reason, container_statuses=statuses)


def swept(one: Pod, *, is_open: bool = True, pinned: bool = True) -> list[str]:
    node = joined(placeholder(), ready=True)
    spec = spec_of(*((1,) if pinned else ()), node_uid=node.metadata.uid)
    corner = Corner(reservation_of(spec, is_open=is_open), node=node, pods={"p1": one})
    return [step.pod.metadata.name for step in corner.decide().steps if isinstance(step, DeletePod) and step.sweep]


@pytest.mark.parametrize("reason", EVERY)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_pinned_pod_that_failed_before_it_began_is_swept_whatever_the_reason(reason: str, is_open: bool) -> None:
    assert swept(failed(reason), is_open=is_open) == ["p1"]
    assert swept(failed(reason, WAITS), is_open=is_open) == ["p1"]
    by_the_webhook = marked(failed(reason))  # it fills a slot: no pin says so
    assert swept(by_the_webhook, is_open=is_open, pinned=False) == ["p1"]


@pytest.mark.parametrize("reason", EVERY)
@pytest.mark.parametrize("status", [RAN, RUNS, RESTARTED])
def test_a_pod_that_ran_is_not_swept_whatever_the_reason(reason: str, status: ContainerStatus) -> None:
    assert swept(failed(reason, status)) == []
    assert swept(failed(reason, WAITS, status)) == []
    assert swept(failed(reason, phase="Succeeded")) == []


def test_a_lost_container_tells_nothing_but_where_a_kubelet_refuses_what_it_has_admitted() -> None:
    assert {reason for reason in EVERY if swept(failed(reason, LOST))} == set(BEFORE_IT_BEGINS.values())
    assert {reason for reason in EVERY if swept(failed(reason, LOST, RAN))} == set()


@pytest.mark.parametrize("reason", EVERY)
def test_of_others_pods_only_what_a_promise_can_have_caused_is_cleared_while_it_is_open(reason: str) -> None:
    caused = reason.startswith("OutOf") or reason == "NodeAffinity"
    assert swept(failed(reason), pinned=False) == (["p1"] if caused else [])
    assert swept(failed(reason), pinned=False, is_open=False) == []


@pytest.mark.parametrize("reason", EVERY)
def test_a_replacement_on_a_running_node_is_looked_at_when_its_kubelet_refuses_it(reason: str) -> None:
    one = failed(reason)
    annotations = {PIN_ANNOTATION: f"{STEERED_BY}evictor"}
    one = msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, annotations=annotations))
    assert slot_reservations.may_be_stuck(one)
    ran = msgspec.structs.replace(one.status, container_statuses=(RAN,))
    assert not slot_reservations.may_be_stuck(msgspec.structs.replace(one, status=ran))


def test_every_reason_is_explained() -> None:
    table = PAGE.read_text().partition("### Pods are Failed with another reason")[2].partition("\n### ")[0]
    named = set(re.findall(r"`([A-Za-z./{}0-9-]+)`", table))
    own = {reason for reason in REFUSALS if not reason.startswith("OutOf") and reason != "NodeAffinity"}
    assert own | {*AT_ANY_TIME.values(), *BEFORE_IT_BEGINS.values()} <= named
