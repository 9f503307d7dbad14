"""The pure parts of the rebalancing demo: the events of leaders and slots, the verdict, the picture."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from moorage.drain.names import DRAIN_ANNOTATION, SOFT_TAINT, Mark, Phase, written
from moorage.objects import (
    Condition,
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    Taint,
)
from moorage.objects.pod import Affinity, NodeAffinity, PreferredSchedulingTerm
from moorage.objects.selectors import NodeSelectorTerm, Requirement
from moorage.pinner.names import CLAIM_ANNOTATION, PIN_ANNOTATION, PREPARING
from moorage.reservations import moment
from tools.demo import manifests, replay
from tools.demo.common import events as common
from tools.demo.common import record
from tools.demo.common.events import Event, Said
from tools.demo.common.workloads import BudgetSeen, PodSeen, PodState, Watched
from tools.demo.rebalance import check, picture
from tools.demo.rebalance.__main__ import main, next_step, show_outcome
from tools.demo.rebalance.check import Outcome, Planner
from tools.demo.rebalance.events import (
    Coming,
    Failed,
    Going,
    Killed,
    LeaderSeen,
    NewSeen,
    Nominated,
    OldSeen,
    Planned,
    SlotsSeen,
    WebhookSeen,
)
from tools.demo.rebalance.play import REBALANCE
from tools.demo.rebalance.scenario import LEAST_NODES, NODES, scenario
from tools.demo.rebalance.state import State
from tools.demo.scenario import CAPACITY

ROOT = Path(__file__).parents[3]
SMALL = scenario(LEAST_NODES)
PLACEHOLDERS = {target.name: f"uid-{target.name}" for target in SMALL.targets}
DONE = Planner(0)

# --- events and state ---


def old_seen(name: str, state: Going = Going.RUNNING) -> OldSeen:
    return OldSeen(at=1, node=name, state=state, cpu=CAPACITY)


def pod_seen(name: str, state: PodState = PodState.READY, node: str = "old-01", at: float = 1) -> PodSeen:
    return PodSeen(at=at, pod=name, app=name.partition("-")[0], cpu=100, state=state, node=node)


def a_kill(at: float = 10) -> list[Event]:
    """Pinner a leads and is killed. Pinner b leads 15 s later, and its webhook is registered another second later."""
    return [
        LeaderSeen(at=1, replica="a"),
        WebhookSeen(at=2, replica="a"),
        Killed(at=at, replica="a"),
        LeaderSeen(at=at + 15, replica="b"),
        WebhookSeen(at=at + 16, replica="b"),
    ]


def test_who_takes_over_counts_from_the_kill_and_not_before() -> None:
    state = State()
    for event in [LeaderSeen(at=0, replica="b"), *a_kill()[:3]]:
        state.apply(event)
    assert (state.takeover, state.silence) == (None, None)
    for event in (LeaderSeen(at=11, replica="a"), LeaderSeen(at=12, replica=""), *a_kill()[3:]):
        state.apply(event)
    assert (state.leader, state.takeover, state.silence) == ("b", 15, 16)
    state.apply(LeaderSeen(at=40, replica="a"))
    assert state.takeover == 15, "what comes later is another story"


@pytest.mark.parametrize("first", [0, 1])
def test_lease_and_webhook_may_be_seen_in_either_order(first: int) -> None:
    *before, leader, webhook = a_kill()
    pair = [leader, webhook]
    state = REBALANCE.replayed([*before, pair[first], pair[1 - first]])
    assert state.served_again is not None
    assert state.silence is not None
    assert state.silence >= 15


def test_pods_that_come_while_nobody_is_asked_are_remembered_by_name() -> None:
    before, killed, after = a_kill()[:2], a_kill()[2:4], a_kill()[4:]
    state = REBALANCE.replayed([*before, pod_seen("web-1"), *killed[:1], pod_seen("web-1", PodState.LEAVING)])
    assert state.unasked == set()
    for event in (pod_seen("web-2", PodState.PENDING, ""), *killed[1:], pod_seen("web-3"), *after, pod_seen("web-4")):
        state.apply(event)
    assert state.unasked == {"web-2", "web-3"}


# --- the verdict ---


def node(
    name: str, *, phase: Phase | None = None, cordoned: bool = False, taints: Sequence[Taint] = (), ready: bool = True
) -> Node:
    since = moment("2026-01-01T00:00:00Z")
    assert since is not None
    annotations = {DRAIN_ANNOTATION: written(Mark("us", "1", phase, since))} if phase else {}
    conditions = (Condition(type="Ready", status="True" if ready else "False"),)
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", annotations=annotations),
        spec=NodeSpec(unschedulable=cordoned, taints=tuple(taints)),
        status=NodeStatus(conditions=conditions, node_info=NodeSystemInfo(kubelet_version="v1.36.3")),
    )


def empty(name: str) -> Node:
    return node(name, phase=Phase.EMPTIED, taints=[SOFT_TAINT])


def pod(app: str, number: int, where: str, marks: Mapping[str, str], phase: str = "Running") -> Pod:
    owner = OwnerReference(kind="ReplicaSet", name=f"{app}-1", uid=app, controller=True)
    meta = ObjectMeta(
        name=f"{app}-{number}",
        namespace=manifests.NAMESPACE,
        uid=f"{app}-{number}",
        labels={"app": app, "pod-template-hash": "1"},
        annotations=dict(marks),
        owner_references=(owner,),
    )
    return Pod(metadata=meta, spec=PodSpec(node_name=where), status=PodStatus(phase=phase))


STEERED = {CLAIM_ANNOTATION: "1"}


def where_they_belong() -> list[Pod]:
    """All pods of the small scenario, each in its slot, and those with devices."""
    pods, number = [], Counter[str]()
    for target in SMALL.targets:
        for app, count in (*target.slots.items(), (SMALL.trainer.name, target.devices)):
            for _ in range(count):
                number[app] += 1
                pods.append(pod(app, number[app], target.name, {} if app == SMALL.trainer.name else STEERED))
    return pods


def nodes() -> list[Node]:
    return [*map(empty, SMALL.old), *(node(target.name) for target in SMALL.targets)]


def an_end(*more: Event) -> State:
    """The events of a run without problems: every pod was replaced, half of them after the kill."""
    pods = where_they_belong()
    moved = [each for each in pods if each.metadata.labels["app"] != SMALL.trainer.name]
    events: list[Event] = [old_seen(name) for name in SMALL.old]
    events += [Planned(at=1, node=each.name, cpu=CAPACITY, slots=6, devices=each.devices) for each in SMALL.targets]
    events += [pod_seen(f"{each.metadata.name}-old") for each in moved]
    events += [Nominated(at=1, pod=p.metadata.name, node=p.spec.node_name) for p in pods if p not in moved]
    events += [pod_seen(p.metadata.name, node=p.spec.node_name) for p in pods if p not in moved]
    events += [
        Watched(at=1, app=app.name, replicas=app.replicas, floor=app.floor) for app in (*SMALL.apps, SMALL.trainer)
    ]
    kill = a_kill()
    for index, each in enumerate(moved):
        if index == len(moved) // 2:
            events += kill
        events += [
            pod_seen(f"{each.metadata.name}-old", PodState.LEAVING),
            pod_seen(f"{each.metadata.name}-old", PodState.GONE),
            pod_seen(each.metadata.name, node=each.spec.node_name),
        ]
    return REBALANCE.replayed([*events, *(old_seen(name, Going.EMPTY) for name in SMALL.old), *more])


def judged(
    *more: Event,
    pods: Sequence[Pod] | None = None,
    there: Sequence[Node] | None = None,
    planner: Planner = DONE,
    state: State | None = None,
) -> Outcome:
    return check.judged(
        an_end(*more) if state is None else state,
        SMALL,
        where_they_belong() if pods is None else pods,
        nodes() if there is None else there,
        PLACEHOLDERS,
        planner,
    )


def test_a_run_as_it_should_be_has_no_problems() -> None:
    found = judged()
    assert found.problems == ()
    assert (found.old_nodes, found.empty, found.new_nodes, found.filled) == (4, 4, 2, 2)
    assert (found.slots, found.left, found.by["steered"]) == (13, 0, 13)
    assert (found.devices, found.nominated, found.evicted) == (2, 2, 13)
    assert (found.takeover, found.silence) == (15, 16)
    assert "4 of 4 old nodes are empty" in found.sentences[0]
    assert "13 of 13 slots are filled: 13 steered by the webhook" in found.sentences[1]
    assert "led 15.0 s after the kill" in found.sentences[-1]


def test_who_has_filled_a_slot_stands_on_the_pod() -> None:
    marks = [{PIN_ANNOTATION: "x"}, {PIN_ANNOTATION: "x", CLAIM_ANNOTATION: "1"}, {}]
    pods = where_they_belong()
    first = [
        msgspec.structs.replace(each, metadata=msgspec.structs.replace(each.metadata, annotations=mark))
        for each, mark in zip(pods, marks, strict=False)
    ]
    found = judged(pods=[*first, *pods[3:]])
    assert found.by == {"webhook": 1, "steered": 10, "binding": 1, "scheduler": 1}
    assert found.problems == ()


def changed(index: int, change: Callable[[Pod], Pod]) -> list[Pod]:
    pods = where_they_belong()
    return [*pods[:index], change(pods[index]), *pods[index + 1 :]]


def moved_to(name: str) -> Callable[[Pod], Pod]:
    return lambda each: msgspec.structs.replace(each, spec=PodSpec(node_name=name))


def pinned(each: Pod) -> Pod:
    meta = msgspec.structs.replace(each.metadata, annotations={PIN_ANNOTATION: "x"})
    return msgspec.structs.replace(each, metadata=meta)


def steered(node: str) -> Callable[[Pod], Pod]:
    """The scheduler has chosen another node for it."""
    field = Requirement(key="metadata.name", operator="In", values=(node,))
    term = PreferredSchedulingTerm(100, NodeSelectorTerm(match_fields=(field,)))
    affinity = Affinity(node_affinity=NodeAffinity(preferred_during_scheduling_ignored_during_execution=(term,)))
    return lambda each: msgspec.structs.replace(each, spec=PodSpec(node_name=each.spec.node_name, affinity=affinity))


PENDING = PodStatus(phase="Pending")


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        (where_they_belong()[1:], ["Deployment api has 2 pods, and is to have 3"]),
        ([*where_they_belong(), pod("web", 99, "new-1", {})], ["Deployment web has 5 pods, and is to have 4"]),
        (
            changed(0, moved_to("old-01")),
            ["node old-01 still has pods", "which is none of the plan's", "1 of 13 slots"],
        ),
        (
            changed(0, moved_to("new-2")),
            ["1 of 13 slots are free, but only 0 pods came while no webhook was registered"],
        ),
        (changed(0, lambda each: msgspec.structs.replace(each, status=PENDING)), ["is Pending, not Running"]),
        (
            [*map(pinned, where_they_belong()[:-1]), pod("mail", 99, "new-1", {PIN_ANNOTATION: "x"})],
            ["2 pods of mail were"],
        ),
        ([*map(steered("new-2"), where_they_belong())], ["4 pods of web were meant for new-2, where"]),
    ],
    ids=["lost", "doubled", "on an old node", "in no slot", "not running", "two pinned to one slot", "steered to one"],
)
def test_a_pod_that_is_not_as_it_should_be_is_a_problem(pods: list[Pod], words: list[str]) -> None:
    problems = "\n".join(judged(pods=pods).problems)
    for each in words:
        assert each in problems


def test_a_slot_may_be_left_for_each_pod_that_came_while_nobody_was_asked() -> None:
    state = an_end()
    state.unasked.add("api-1")
    found = judged(pods=changed(0, moved_to("new-2")), state=state)
    assert found.problems == ()
    assert "12 of 13 slots are filled: 12 steered by the webhook, 1 not: 1 pods came" in found.sentences[1]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (nodes()[1:], "node old-01 does not exist"),
        ([node("old-01", phase=Phase.EMPTIED, taints=[SOFT_TAINT], cordoned=True), *nodes()[1:]], "left cordoned"),
        ([node("old-01", phase=Phase.HANDED_BACK), *nodes()[1:]], "node old-01 is running, and not marked as empty"),
        (nodes()[:-1], "node new-2 does not exist"),
        ([*nodes()[:-1], node("new-2", ready=False)], "node new-2 is not Ready"),
        ([*nodes()[:-1], node("new-2", taints=[Taint(PREPARING, "true", "PreferNoSchedule")])], "still has the taint"),
    ],
)
def test_a_node_that_is_not_as_it_should_be_is_a_problem(there: list[Node], words: str) -> None:
    (problem,) = judged(there=there).problems
    assert words in problem


def test_a_new_node_without_pods_is_no_filled_one() -> None:
    assert (
        "node new-2 has no pods"
        in judged(pods=[p for p in where_they_belong() if p.spec.node_name != "new-2"]).problems
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (Failed(at=9, pod="web-7"), "pod web-7 was Failed"),
        (Nominated(at=9, pod="trainer-1", node="new-2"), "trainer-1 is on new-1, and was nominated to new-2"),
        (BudgetSeen(at=9, app="api", healthy=1, desired=2), "the PodDisruptionBudget of api wants 2 healthy pods"),
        (pod_seen("search-1", PodState.STARTING, "new-1"), "Deployment search has 1 of 2 pods Ready in the end"),
    ],
)
def test_what_was_seen_on_the_way_is_a_problem(more: Event, words: str) -> None:
    (problem,) = judged(more).problems
    assert words in problem


def test_a_floor_that_was_broken_for_a_moment_is_a_problem_however_it_ends() -> None:
    names = ("search-1", "search-2")
    where = {each.metadata.name: each.spec.node_name for each in where_they_belong()}
    dip = [pod_seen(name, PodState.STARTING, where[name]) for name in names]
    (problem,) = judged(*dip, *(pod_seen(name, node=where[name]) for name in names)).problems
    assert problem == "Deployment search had 0 Ready pods, and its floor is 1"


def test_more_pods_than_devices_on_a_node_are_a_problem() -> None:
    last = len(where_they_belong()) - 1
    nominated = Nominated(at=9, pod="trainer-2", node="new-1")
    (problem,) = judged(nominated, pods=changed(last, moved_to("new-1"))).problems
    assert problem == "node new-1 has 2 pods that want a device, and 1 devices"


def test_a_leader_that_nobody_replaces_is_a_problem() -> None:
    def without(*kinds: type[Event]) -> tuple[str, ...]:
        state = an_end()
        for each, names in ((Killed, ("killed",)), (LeaderSeen, ("took_over",)), (WebhookSeen, ("served_again",))):
            for name in names if each in kinds else ():
                setattr(state, name, None)
        return judged(state=state).problems

    assert without(Killed) == ("no leader was killed",)
    assert without(LeaderSeen) == ("no replica has taken over from a",)
    assert without(WebhookSeen) == ("the API server was not told to ask the replica that took over from a",)


def test_a_kill_after_the_last_eviction_was_not_in_the_middle() -> None:
    state = an_end()
    state.evicted_before = len(state.evicted)
    (problem,) = judged(state=state).problems
    assert "that was not in the middle" in problem


@pytest.mark.parametrize(
    ("code", "log", "problems"),
    [
        (0, '{"level":"info"}\n{"event":"summary","trouble":[]}\nno JSON', []),
        (1, '{"event":"summary","trouble":["node x was not emptied"]}', ["ended with 1: node x was not emptied"]),
        (-9, "killed", ["ended with -9: it has written no summary"]),
    ],
)
def test_what_the_planner_says_at_its_end_is_part_of_the_verdict(code: int, log: str, problems: list[str]) -> None:
    found = judged(planner=Planner.read(code, log)).problems
    assert list(found) == [f"moorage planner {each}" for each in problems]


def test_what_came_too_late_is_a_problem() -> None:
    assert judged(planner=dataclasses.replace(DONE, late="waited 120 s")).problems == ("waited 120 s",)


def test_the_verdict_is_the_exit_code_and_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    for outcome, code in ((judged(), 0), (judged(there=nodes()[1:]), 1)):
        show_outcome(outcome, "json", stream)
        assert next_step(outcome, stream) == code
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] is (code == 0)
        assert document["problems"] == list(outcome.problems)
        assert (document["slots"], document["left"]) == (13, 0)
    assert stream.getvalue().count("search: 2 replicas, floor 1, fewest Ready 1") == 2
    assert "please report this" in stream.getvalue()


@pytest.mark.parametrize("count", ["3", "17", "-1", "many"])
def test_so_few_or_many_nodes_are_wrong_usage(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nodes", count])
    assert ended.value.code == 2
    assert "--nodes" in capsys.readouterr().err


# --- the picture and the recording ---


def shown(state: State, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    heading = f"{REBALANCE.heading} · recording of a run on 2 cores, Kubernetes v1.36.3"
    console.print(REBALANCE.render(state, heading, 99.9))
    return console.export_text()


def test_a_dead_leader_and_whom_the_api_server_asks_can_be_seen() -> None:
    state = an_end()
    assert "leader b   webhook b" in shown(state)
    dead = REBALANCE.replayed(a_kill()[:3])
    assert "leader a is dead   webhook a" in shown(dead)
    assert "leader" not in shown(State())


def test_what_is_drained_joined_and_filled_can_be_told_from_each_other() -> None:
    going = {"old-01": Going.EMPTY, "old-02": Going.DRAINING, "old-03": Going.CHOSEN}
    events: list[Event] = [old_seen(name, state) for name, state in going.items()]
    planned = Planned(at=1, node="new-1", cpu=CAPACITY, slots=6, devices=2)
    events += [planned, NewSeen(at=1, node="new-1", state=Coming.JOINING), SlotsSeen(at=1, node="new-1", steered=2)]
    text = shown(REBALANCE.replayed([*events, Nominated(at=1, pod="trainer-1", node="new-1")]))
    for part in ("01 ◌", "02 ◐", "03 ○", "◐ joining", "slots 2/6  GPU 1/2", "1 empty   slots 2 of 6"):
        assert part in text


def test_it_fits_a_terminal_of_24_lines_and_80_columns() -> None:
    _, _, events = record.read(replay.REBALANCES, REBALANCE)
    said = (Said(at=90 + each / 8, sentence=f"sentence {each}") for each in range(40))
    state = REBALANCE.replayed([*events, LeaderSeen(at=90, replica="pinner-b"), *said])
    assert len(shown(state).splitlines()) <= 23
    assert max(map(len, shown(state).splitlines())) <= 80
    assert "sentence 37" in shown(state)
    assert "sentence 15" in shown(state, height=50)


def test_the_svg_is_made_from_the_committed_run_and_loads_nothing() -> None:
    document = picture.svg(replay.REBALANCES)
    root = ElementTree.fromstring(document)  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert "http" not in document.replace("http://www.w3.org/2000/svg", "")
    assert (ROOT / "docs" / "images" / "rebalance-demo.svg").read_text() == document


def test_the_committed_recording_is_of_a_run_that_was_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    made = scenario(NODES)
    _, _, events = record.read(replay.REBALANCES, REBALANCE)
    state = REBALANCE.replayed(events)
    assert {node.name for node in state.old_in(Going.EMPTY)} == {*made.old}
    assert sum(node.taken for node in state.new.values()) == made.slots
    assert {each.name: each.floor for each in state.workloads.values()} == {
        app.name: app.floor for app in (*made.apps, made.trainer)
    }
    assert all(each.lowest >= each.floor for each in state.workloads.values())
    assert not state.violations
    assert not state.failed
    assert state.takeover is not None
    assert len(state.evicted) > state.evicted_before > 0
    assert [said.sentence[:7] for said in state.said if said.mark is common.Mark.BAD] == ["kill -9"]
    assert replay.main(["--rebalance"]) == 0
    assert "./taskw demo:rebalance makes it happen here" in capsys.readouterr().out
