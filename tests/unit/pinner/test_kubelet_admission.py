"""What only a kubelet would say no to, known before a pod is pinned: its operating system."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from moorage.objects import Node, NodeStatus, NodeSystemInfo, ObjectMeta, Pod
from moorage.objects.pod import PodOs
from moorage.pinner import kubelet_admission
from moorage.pinner.kubelet_admission import OS_LABEL
from moorage.protocol import ReasonCode
from moorage.scheduling import Fit, Snapshot
from tests.unit.pinner.model import pod

SYSTEMS = ("", "linux", "windows")


def for_system(name: str, *, label: str = "") -> Pod:
    one = pod(1)
    spec = msgspec.structs.replace(one.spec, os=PodOs(name) if name else None)
    meta = msgspec.structs.replace(one.metadata, labels={OS_LABEL: label} if label else {})
    return msgspec.structs.replace(one, spec=spec, metadata=meta)


def node(label: str, reported: str = "") -> Node:
    return Node(
        metadata=ObjectMeta(name="n", labels={OS_LABEL: label} if label else {}),
        status=NodeStatus(allocatable={"pods": "1"}, node_info=NodeSystemInfo(operating_system=reported)),
    )


@pytest.mark.parametrize(("os", "label", "promised", "reported"), list(itertools.product(SYSTEMS, repeat=4)))
def test_a_pod_goes_only_where_its_system_runs(os: str, label: str, promised: str, reported: str) -> None:
    one, where = for_system(os, label=label), node(promised, reported)
    runs = reported or promised or "linux"
    found = kubelet_admission.refuse(one, where)
    assert (found is None) == ({os, label} - {""} <= {runs})
    if found is not None:
        assert found.reason is ReasonCode.DOES_NOT_FIT
        assert f"node n runs {runs}" in found.text
        reason = "PodOSSelectorNodeLabelDoesNotMatch" if label not in ("", runs) else "PodOSNotSupported"
        assert reason in found.text


def test_nothing_is_said_of_a_node_that_nobody_knows() -> None:
    assert kubelet_admission.refuse(for_system("windows"), None) is None


def test_the_fit_check_does_not_ask_as_the_scheduler_does_not() -> None:
    snapshot = Snapshot()
    snapshot.apply(node("linux"))
    assert snapshot.verdict(for_system("windows", label="windows"), "n").fit is Fit.YES
