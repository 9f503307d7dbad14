"""The pure parts of the evictor's demo: floors, state, bars, the parsed report, the verdict."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from moorage.drain import floor
from moorage.drain.names import DRAIN_ANNOTATION, SOFT_TAINT, Mark, Phase, written
from moorage.objects import Condition, Node, NodeSpec, ObjectMeta, Pod, PodSpec, PodStatus, Workload
from moorage.ops import configuration
from moorage.ops.settings import EvictorSettings
from moorage.reservations import moment
from tests.examples import examples
from tools.demo import replay
from tools.demo.common import events as common
from tools.demo.common import record
from tools.demo.common.apps import App, budget, deployment
from tools.demo.common.events import Event, Said
from tools.demo.common.floors import Floor
from tools.demo.common.pictures import BAR, FLOOR_BAR, bar, floor_bar
from tools.demo.common.pods import pod_state
from tools.demo.common.stage import Stage
from tools.demo.common.workloads import BudgetSeen, PodSeen, PodState, Watched
from tools.demo.common.workloads import Workload as Watching
from tools.demo.evictor import check, manifests, observe, picture, report, scenario, story, world
from tools.demo.evictor import settings as set_to
from tools.demo.evictor.__main__ import main, next_step, show_outcome
from tools.demo.evictor.events import Judged, NodeSeen, NodeState
from tools.demo.evictor.play import EVICTOR
from tools.demo.evictor.progress import Progress
from tools.demo.evictor.scenario import APPS, NODES, scaled
from tools.demo.evictor.state import State

ROOT = Path(__file__).parents[3]
CPU, PRICE = 3900, 0.1
WEB = App("web", 3, 500)


def node_seen(name: str, state: NodeState = NodeState.RUNNING, at: float = 1) -> NodeSeen:
    return NodeSeen(at=at, node=name, state=state, cpu=CPU, price=PRICE)


def pod_seen(name: str, state: PodState = PodState.READY, node: str = "n1", app: str = "web") -> PodSeen:
    return PodSeen(at=1, pod=name, app=app, cpu=500, state=state, node=node)


def watched(app: str = "web", replicas: int = 3, floor: int = 2, *, budget: bool = False) -> Watched:
    return Watched(at=1, app=app, replicas=replicas, floor=floor, budget=budget)


def a_cluster(nodes: int = 4) -> list[Event]:
    """Nodes, on which three pods of one Deployment are watched; two of the nodes could go."""
    events: list[Event] = [node_seen(f"n{number}") for number in range(1, nodes + 1)]
    events += [pod_seen(f"web-{number}", node=f"n{number}") for number in (1, 2, 3)]
    events += [watched()]
    return events + [
        Judged(at=2, node=f"n{each}", goes=each <= 2, why="" if each < 4 else "a Job") for each in (1, 2, 3, 4)
    ]


def shown(state: State, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(EVICTOR.render(state, EVICTOR.heading, state.at))
    return console.export_text()


# --- the scenario ---


def test_the_cluster_is_used_to_two_fifths() -> None:
    used = sum(app.replicas * app.cpu for app in APPS) / (NODES * CPU)
    assert 0.37 <= used <= 0.43
    assert scaled(NODES) == APPS


@pytest.mark.parametrize("app", [*APPS, *scaled(8)], ids=lambda app: f"{app.name}-{app.replicas}")
def test_floors_are_those_that_the_evictor_keeps(app: App) -> None:
    if app.budget is None:
        workload = msgspec.convert(deployment(app, grace=manifests.GRACE_SECONDS), Workload)
        # As the API server fills it in.
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}}
        defaulted = msgspec.convert({"spec": {"replicas": app.replicas, "strategy": strategy}}, Workload)
        assert floor.wanted(workload) == app.replicas
        assert app.floor == floor.least("Deployment", defaulted)
    else:
        assert budget(app)["spec"]["maxUnavailable"] == app.replicas - app.floor > 0


def test_a_small_cluster_is_about_as_full() -> None:
    used = sum(app.replicas * app.cpu for app in scaled(8)) / (8 * CPU)
    assert 0.33 <= used <= 0.47


def test_the_flags_are_settings_of_the_evictor_and_told_by_their_names() -> None:
    known = {each.flag for each in configuration.settings_of(EvictorSettings).values()}
    assert {flag.partition("=")[0] for flag in set_to.service_flags()} <= known
    places = (ROOT / "charts" / "castai-evictor" / "values.yaml", world.CRD)
    values = "".join(path.read_text() for path in places)
    for name in re.findall(r"(\w+) \S+(?:,|$)", set_to.told().partition(";")[0]):
        assert re.search(rf"^\s*{name}:", values, re.MULTILINE), name


# --- events and state ---


def test_the_lowest_number_of_ready_pods_is_kept_and_counts_from_when_it_is_watched() -> None:
    before = [pod_seen("web-1", PodState.STARTING), *a_cluster()]
    state = EVICTOR.replayed(before)
    assert state.workloads["web"].lowest == 3
    for event in (pod_seen("web-1", PodState.LEAVING), pod_seen("web-2", PodState.LEAVING, "n2"), pod_seen("web-4")):
        state.apply(event)
    assert (state.ready("web"), state.workloads["web"].lowest) == (2, 1)
    assert state.evicted == {"web-1", "web-2"}


def test_what_nodes_cost_falls_when_their_object_is_gone_and_not_before() -> None:
    state = EVICTOR.replayed(a_cluster())
    assert state.cost == state.cost_before == pytest.approx(4 * PRICE)
    state.apply(node_seen("n1", NodeState.EMPTY))
    assert state.cost == pytest.approx(4 * PRICE)
    state.apply(node_seen("n1", NodeState.DELETED))
    state.apply(node_seen("new"))
    state.apply(node_seen("new", NodeState.DELETED))
    assert state.cost == pytest.approx(3 * PRICE)
    assert state.cost_before == pytest.approx(4 * PRICE)
    assert [node.name for node in state.deleted] == ["n1"], "one that came after the report saves nothing"


def test_a_budget_is_violated_by_fewer_healthy_pods_than_it_wants_once_it_is_watched() -> None:
    state = State()
    state.apply(BudgetSeen(at=0, app="web", healthy=0, desired=2))
    for event in a_cluster():
        state.apply(event)
    state.apply(BudgetSeen(at=3, app="web", healthy=2, desired=2))
    assert state.violations == []
    state.apply(BudgetSeen(at=4, app="web", healthy=1, desired=2))
    assert state.violations == ["the PodDisruptionBudget of web wants 2 healthy pods, and there were 1"]


def test_a_recording_reads_back_and_is_not_taken_for_another_demos(tmp_path: Path) -> None:
    path, events = tmp_path / "evictor.jsonl", a_cluster()
    with record.Writer(path, record.heading("evictor", "v1.36.3")) as writer:
        for event in events:
            writer.write(event)
    assert record.read(path, EVICTOR)[2] == events
    with pytest.raises(record.RecordingError, match="of a demo 'evictor' that this program does not show"):
        record.read(path, dataclasses.replace(EVICTOR, name="pod-pinner"))


# --- the picture ---


def test_the_bar_of_a_node_is_to_scale() -> None:
    used = {PodState.READY: 400, PodState.STARTING: 200, PodState.LEAVING: 100}
    assert bar(1100, used).plain == "████▓▓▒····"
    assert bar(1100, {}).plain == "·" * BAR


@settings(deadline=None, max_examples=examples(50))
@given(st.integers(0, 5000), st.dictionaries(st.sampled_from(PodState), st.integers(0, 5000)))
def test_a_bar_is_never_longer_or_shorter_than_it_should(cpu: int, used: dict[PodState, int]) -> None:
    assert len(bar(cpu, used)) == BAR


@pytest.mark.parametrize(
    ("ready", "drawn", "style"),
    [(9, "██████│███", "green"), (6, "██████│···", "green"), (5, "█████·│···", "red"), (0, "······│···", "red")],
)
def test_a_floor_is_a_line_in_the_bar_of_ready_pods(ready: int, drawn: str, style: str) -> None:
    found = floor_bar(Watching("web", FLOOR_BAR, 6, budget=False, lowest=6), ready)
    assert found.plain == drawn
    assert found.style == style


@settings(deadline=None, max_examples=examples(50))
@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 80))
def test_a_floors_bar_has_one_length(replicas: int, least: int, ready: int) -> None:
    workload = Watching("web", replicas, min(least, replicas), budget=True, lowest=0)
    assert len(floor_bar(workload, ready)) == FLOOR_BAR + 1


def test_what_was_promised_kept_and_deleted_can_be_told_from_each_other() -> None:
    state = EVICTOR.replayed([*a_cluster(), node_seen("n1", NodeState.DELETED), node_seen("n2", NodeState.DRAINING)])
    text = shown(state)
    assert "1 deleted of 2 promised" in text
    assert "cost 0.30 an hour of 0.40: 25 % less" in text
    assert re.search(r"01 ✘ deleted", text)
    assert re.search(r"02 ◐ █", text)
    assert re.search(r"04 ■ ·", text), "a Job keeps it"


def test_it_fits_a_terminal_of_24_lines_and_80_columns_and_takes_what_a_higher_one_has() -> None:
    _, _, events = record.read(replay.EVICTORS, EVICTOR)
    state = EVICTOR.replayed([*events, *(Said(at=2000 + each, sentence=f"sentence {each}") for each in range(40))])
    small, high = shown(state), shown(state, height=50)
    assert len(small.splitlines()) <= 23
    assert len(high.splitlines()) <= 49
    assert "sentence 36" in small
    assert "sentence 15" not in small
    assert "sentence 15" in high


def test_the_svg_is_made_from_the_committed_run_and_loads_nothing() -> None:
    document = picture.svg(replay.EVICTORS)
    root = ElementTree.fromstring(document)  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert "http" not in document.replace("http://www.w3.org/2000/svg", "")
    assert (ROOT / "docs" / "images" / "evictor-demo.svg").read_text() == document


def test_the_committed_recording_is_of_a_run_that_was_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, events = record.read(replay.EVICTORS, EVICTOR)
    state = EVICTOR.replayed(events)
    assert len(state.nodes) == NODES
    assert len([node for node in state.promised if node in state.deleted]) >= check.LEAST_SHARE * len(state.promised)
    assert len(state.promised) >= NODES // 4
    assert {each.name: each.floor for each in state.workloads.values()} == {app.name: app.floor for app in APPS}
    assert all(each.lowest >= each.floor for each in state.workloads.values())
    assert not state.violations
    assert not state.bought
    assert not any(said.mark is common.Mark.BAD for said in state.said)
    assert replay.main(["--evictor"]) == 0
    assert "./taskw demo:evictor makes it happen here" in capsys.readouterr().out


def test_progress_is_told_once_and_by_quarters() -> None:
    stage = Stage(State())
    progress = Progress(stage)
    for event in a_cluster():
        stage.take(event)
    for state in (NodeState.DRAINING, NodeState.EMPTY, NodeState.DELETED):
        stage.take(node_seen("n1", state))
        progress.tell()
        progress.tell()
    first, second, third = (said.sentence for said in stage.state.said)
    assert "is cordoned" in first
    assert "is empty" in second
    assert "1 of 4 nodes; 0.30 an hour are left of 0.40" in third


# --- what the cluster shows ---


def node(name: str, *, cordoned: bool = False, phase: Phase | None = None, tainted: bool = False) -> Node:
    since = moment("2026-01-01T00:00:00Z")
    assert since is not None
    annotations = {DRAIN_ANNOTATION: written(Mark("us", "1", phase, since))} if phase else {}
    taints = (SOFT_TAINT,) if tainted else ()
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", annotations=annotations),
        spec=NodeSpec(unschedulable=cordoned, taints=taints),
    )


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (None, NodeState.RUNNING),
        (Phase.CHOSEN, NodeState.CHOSEN),
        (Phase.DRAINING, NodeState.DRAINING),
        (Phase.EMPTIED, NodeState.EMPTY),
        (Phase.ROLLED_BACK, NodeState.RUNNING),
        (Phase.HANDED_BACK, NodeState.RUNNING),
    ],
)
def test_how_far_a_node_is(phase: Phase | None, state: NodeState) -> None:
    assert observe.node_state(node("n1", phase=phase)) is state


@pytest.mark.parametrize(
    ("where", "ready", "deleted", "phase", "state"),
    [
        ("", False, None, "Pending", PodState.PENDING),
        ("n1", False, None, "Pending", PodState.STARTING),
        ("n1", True, None, "Running", PodState.READY),
        ("n1", True, "2026-01-01T00:00:00Z", "Running", PodState.LEAVING),
        ("n1", True, None, "Failed", PodState.LEAVING),
    ],
)
def test_how_far_a_pod_is(where: str, ready: bool, deleted: str | None, phase: str, state: PodState) -> None:
    conditions = (Condition(type="Ready", status="True" if ready else "False"),)
    meta = ObjectMeta(name="web-1", deletion_timestamp=deleted)
    found = Pod(metadata=meta, spec=PodSpec(node_name=where), status=PodStatus(phase=phase, conditions=conditions))
    assert pod_state(found) is state


@pytest.mark.parametrize(
    ("reason", "going", "over"), [("Idle", 0, True), ("Idle", 2, False), ("Draining", 0, False), ("DryRun", 0, False)]
)
def test_the_evictor_is_at_rest_when_it_has_looked_and_nothing_goes(reason: str, going: int, over: bool) -> None:
    status = {"conditions": [{"type": "Acting", "reason": reason}], "lastCycle": {"going": going}}
    assert story.at_rest(status) is over
    assert not story.at_rest({"conditions": status["conditions"]})
    assert not story.at_rest({})


# --- the report ---


def entry(name: str, *, goes: bool = False, reasons: Sequence[str] = (), held: Sequence[str] = ()) -> dict[str, Any]:
    holders = [{"pod": "a/b", "reasons": [{"sentence": each} for each in held]}] if held else []
    may = not reasons and not held
    return {
        "name": name,
        "mayGo": may,
        "chosen": goes,
        "reasons": [{"sentence": e} for e in reasons],
        "holders": holders,
    }


def test_the_report_is_read_as_it_is_told() -> None:
    holding = [
        {"sentence": "pods would come to it", "nodes": 5, "about": "choice", "example": {"pod": ""}},
        {"sentence": "it is a Job", "nodes": 1, "about": "pod", "example": {"pod": "demo/report"}},
    ]
    found = report.read(
        {
            "nodes": 4,
            "chosen": [entry("n1", goes=True)],
            "others": [entry("n2"), entry("n3", held=["it is a Job"]), entry("n4", reasons=["somebody keeps it"])],
            "total": 4.0,
            "freed": 1.0,
            "moved": 3,
            "holding": holding,
        }
    )
    assert found.going == {"n1"}
    assert found.kept == {"n3": "it is a Job", "n4": "somebody keeps it"}
    assert "1 of 4 nodes could go, which saves 1.00 of 4.00 an hour (25 %); 3 pods would move" in found.sentence
    assert found.reasons == ("1 node kept: it is a Job (demo/report)", "5 nodes kept: pods would come to it")


# --- the verdict ---

UIDS = {f"n{number}": f"uid-n{number}" for number in range(1, 5)}
PROMISE = report.Report(4, frozenset({"n1", "n2"}), {}, 4 * PRICE, 2 * PRICE, 2, ())


def an_end(*more: Event) -> State:
    """The state after both promised nodes went; each pod was made anew elsewhere."""
    events: list[Event] = [*a_cluster()]
    for number in (1, 2):
        old, new = f"web-{number}", f"web-{number}-new"
        events += [pod_seen(old, PodState.LEAVING, f"n{number}"), pod_seen(old, PodState.GONE, f"n{number}")]
        events += [pod_seen(new, node="n3"), node_seen(f"n{number}", NodeState.DELETED)]
    return EVICTOR.replayed([*events, *more])


def test_a_run_that_keeps_its_promise_has_no_problems() -> None:
    found = check.judged(an_end(), PROMISE, UIDS, [node("n3"), node("n4")])
    assert found.problems == ()
    assert (found.nodes, found.deleted, found.promised, found.kept_promise, found.share) == (4, 2, 2, 2, 1.0)
    assert found.cost_after == pytest.approx(2 * PRICE)
    assert found.workloads == {"web": Floor(3, 2, 2, 3)}
    assert (
        "2 of 4 nodes are deleted, 2 of 2 that were promised (100 %); 0.40 → 0.20 an hour (50 % less)" in found.sentence
    )


def test_only_nodes_whose_object_is_gone_count_and_a_new_one_of_the_same_name_is_another() -> None:
    again = Node(metadata=ObjectMeta(name="n1", uid="another"))
    found = check.judged(an_end(), PROMISE, UIDS, [again, node("n2", phase=Phase.EMPTIED, tainted=True), node("n3")])
    assert (found.deleted, found.kept_promise, found.bought) == (2, 1, 1)
    assert found.problems == (
        "1 of 2 promised nodes are deleted (50 %); at least 95 % must be",
        "node n2 is empty, and neither deleted nor given back",
        "node n1 was bought meanwhile",
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (pod_seen("web-3", PodState.LEAVING, "n3"), "Deployment web has 2 of 3 pods Ready in the end"),
        (BudgetSeen(at=9, app="web", healthy=1, desired=2), "the PodDisruptionBudget of web wants 2 healthy pods"),
    ],
)
def test_what_happened_to_a_workload_is_a_problem(more: Event, words: str) -> None:
    (problem,) = check.judged(an_end(more), PROMISE, UIDS, [node("n3"), node("n4")]).problems
    assert words in problem


def test_a_floor_that_was_broken_once_is_a_problem_however_it_ends() -> None:
    dip = [pod_seen("web-3", PodState.LEAVING, "n3"), pod_seen("web-1-new", PodState.LEAVING, "n3")]
    back = [pod_seen("web-3-new", node="n4"), pod_seen("web-1-newer", node="n4")]
    (problem,) = check.judged(an_end(*dip, *back), PROMISE, UIDS, [node("n3"), node("n4")]).problems
    assert problem == "Deployment web had 1 Ready pods, and its floor is 2"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (node("n4", cordoned=True), "node n4 is left cordoned (not by us)"),
        (node("n4", cordoned=True, phase=Phase.DRAINING), '"phase":"draining"'),
        (node("n4", tainted=True), "node n4 is running, and neither deleted nor given back"),
        (node("n4", phase=Phase.CHOSEN), "node n4 is chosen, and neither deleted nor given back"),
    ],
)
def test_what_is_left_on_a_node_is_a_problem(left: Node, words: str) -> None:
    (problem,) = check.judged(an_end(), PROMISE, UIDS, [node("n3"), left]).problems
    assert words in problem


def test_a_report_that_promises_nothing_and_what_came_too_late_are_problems() -> None:
    nothing = dataclasses.replace(PROMISE, going=frozenset())
    found = check.judged(an_end(), nothing, UIDS, [node("n3"), node("n4")], "after 300 s there were still nodes")
    assert found.problems == ("after 300 s there were still nodes", "the report promised nothing")
    assert found.share == 0


def test_the_verdict_is_the_exit_code_and_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    good = check.judged(an_end(), PROMISE, UIDS, [node("n3"), node("n4")])
    bad = check.judged(an_end(), PROMISE, UIDS, [node("n3"), node("n4", cordoned=True)])
    stream = io.StringIO()
    for outcome, code in ((good, 0), (bad, 1)):
        show_outcome(outcome, "json", stream)
        assert next_step(outcome, stream) == code
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] is (code == 0)
        assert document["problems"] == list(outcome.problems)
        assert (document["deleted"], document["promised"], document["share"]) == (2, 2, 1.0)
    assert stream.getvalue().count("web: 3 replicas, floor 2, fewest Ready 2") == 2
    assert "please report this" in stream.getvalue()


@pytest.mark.parametrize("nodes", ["7", "100", "-1", "many"])
def test_so_few_or_many_nodes_are_wrong_usage(nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nodes", nodes])
    assert ended.value.code == 2
    assert "--nodes" in capsys.readouterr().err


def test_the_scenario_names_what_karpenter_and_the_evictor_know() -> None:
    assert manifests.node_claim(7)["metadata"]["labels"] == {"karpenter.sh/nodepool": manifests.POOL}
    assert manifests.prices([(scenario.INSTANCE_TYPE, 0.1)])["metadata"]["name"] == manifests.PRICES
