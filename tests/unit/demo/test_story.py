"""The demo's pure parts: the packing, the state, the picture, the recording, the verdict."""

from __future__ import annotations

import io
import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from moorage.objects import (
    Condition,
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    Taint,
)
from moorage.pinner.names import PLACEHOLDER_LABEL
from tests.examples import examples
from tools.demo import check, manifests, moments, observe, picture, planfile, replay, scenario
from tools.demo.common import record, screen
from tools.demo.common.events import Event, Mark, Said
from tools.demo.events import NodeSeen, NodeState, Phase, PodSeen, PodState, Promised, SchedulerAlone
from tools.demo.play import POD_PINNER
from tools.demo.scenario import APPS, CAPACITY, FILL, Machine, Replica, plan, replicas
from tools.demo.state import State
from tools.demo.view import render

ROOT = Path(__file__).parents[3]


def some_pods(seed: int = 0) -> list[Replica]:
    """All replicas, with names as random as a ReplicaSet's."""
    chance = random.Random(seed)
    pods = [
        Replica(
            app.name, manifests.NAMESPACE, f"{app.name}-{chance.getrandbits(32):x}", f"uid-{app.name}-{index}", app.cpu
        )
        for app in APPS
        for index in range(app.replicas)
    ]
    chance.shuffle(pods)
    return pods


def a_run() -> list[Event]:
    """The events of a run without problems."""
    machines = plan(some_pods())
    at = itertools.count()
    events: list[Event] = [Said(at=next(at), sentence="starting")]
    pods = [pod for machine in machines for pod in machine.pods]
    events += [PodSeen(at=next(at), pod=p.key, app=p.app, cpu=p.cpu, state=PodState.PENDING) for p in pods]
    for machine in machines:
        events.append(
            Promised(
                at=next(at),
                node=machine.name,
                capacity=CAPACITY,
                pods=len(machine.pods),
                promised=machine.promised,
                apps=Counter(pod.app for pod in machine.pods),
            )
        )
    for state, pod_state in (
        (NodeState.PLACEHOLDER, PodState.PINNED),
        (NodeState.JOINING, PodState.PINNED),
        (NodeState.READY, PodState.RUNNING),
    ):
        for machine in machines:
            events.append(NodeSeen(at=next(at), node=machine.name, state=state))
            events += [
                PodSeen(at=next(at), pod=p.key, app=p.app, cpu=p.cpu, state=pod_state, node=machine.name)
                for p in machine.pods
            ]
    return [*events, Said(at=next(at), sentence="checked", mark=Mark.GOOD)]


def drawn(state: State, width: int = 100) -> str:
    console = Console(width=width, height=24, file=io.StringIO(), record=True)
    console.print(render(state))
    return console.export_text()


# --- the packing ---


def test_every_pod_has_one_place_and_no_machine_is_promised_more_than_it_has() -> None:
    pods = some_pods()
    machines = plan(pods)
    assert Counter(pod.uid for machine in machines for pod in machine.pods) == Counter(pod.uid for pod in pods)
    assert all(machine.promised <= FILL < CAPACITY for machine in machines)
    assert len(machines) == 12
    assert len(pods) == replicas() == 60


@given(st.integers(0, 10_000))
@settings(max_examples=examples(20), deadline=None)
def test_the_shape_of_the_plan_does_not_depend_on_the_pods_names(seed: int) -> None:
    def shape(pods: list[Replica]) -> dict[str, dict[str, int]]:
        machines = plan(pods)
        placement = {pod.key: machine.name for machine in machines for pod in machine.pods}
        return scenario.shape(placement, {pod.key: pod.app for pod in pods})

    assert shape(some_pods(seed)) == shape(some_pods(0))


def test_the_plan_file_is_what_the_planner_reads(tmp_path: Path) -> None:
    schema = json.loads((ROOT / "schemas" / "plan" / "plan.schema.json").read_text())
    document = planfile.document(plan(some_pods()))
    jsonschema.Draft7Validator(schema).validate(document)
    planfile.write(tmp_path / "plan.yaml", document)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


# --- events and state ---


def test_the_state_counts_what_the_events_say() -> None:
    state = POD_PINNER.replayed(a_run())
    assert state.pods_in(PodState.RUNNING) == 60
    assert state.nodes_in(NodeState.READY) == 12
    assert [said.sentence for said in state.said] == ["starting", "checked"]
    for node in state.nodes.values():
        assert sum(pod.cpu for pod in state.on(node.name)) == node.promised
        assert len(state.on(node.name)) == node.promised_pods


