"""The outputs of a cycle: one line, figures by reason, and Events only for nodes that newly could be emptied."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import REGISTRY

from moorage.controller.own_pod import OwnPod
from moorage.evictor import metrics
from moorage.evictor.candidates import NodeReason, PodReason
from moorage.evictor.compaction import KeptReason
from moorage.evictor.cycle_reporting import CycleReporter
from moorage.evictor.evaluation import Evaluation
from moorage.evictor.verdict_counts import count_verdicts
from tests.unit.evictor.build import pod
from tests.unit.evictor.compaction.build import replica, replica_set, room
from tests.unit.evictor.test_evaluation import TWO, seen

from .held import Recorder

FULL = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "4"}}}]}
BARE = pod("bare", on="n3", spec=FULL)
CORDONED = room("n4", spec={"unschedulable": True})
NAMES = {each.name for reasons in (NodeReason, PodReason, KeptReason) for each in reasons}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def telling(recorder: Recorder, *chosen: str) -> CycleReporter:
    us = OwnPod(recorder.as_recorder(), "castai-agent", "us", lambda: "")
    return CycleReporter(recorder.as_recorder(), us, chosen)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def mixed() -> Evaluation:
    return seen(*TWO, room("n3"), BARE, CORDONED)


def test_one_line_says_what_a_cycle_came_to(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "moorage.evictor")
    found = mixed()
    telling(recorder).looked(found, count_verdicts(found), 1.5)
    (record,) = caplog.records
    assert record.message == "cluster evaluated"
    fields = vars(record)
    shown = ("nodes", "candidates", "chosen", "freed", "part", "unit", "moved", "cut_off", "seconds", "held")
    assert {name: fields[name] for name in shown} == {
        "nodes": 4,
        "candidates": 2,
        "chosen": 1,
        "freed": 36.0,
        "part": 0.25,
        "unit": "units",
        "moved": 1,
        "cut_off": False,
        "seconds": 1.5,
        "held": {"TARGET": 1, "BARE_POD": 1, "NODE_CORDONED": 1},
    }


def test_reasons_are_counted_and_those_of_the_cycle_before_are_gone(recorder: Recorder) -> None:
    found, reporter = mixed(), telling(recorder)
    reporter.looked(found, count_verdicts(found), 0.1)
    assert value("castai_evictor_node_target_count") == 1
    assert value("castai_evictor_pod_target_count") == 1
    assert value("moorage_evictor_nodes_kept", reason="BARE_POD") == 1
    assert value("moorage_evictor_pods_holding", reason="BARE_POD") == 1
    assert value("moorage_evictor_freed", unit="units") == 36.0
    assert value("moorage_evictor_total", unit="units") == 144.0
    empty = seen(CORDONED)
    reporter.looked(empty, count_verdicts(empty), 0.1)
    assert value("castai_evictor_node_target_count") == 0
    assert value("moorage_evictor_nodes_kept", reason="BARE_POD") is None
    assert value("moorage_evictor_nodes_kept", reason="NODE_CORDONED") == 1
    reporter.idle("disabled")
    assert value("moorage_evictor_nodes_kept", reason="NODE_CORDONED") is None
    metrics.clear()


def test_a_node_counts_once_under_each_of_its_reasons() -> None:
    two = pod("second", on="n3", of={"kind": "Odd", "name": "o", "uid": "o", "controller": True, "apiVersion": "x/v1"})
    found = count_verdicts(seen(room("n3", spec={"unschedulable": True}), BARE, pod("other", on="n3"), two))
    assert found.kept == {"NODE_CORDONED": 1, "BARE_POD": 1, "OWNER_UNKNOWN": 1}
    assert found.holding == {"BARE_POD": 2, "OWNER_UNKNOWN": 1}
    assert set(found.kept) | set(found.holding) <= NAMES


def test_an_event_is_written_when_a_node_newly_could_go(recorder: Recorder) -> None:
    found, reporter = mixed(), telling(recorder)
    reporter.looked(found, count_verdicts(found), 0.1)
    ((about, reason, note),) = recorder.take()
    assert (about, reason) == ("Node n1", "CouldBeEmptied")
    assert note.startswith("All of its pods that may move would fit elsewhere: 1. It is worth 36 units")
    reporter.looked(found, count_verdicts(found), 0.1)
    assert recorder.take() == []
    other = seen(CORDONED)
    reporter.looked(other, count_verdicts(other), 0.1)
    reporter.looked(found, count_verdicts(found), 0.1)
    assert [about for about, _, _ in recorder.take()] == ["Node n1"]


def test_what_was_told_before_a_restart_is_not_told_again(recorder: Recorder) -> None:
    found = mixed()
    telling(recorder, "n1").looked(found, count_verdicts(found), 0.1)
    assert recorder.events == []


def test_an_empty_node_is_told_as_such(recorder: Recorder) -> None:
    priced = {"annotations": {"moorage.dev/price-per-hour": "0.25"}}
    found = seen(room("n1", metadata=priced), replica_set(), replica("a", "n2"), room("n2", metadata=priced))
    telling(recorder).looked(found, count_verdicts(found), 0.1)
    (note,) = [note for about, _, note in recorder.take() if about == "Node n1"]
    assert note.startswith("Nothing runs on it that would have to move. It is worth 0.25 per hour")


def test_a_failure_is_traced_once(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    reporter, before = telling(recorder), value("moorage_evictor_cycles_total", result="failed") or 0.0
    for error in (ValueError("odd"), ValueError("odd"), ValueError("odder")):
        reporter.failed(error, 0.1)
    assert [record.exc_info is not None for record in caplog.records] == [True, False, True]
    assert value("moorage_evictor_cycles_total", result="failed") == before + 3
    assert {(about, reason) for about, reason, _ in recorder.events} == {("Pod us", "CycleFailed")}
