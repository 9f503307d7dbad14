"""A cluster as a picture: what is read of it, and that it stays readable, on a small terminal and with many nodes."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rich.console import Console

from moorage.cli.pictures import drawing
from moorage.cli.pictures.drawing import Colours, Frame
from moorage.cli.pictures.reading import Reader, node_state, owner, pod_state
from moorage.cli.pictures.scene import Block, NodeState, PodState, Row, Scene
from moorage.objects import Node, Pod
from moorage.pinner.commands.overview import overview
from moorage.pinner.names import FINALIZER, PIN_ANNOTATION, PLACEHOLDER_LABEL, PREPARING
from moorage.reservations import NodeReservation

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def pod(name: str, node: str = "", *, phase: str = "Pending", cpu: str = "250m", pinned: bool = False) -> Pod:
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c", "uid": "w", "controller": True}
    meta: dict[str, Any] = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "ownerReferences": [reference]}
    meta |= {"labels": {"pod-template-hash": "7d9c"}, "annotations": {PIN_ANNOTATION: "i"} if pinned else {}}
    spec = {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"phase": phase}}, Pod)


def node(name: str, *, kubelet: bool = True, ready: bool = True, ours: bool = False, closed: bool = False) -> Node:
    meta = {"name": name, "labels": {PLACEHOLDER_LABEL: "true"} if ours else {}}
    taints = [{"key": PREPARING, "value": "true", "effect": "NoSchedule"}] if closed else []
    status = {
        "allocatable": {"cpu": "4"},
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "nodeInfo": {"kubeletVersion": "v1.36.3" if kubelet else ""},
    }
    return msgspec.convert({"metadata": meta, "spec": {"taints": taints}, "status": status}, Node)


def reservation(name: str, *, state: str = "", message: str = "", **spec: Any) -> NodeReservation:
    promise = {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": 10}}
    deadline = (NOW + timedelta(minutes=5)).isoformat()
    found = {"promise": promise, "deadline": deadline, "plan": "friday", **spec}
    meta = {"name": name, "uid": f"uid-{name}", "finalizers": [FINALIZER]}
    status = {"state": state, "message": message}
    return msgspec.convert({"metadata": meta, "spec": found, "status": status}, NodeReservation)


# --- reading ---


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (node("n", kubelet=False, ready=False, ours=True), NodeState.PLACEHOLDER),
        (node("n", kubelet=False, ready=False), NodeState.JOINING),
        (node("n", ready=False, ours=True), NodeState.JOINING),
        (node("n", closed=True), NodeState.JOINING),
        (node("n"), NodeState.READY),
        (node("n", ready=False), NodeState.NOT_READY),
    ],
)
def test_how_far_a_node_is(seen: Node, state: NodeState) -> None:
    assert node_state(seen) is state


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (pod("a"), PodState.PENDING),
        (pod("a", "n", pinned=True), PodState.PINNED),
        (pod("a", "n"), PodState.STARTING),
        (pod("a", "n", phase="Running"), PodState.RUNNING),
        (pod("a", "n", phase="Failed"), PodState.FAILED),
    ],
)
def test_how_far_a_pod_is(seen: Pod, state: PodState) -> None:
    assert pod_state(seen) is state
    assert owner(seen) == "shop/web"


def test_a_scene_has_what_runs_what_is_promised_and_what_needs_attention() -> None:
    pins = [{"namespace": "shop", "name": name, "uid": f"uid-{name}"} for name in ("a", "b")]
    slot = {"owner": {"kind": "Deployment", "namespace": "shop", "name": "api"}, "requests": {"cpu": "1"}, "count": 3}
    reservations = [
        reservation("new", state="Placeholder", pins=pins, slots=[slot]),
        reservation("none", state="Failing", message="refused\x1b[2J"),
    ]
    pods = [
        pod("a", "new", pinned=True),
        pod("b"),
        pod("c", "old", phase="Running", cpu="1"),
        pod("d", phase="Succeeded"),
    ]
    nodes = [node("new", kubelet=False, ours=True), node("old")]
    scene = Reader().scene(nodes, pods, overview(reservations, pods), NOW)
    rows = {row.name: row for row in scene.rows}
    assert rows["new"].state is NodeState.PLACEHOLDER
    assert rows["new"].promised == (("shop/api", 3), ("shop/web", 1))
    assert rows["new"].blocks == (Block("shop/web", PodState.PINNED, 250),)
    assert (rows["old"].requested, rows["old"].cpu, rows["old"].why) == (1000, 4000, "")
    assert (rows["none"].state, rows["none"].why) == (NodeState.PLANNED, "Failing: refused?[2J")
    assert scene.pending == (Block("shop/web", PodState.PENDING, 250),)
    found = scene.as_json()
    assert found["pods"] == {"pinned": 1, "running": 1, "pending": 1}
    assert found["promised"] == 4
    assert found["nodes"][1]["pods"] == {"shop/web": {"running": 1}}


def test_a_pod_that_changes_is_read_again() -> None:
    reader, nothing = Reader(), overview((), ())
    before = msgspec.structs.replace(
        pod("a", "n"), metadata=msgspec.structs.replace(pod("a").metadata, resource_version="1")
    )
    after = msgspec.structs.replace(
        pod("a", "n", phase="Running"), metadata=msgspec.structs.replace(pod("a").metadata, resource_version="2")
    )
    for seen, state in ((before, PodState.STARTING), (before, PodState.STARTING), (after, PodState.RUNNING)):
        (row,) = reader.scene([node("n")], [seen], nothing, NOW).rows
        assert [block.state for block in row.blocks] == [state]


# --- drawing ---


def drawn(shown: Any, *, width: int = 80, height: int = 24, **options: Any) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, **options)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def plain(shown: Any, **options: Any) -> list[str]:
    return drawn(shown, no_color=True, color_system=None, **options).splitlines()


def large(nodes: int = 1000, pods: int = 15) -> Scene:
    """Many nodes: most are as they should be, a few are on their way, and one needs attention."""
    rows = []
    for number in range(nodes):
        state = NodeState.PLACEHOLDER if number % 200 == 7 else NodeState.READY
        held = tuple(Block(f"shop/app-{index % 9}", PodState.RUNNING, 250) for index in range(pods))
        why = "Failing: " + "refused by a policy " * 9 if number == 500 else ""
        rows.append(
            Row(f"ip-10-0-{number // 256}-{number % 256}.eu-central-1.compute.internal", state, 4000, held, (), why)
        )
    return Scene(tuple(rows), ())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 12), (200, 60)])
@pytest.mark.parametrize("scene", [large(), large(3), large(12, pods=110), Scene()])
def test_it_fits_whatever_the_cluster_and_the_terminal_are(scene: Scene, width: int, height: int) -> None:
    lines = plain(
        Frame(scene, Colours(scene.owners()), "Moorage · https://a.b:6443", ["a note"]), width=width, height=height
    )
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_what_needs_attention_comes_first_and_the_rest_is_summed_up() -> None:
    scene = large()
    lines = plain(Frame(scene, Colours(scene.owners()), "Moorage"))
    (first, *_) = [number for number, line in enumerate(lines) if line.startswith("ip-")]
    assert lines[first].startswith("ip-10-0-1-244")
    assert any(line.startswith("! ip-10-0-1-244") and "Failing: refused" in line for line in lines[:first])
    assert all("placeholder" in line for line in lines[first + 1 : first + 6])
    shown = sum(line.startswith("ip-") for line in lines)
    assert lines[-1].startswith(f"and {1000 - shown:,} more nodes: ")
    assert "ready" in lines[-1]
    assert "CPU" in lines[-1]


def test_everything_is_shown_where_there_is_no_end_of_the_screen() -> None:
    scene = large(100)
    lines = plain(Frame(scene, Colours(), "Moorage", whole=True))
    assert sum(line.startswith("ip-") for line in lines) == 100
    assert not any("more nodes" in line for line in lines)


def test_one_block_a_pod_and_those_without_room_are_counted() -> None:
    held = tuple(Block("shop/web", PodState.RUNNING, 100) for _ in range(5))
    row = Row("n", NodeState.READY, 1000, (*held, Block("shop/web", PodState.FAILED, 0)), (("shop/api", 2),))
    assert drawing.blocks(row, Colours(), 20).plain == "▮▮▮▮▮✘··"
    assert drawing.blocks(row, Colours(), 6).plain == "▮▮▮▮+4"


def test_an_owner_keeps_its_colour_and_those_who_come_late_share_one() -> None:
    colours = Colours(["a"])
    mine = colours.of("a")
    colours.add([*"zyxwvutsrq", "a"])
    assert colours.of("a") == mine
    assert len({colours.of(owner) for owner in "azyxwvut"}) == 8
    assert colours.of("q") == colours.of("never seen")


def test_colours_are_left_out_where_nobody_wants_them() -> None:
    frame = Frame(large(3), Colours(["shop/app-1"]), "Moorage")
    assert "\x1b[32m" in drawn(frame, color_system="standard", legacy_windows=False)
    assert "\x1b[32m" not in drawn(frame, color_system="standard", no_color=True)


@pytest.mark.parametrize(
    ("milli", "text"), [(0, "0"), (850, "0.85"), (1000, "1"), (10_000, "10"), (1_234_500, "1,234.5")]
)
def test_cpu_is_said_in_cpus(milli: int, text: str) -> None:
    assert drawing.cpu(milli) == text