def test_a_pod_that_is_gone_counts_nowhere() -> None:
    events = a_run()
    gone = next(event for event in events if isinstance(event, PodSeen))
    state = POD_PINNER.replayed(
        [*events, PodSeen(at=999, pod=gone.pod, app=gone.app, cpu=gone.cpu, state=PodState.GONE)]
    )
    assert state.pods_in(PodState.RUNNING) == 59


def test_a_recording_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path, events = tmp_path / "demo.jsonl", a_run()
    with record.Writer(path, record.heading("pod-pinner", "v1.36.3")) as writer:
        for event in events:
            writer.write(event)
    heading, demo, found = record.read(path, POD_PINNER)
    assert demo is POD_PINNER
    assert found == events
    assert heading.kubernetes == "v1.36.3"
    assert re.fullmatch(r"\d+ cores", heading.machine)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"recording":1}\n{"event":"nodeseen","at":1}', "damaged"),
        (b'{"recording":1}\n{"event":"unheard","at":1}', "damaged"),
        (b'{"recording":2}', "format 2"),
        (None, "cannot be read"),
    ],
)
def test_a_recording_that_is_none_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    path = tmp_path / "demo.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert replay.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert str(path) in said


# --- the picture ---


def test_a_node_has_one_block_for_each_pod_in_the_colour_of_its_deployment() -> None:
    state = State()
    state.apply(Promised(at=0, node="n1", capacity=1000, pods=4, promised=900, apps={"web": 3, "api": 1}))
    state.apply(NodeSeen(at=1, node="n1", state=NodeState.JOINING))
    state.apply(PodSeen(at=1, pod="a/1", app="web", cpu=250, state=PodState.RUNNING, node="n1"))
    state.apply(PodSeen(at=1, pod="a/2", app="web", cpu=250, state=PodState.PINNED, node="n1"))
    state.apply(PodSeen(at=1, pod="a/3", app="api", cpu=150, state=PodState.PINNED, node="n1"))
    state.apply(PodSeen(at=1, pod="a/4", app="web", cpu=250, state=PodState.PENDING))
    line = next(line for line in drawn(state).splitlines() if line.startswith("n1"))
    assert "▮▯▯·" in line
    assert "joining" in line
    assert "3/4" in line
    assert "0.65 of 1" in line
    text = drawn(state)
    assert "CPU" in text
    for words in ("1 pending", "2 pinned", "1 running", "▮ running", "▯ pinned", "▮ web", "▮ api", "1 joining"):
        assert words in text, f"counters and legend use the same words: {words}"


def compared(placement: dict[str, str]) -> State:
    """Four pods where Moorage has put them, and then where kube-scheduler has: node by pod."""
    state = State()
    for name, app in (("n1", "web"), ("n2", "api")):
        state.apply(Promised(at=0, node=name, capacity=1000, pods=2, promised=500, apps={app: 2}))
        for index in range(2):
            state.apply(PodSeen(at=1, pod=f"a/{app}-{index}", app=app, cpu=250, state=PodState.RUNNING, node=name))
    state.apply(SchedulerAlone(at=2))
    for seen in list(state.pods.values()):
        state.apply(PodSeen(at=3, pod=seen.pod, app=seen.app, cpu=seen.cpu, state=PodState.GONE))
    for name, where in placement.items():
        run = PodState.RUNNING if where else PodState.PENDING
        state.apply(PodSeen(at=4, pod=f"b/{name}", app=name[:3], cpu=250, state=run, node=where))
    return state


def test_the_comparison_counts_pods_on_the_node_that_was_bought_for_them() -> None:
    text = drawn(compared({"web-0": "n1", "api-0": "n1", "api-1": "n2", "web-1": ""}))
    assert "Moorage 4 of 4" in text
    assert "kube-scheduler alone 2 of 4" in text
    first, second = (line.split() for line in text.splitlines() if line.startswith(("n1", "n2")))
    assert first == ["n1", "▮▮", "2", "of", "2", "0.5", "of", "1", "▮○", "1", "of", "2", "0.5", "of", "1"]
    assert second == ["n2", "▮▮", "2", "of", "2", "0.5", "of", "1", "▮", "1", "of", "2", "0.25", "of", "1"]


def test_pods_of_one_deployment_count_as_alike() -> None:
    plan = {"n1": {"web": 2}, "n2": {"web": 1, "api": 1}}
    assert scenario.as_bought(plan, plan) == 4
    assert scenario.as_bought(plan, {"n1": {"web": 3}, "n2": {"api": 1}}) == 3
    assert scenario.as_bought(plan, {"n2": {"web": 3, "api": 1}}) == 2
    assert scenario.as_bought(plan, {}) == 0


