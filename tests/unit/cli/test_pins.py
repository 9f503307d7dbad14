"""``moorage pins``: its output of reservations, as text and for scripts, and its exit codes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.cli import explain, looking
from moorage.cli import pins as command
from moorage.cli.frame import settings_of
from moorage.kube.errors import ConnectionLost, Forbidden, KubeError, NotFound, Status
from moorage.objects import Pod
from moorage.ops.settings import EvictorSettings
from moorage.pinner.commands import overview
from moorage.pinner.names import CLAIM_ANNOTATION, FINALIZER, NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from moorage.reservations import NodeReservation, SlotReservation
from tests.unit.cli.test_cleanup import KUBECONFIG
from tests.unit.evictor.sources.dumps import written

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
DEADLINE = (NOW + timedelta(minutes=4, seconds=10)).isoformat()


def reservation(name: str, *, is_open: bool = True, status: Any = None, **spec: Any) -> NodeReservation:
    meta: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "finalizers": [FINALIZER] if is_open else []}
    promise = {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": 10}}
    found = {"promise": promise, "deadline": DEADLINE, "plan": "friday", **spec}
    return msgspec.convert({"metadata": meta, "spec": found, "status": status}, NodeReservation)


def pod(name: str, node: str = "", **annotations: str) -> Pod:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "w", "controller": True}
    meta: dict[str, Any] = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "ownerReferences": [owner]}
    meta |= {"labels": {"pod-template-hash": "1"}, "annotations": annotations}
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": node}}, Pod)


def pin(name: str) -> dict[str, str]:
    return {"namespace": "shop", "name": name, "uid": f"uid-{name}"}


SLOT = {"owner": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "requests": {"cpu": "500m"}, "count": 5}
PODS = [
    pod("a", "new-1", **{PIN_ANNOTATION: "i"}),
    pod("b", "new-1", **{PIN_ANNOTATION: "i", CLAIM_ANNOTATION: "c"}),
    pod("c", "new-1", **{NOT_PINNED_ANNOTATION: "cpu: 2 needed\x1b[2J"}),
    pod("d", "other"),
    pod("e"),
]
RESERVATIONS = [
    reservation("new-2", pins=[pin("d"), pin("e"), pin("f")], status={"state": "Placeholder", "message": "waits"}),
    reservation("new-1", pins=[pin("a")], slots=[SLOT], expectedUntil=DEADLINE, status={"state": "Preparing"}),
    reservation("old", is_open=False, status={"state": "Ready", "message": ""}),
    reservation("torn", slots="x"),
]
FOUND = overview.overview(RESERVATIONS, PODS)


def test_what_is_promised_and_what_has_come() -> None:
    by_name = {each.node: each for each in FOUND.nodes}
    assert list(by_name) == ["new-1", "new-2", "old", "torn"]
    states = [(each.pod, each.state, each.node) for each in by_name["new-2"].pods]
    assert states == [("shop/d", "elsewhere", "other"), ("shop/e", "pending", ""), ("shop/f", "gone", "")]
    (slot,) = by_name["new-1"].slots
    assert (slot.count, slot.left, slot.webhook, slot.binding, slot.scheduler) == (5, 2, 1, 1, 1)
    assert (by_name["new-1"].deadline, by_name["old"].deadline) == (DEADLINE, "")
    assert by_name["old"].joined
    assert "slots" in by_name["torn"].message
    assert FOUND.left == {"shop/c": "cpu: 2 needed\x1b[2J"}
    assert (FOUND.of("old"), FOUND.of("none")) == ((by_name["old"],), ())


LATE = overview.overview(
    [
        reservation(
            "late-1",
            promise={"allocatable": {"cpu": "4"}, "profile": "late", "matchLabels": {"a": "b"}},
            nodeName="new-1",
            pins=[pin("a"), pin("e")],
            slots=[SLOT],
        ),
        reservation("late-2", promise={"allocatable": {"cpu": "4"}, "profile": "late"}, pins=[pin("e")]),
    ],
    PODS,
)


def test_a_late_node_goes_by_two_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = LATE.nodes
    assert (first.node, first.joined_as, second.joined_as) == ("late-1", "new-1", "")
    assert [each.state for each in (*first.pods, *second.pods)] == ["bound", "pending", "pending"]
    assert [slot.left for slot in first.slots] == [2]
    assert LATE.of("new-1") == LATE.of("late-1") == (first,)
    assert run(monkeypatch, tmp_path, LATE, "new-1") == 0
    assert "node late-1: no state yet\n  joined as: new-1\n" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path, LATE) == 0
    assert "late-1 (new-1)" in capsys.readouterr().out


class Cluster:
    """What ``moorage pins`` finds there."""

    def __init__(self, found: overview.Overview | KubeError) -> None:
        self._found = found

    async def gather(self, _client: object) -> overview.Overview:
        if isinstance(self._found, KubeError):
            raise self._found
        return self._found


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: overview.Overview | KubeError, *arguments: str) -> int:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setattr(overview, "gather", Cluster(found).gather)
    monkeypatch.setattr("moorage.kube.clock.ServerClock.now", lambda _: NOW)
    return command.main(command.parser("moorage pins").parse_args(["--kubeconfig", str(path), *arguments]))


def test_a_line_for_each_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, FOUND) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["NODE", "STATE", "PINNED", "SLOTS", "LEFT", "UNTIL", "PLAN", "WHY"]
    assert rows[1] == ["new-1", "Preparing", "1/1", "2/5", "4m10s", "friday"]
    assert rows[2] == ["new-2", "Placeholder", "0/3", "–", "4m10s", "friday", "waits"]
    assert rows[3] == ["old", "Ready", "–", "–", "–", "friday"]
    assert "pod shop/c is left to the scheduler: cpu: 2 needed?[2J\n" in out
    assert "\x1b" not in out


def test_one_node_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path, FOUND, "new-1", "new-2") == 0
    out = capsys.readouterr().out
    assert (
        "    shop/Deployment/web (cpu 500m): 2 of 5 left, 1 by the webhook, 1 by bindings, 1 by the scheduler; "
        "left to the scheduler: cpu: 2 needed?[2J\n" in out
    )
    assert "    shop/d: elsewhere on other\n" in out
    assert "  must have joined: 4m10s\n" in out


def test_for_scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path, FOUND, "new-1", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    (node,) = found["nodes"]
    assert node["slots"][0]["left"] == 2
    assert node["pods"] == [{"pod": "shop/a", "state": "bound", "node": ""}]
    assert found["left"] == {"shop/c": "cpu: 2 needed\x1b[2J"}
    assert found["server"] == "http://127.0.0.1:9"


def test_colours_only_for_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run(monkeypatch, tmp_path, FOUND) == 0
    assert "\x1b[32mPreparing\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(monkeypatch, tmp_path, FOUND) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "arguments", "code", "said"),
    [
        (overview.Overview((), {}), (), 0, "nothing is promised in the cluster at http://127.0.0.1:9"),
        (FOUND, ("new-3",), 1, "there is no reservation of node new-3; did you mean new-"),
        (ConnectionLost("no answer"), (), 1, "moorage pins: no answer"),
    ],
)
def test_nothing_to_show(
    found: overview.Overview | KubeError,
    arguments: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, tmp_path, found, *arguments) == code
    out, error = capsys.readouterr()
    assert said in out + error


# --- beside what the evictor says of a node or pod ---

SLOTS = reservation("n1", slots=[SLOT], expectedUntil=DEADLINE, pins=[pin("a")], status={"state": "Preparing"})
BESIDE = overview.overview([SLOTS], [pod("a", "n1", **{NOT_PINNED_ANNOTATION: "cpu: 2 needed"})])


def explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: overview.Overview | KubeError, *arguments: str
) -> int:
    """``moorage explain`` of a cluster that a dump stands for."""
    dump = explain.parser("moorage explain").parse_args([*arguments, "--from", written(tmp_path)])
    seen = looking.look_once(dump, settings_of(EvictorSettings, dump, "moorage explain"), "moorage explain")
    monkeypatch.setattr(looking, "look_once", lambda *_: seen)
    monkeypatch.setattr(overview, "gather", Cluster(found).gather)
    monkeypatch.setattr("moorage.kube.clock.ServerClock.now", lambda _: NOW)
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return explain.main(explain.parser("moorage explain").parse_args([*arguments, "--kubeconfig", str(path)]))


def test_explaining_a_node_tells_what_is_promised_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(monkeypatch, tmp_path, BESIDE, "node", "n1") == 0
    out = capsys.readouterr().out
    assert "\n\npod pinning:\nnode n1: Preparing\n" in out
    assert "shop/Deployment/web (cpu 500m): 4 of 5 left, 1 by the scheduler" in out


def test_explaining_a_pod_tells_where_it_is_pinned_and_why_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(monkeypatch, tmp_path, BESIDE, "pod", "shop/a", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pod"] == "shop/a"
    assert [each["node"] for each in found["pinning"]["nodes"]] == ["n1"]
    assert found["pinning"]["left"] == "cpu: 2 needed"


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (NotFound(404, Status(), request="GET"), ""),
        (Forbidden(403, Status(), request="GET"), "may not list nodereservations and pods"),
        (ConnectionLost("no answer"), "reservations cannot be read: no answer"),
    ],
)
def test_explaining_goes_on_without_reservations(
    found: KubeError,
    note: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explained(monkeypatch, tmp_path, found, "node", "n1") == 0
    out, error = capsys.readouterr()
    assert "pod pinning" not in out
    assert note in error


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "over"), (0, "over"), (59, "59s"), (120, "2m"), (3725, "1h2m"), (7200, "2h")]
)
def test_time_left(seconds: int, said: str) -> None:
    held = overview.Held("n", "Ready", "", False, (NOW + timedelta(seconds=seconds)).isoformat(), "", (), (), "")
    assert f"must have joined: {said}" in command.in_full(held, NOW, colours=False)


# --- nodes that run ---


def slots(node: str, *, served: bool = True, **spec: Any) -> SlotReservation:
    told = {"nodeUID": "u", "by": "ops/evictor", "since": NOW.isoformat(), "until": DEADLINE, "slots": [SLOT], **spec}
    status = {"served": {"generation": 2 if served else 1}, "message": "" if served else "the node is cordoned"}
    meta = {"name": node, "uid": "s", "generation": 2}
    return msgspec.convert({"metadata": meta, "spec": told, "status": status}, SlotReservation)


THERE = [
    pod("a", "run-1", **{PIN_ANNOTATION: "SlotReservation of ops/evictor", CLAIM_ANNOTATION: "c"}),
    pod("b", "run-1"),
]
RUNNING = overview.overview(RESERVATIONS[1:2], THERE, [slots("run-1"), slots("new-1", served=False)], "not all")


def test_slots_on_running_nodes_are_shown_beside_what_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, RUNNING) == 0
    said = capsys.readouterr()
    assert said.err == "note: not all\n"
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [["new-1", "Preparing"], ["new-1", "NotServed"], ["run-1", "Served"]]
    assert rows[2][3:] == ["5/5", "4m10s", "ops/evictor", "the", "node", "is", "cordoned"]
    assert rows[3] == ["run-1", "Served", "1/1", "3/5", "4m10s", "ops/evictor"]


def test_a_running_node_in_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, RUNNING, "run-1") == 0
    out = capsys.readouterr().out
    assert "node run-1 (it runs already): Served\n  by: ops/evictor\n" in out
    assert "3 of 5 left, 1 by the webhook, 1 by the scheduler" in out
    assert "    shop/a: bound\n" in out


def test_slots_that_cannot_be_read_are_said_and_shown_for_scripts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = overview.overview([], [], [slots("run-1", served=True, slots="many")])
    assert run(monkeypatch, tmp_path, found, "-o", "json") == 0
    (node,) = json.loads(capsys.readouterr().out)["nodes"]
    assert (node["kind"], node["slots"]) == ("SlotReservation", [])
    assert "many" in node["message"]