def test_a_caption_says_what_is_to_be_seen() -> None:
    state = State()
    state.apply(Phase(at=1, number=2, parts=5, caption="Pods are pinned."))
    assert "2 of 5  Pods are pinned." in drawn(state)


def test_a_failed_pod_is_seen() -> None:
    state = POD_PINNER.replayed(a_run())
    pod = next(iter(state.pods.values()))
    state.apply(PodSeen(at=999, pod=pod.pod, app=pod.app, cpu=pod.cpu, state=PodState.FAILED, node=pod.node))
    assert "1 failed" in drawn(state)


def test_it_fits_a_terminal_of_24_lines_and_80_columns() -> None:
    text = drawn(
        POD_PINNER.replayed([*a_run(), *(Said(at=2000 + i, sentence=f"sentence {i}") for i in range(20))]), width=80
    )
    assert len(text.splitlines()) <= 23
    assert "sentence 19" in text
    compared = [*a_run(), Phase(at=900, number=5, parts=5, caption="The end."), SchedulerAlone(at=901)]
    text = drawn(POD_PINNER.replayed([*compared, *(Said(at=2000, sentence=f"said {i}") for i in range(20))]), width=80)
    assert len(text.splitlines()) <= 23
    assert "said 19" in text


def test_the_svg_is_made_from_the_committed_run_and_loads_nothing() -> None:
    document = picture.svg(replay.RECORDING)
    root = ElementTree.fromstring(document)  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert "http" not in document.replace("http://www.w3.org/2000/svg", "")
    assert document == picture.svg(replay.RECORDING)
    assert (ROOT / "docs" / "images" / "demo.svg").read_text() == document


def test_the_committed_recording_is_of_a_run_that_was_as_it_should_be() -> None:
    heading, _, events = record.read(replay.RECORDING, POD_PINNER)
    state = POD_PINNER.replayed(events)
    assert heading.kubernetes.startswith("v1.")
    assert state.pods_in(PodState.RUNNING) == len(state.pods) == 60
    assert state.nodes_in(NodeState.READY) == len(state.nodes) == 12
    assert not any(said.mark is Mark.BAD for said in state.said)
    assert state.said[-1].sentence.startswith("checked:")
    seen = [event for event in events if isinstance(event, PodSeen | NodeSeen)]
    turn = next(event.at for event in events if isinstance(event, SchedulerAlone))
    assert state.pinned is not None
    assert state.as_bought(state.pinned) == 60
    assert 0 < state.as_bought(state.pods) < 60
    seen = [event for event in seen if event.at < turn]
    last_pinned = max(e.at for e in seen if isinstance(e, PodSeen) and e.state is PodState.PINNED)
    first_joining = min(e.at for e in seen if isinstance(e, NodeSeen) and e.state is NodeState.JOINING)
    assert last_pinned < first_joining, "pods are pinned before any machine exists"


# --- replay and screens ---


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_replay_takes_the_time_it_is_given() -> None:
    slept: list[float] = []
    shown = screen.Lines(io.StringIO())
    events = a_run()
    replay.play(events, shown, speed=events[-1].at / 20, sleep=slept.append)
    assert sum(slept) == pytest.approx(20)
    assert max(slept) <= 0.1 + 1e-9


def test_a_replay_rests_at_each_caption() -> None:
    slept: list[float] = []
    events = [Phase(at=1, number=1, parts=2, caption="first"), Phase(at=2, number=2, parts=2, caption="second")]
    replay.play(events, screen.Lines(io.StringIO()), speed=10, sleep=slept.append)
    assert slept.count(replay.READING) == 2
    slept.clear()
    replay.play(events, screen.Lines(io.StringIO()), speed=0, sleep=slept.append)
    assert slept == []


def test_a_replay_into_a_pipe_is_the_sentences_headed_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "recording of a run on" in lines[0]
    assert any("60 pods pinned" in line for line in lines)
    assert "that was a recording" in lines[-1]


def test_a_terminal_gets_a_picture_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with screen.screen(stream, POD_PINNER, "Moorage") as shown:
            for event in a_run():
                shown.show(event)
    assert "▮" in terminal.getvalue()
    assert [line[9:] for line in pipe.getvalue().splitlines()] == ["· starting", "✔ checked"]


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    with screen.screen(terminal, POD_PINNER, "Moorage") as shown:
        shown.show(Said(at=1, sentence="checked", mark=Mark.GOOD))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.getvalue())


# --- what the cluster shows ---


def node(name: str, *, kubelet: bool = True, ready: bool = True, taints: tuple[str, ...] = (), uid: str = "") -> Node:
    return Node(
        metadata=ObjectMeta(name=name, uid=uid or f"uid-{name}", labels={} if kubelet else {PLACEHOLDER_LABEL: "true"}),
        spec=NodeSpec(taints=tuple(Taint(key=key, effect="NoSchedule") for key in taints)),
        status=NodeStatus(
            conditions=(Condition(type="Ready", status="True" if ready else "False"),),
            node_info=NodeSystemInfo(kubelet_version="v1.36.3" if kubelet else ""),
        ),
    )


def pod(replica: Replica, where: str, phase: str = "Running", reason: str = "") -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=replica.name, namespace=replica.namespace, uid=replica.uid, labels={"app": replica.app}
        ),
        spec=PodSpec(node_name=where),
        status=PodStatus(phase=phase, reason=reason),
    )


@pytest.mark.parametrize(
    ("seen", "switched_on", "state"),
    [
        (node("n", kubelet=False, ready=False), False, NodeState.PLACEHOLDER),
        (node("n", kubelet=False, ready=False), True, NodeState.JOINING),
        (node("n", ready=False), True, NodeState.JOINING),
        (node("n", taints=(manifests.PREPARING,)), True, NodeState.JOINING),
        (node("n", taints=(manifests.LABEL,)), True, NodeState.READY),
    ],
)
def test_how_far_a_node_is(seen: Node, switched_on: bool, state: NodeState) -> None:
    assert observe.node_state(seen, switched_on=switched_on) is state


# --- moments ---


def test_the_same_seed_chooses_the_same_moments_and_everybody_has_a_turn() -> None:
    chosen = moments.choose(20, seed=1)
    assert chosen == moments.choose(20, seed=1) != moments.choose(20, seed=2)
    assert {moment.victim for moment in chosen} == {"pinner", "planner", "apiserver"}
    assert all(0 <= moment.at <= moments.LATEST for moment in chosen)


def test_the_expected_placement_is_the_plans() -> None:
    wanted = moments.expected()
    assert sum(sum(apps.values()) for apps in wanted.values()) == 60
    assert sorted(wanted) == [machine.name for machine in MACHINES]


# --- the verdict ---

MACHINES = plan(some_pods())
FIRST: Machine = MACHINES[0]


def good_pods() -> list[Pod]:
    return [pod(each, machine.name) for machine in MACHINES for each in machine.pods]


def good_nodes() -> list[Node]:
    return [node(machine.name) for machine in MACHINES]


UIDS = {machine.name: f"uid-{machine.name}" for machine in MACHINES}


def test_a_run_as_planned_has_no_problems() -> None:
    assert check.pod_problems(MACHINES, good_pods()) == []
    assert check.node_problems(MACHINES, good_nodes(), UIDS) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pod(FIRST.pods[0], "elsewhere"), f"is on elsewhere, planned was {FIRST.name}"),
        (pod(FIRST.pods[0], ""), "is on no node"),
        (pod(FIRST.pods[0], FIRST.name, "Failed", "OutOfcpu"), "is Failed (OutOfcpu), not Running"),
        (pod(FIRST.pods[0], FIRST.name, "Pending"), "is Pending, not Running"),
    ],
)
def test_a_pod_that_is_not_as_planned_is_named(wrong: Pod, words: str) -> None:
    pods = [wrong, *(each for each in good_pods() if each.metadata.uid != wrong.metadata.uid)]
    (problem,) = check.pod_problems(MACHINES, pods)
    assert wrong.key in problem
    assert words in problem


def test_a_pod_that_was_made_again_is_two_problems() -> None:
    again = Replica("web", manifests.NAMESPACE, "web-again", "another-uid", 100)
    pods = [pod(again, FIRST.name, "Pending"), *good_pods()[1:]]
    gone, new = check.pod_problems(MACHINES, pods)
    assert "is gone" in gone
    assert "web-again was not planned (Pending)" in new


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (node(FIRST.name, kubelet=False), "still a placeholder"),
        (node(FIRST.name, uid="another"), "replaced instead of adopted"),
        (node(FIRST.name, ready=False), "not Ready"),
        (node(FIRST.name, taints=(manifests.PREPARING,)), "still has the taint"),
        (None, "does not exist"),
    ],
)
def test_a_node_that_is_not_as_planned_is_named(wrong: Node | None, words: str) -> None:
    nodes = [*([wrong] if wrong else []), *good_nodes()[1:]]
    (problem,) = check.node_problems(MACHINES, nodes, UIDS)
    assert FIRST.name in problem
    assert words in problem


def test_a_node_too_many_is_named() -> None:
    (problem,) = check.node_problems(MACHINES, [*good_nodes(), node("stranger")], UIDS)
    assert "stranger was not planned" in problem
