"""The report matches the plan and the verdicts, and its sums are right."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.evictor import kinds, report
from moorage.evictor.candidates import NodeReason, PodReason
from moorage.evictor.compaction import KeptReason
from moorage.evictor.compaction.prices import PRICE
from moorage.evictor.evaluation import Evaluation
from moorage.evictor.report import display, guide_links, unlisted_kinds
from moorage.evictor.report.model import Configured, NodeReport, Report
from moorage.evictor.report.simulated import Simulated
from tests.examples import examples
from tests.unit.evictor.build import Json, controller, merged, owner, pod
from tests.unit.evictor.compaction.build import replica, replica_set, room
from tests.unit.evictor.test_guide_links import CHOOSING, SECTIONS

from .build import ALL, PROTECTED, SMALL, WHERE, seen, small

FOUND = report.build(small(), WHERE)


def told(*manifests: Json, **more: Any) -> Report:
    return report.build(seen(*manifests, **more), WHERE)


def by_name(found: Report) -> dict[str, NodeReport]:
    return {node.name: node for node in (*found.chosen, *found.others)}


def test_each_node_is_told_once() -> None:
    assert [node.name for node in FOUND.chosen] == ["n2", "n1", "n6"]
    assert [node.name for node in FOUND.others] == ["n3", "n4", "n5"]


def test_what_is_asked_for_before_and_after() -> None:
    usage = by_name(FOUND)["n3"].usage
    assert usage is not None
    assert (usage.allocatable.cpu_millis, usage.before.cpu_millis, usage.after.cpu_millis) == (4000, 2000, 3000)
    assert (usage.before.pods, usage.after.pods) == (4, 5)


def test_what_goes_with_a_chosen_node_is_left_on_it() -> None:
    usage = by_name(FOUND)["n1"].usage
    assert usage is not None
    assert usage.after.pods == 1


def test_the_replacement_counts_and_not_its_victim() -> None:
    grown = replica("a", "n1", cpu="2", metadata={"generation": 2})  # resized in place
    found = by_name(told(room("n1"), room("n2"), grown, replica("b", "n2"), replica("c", "n2"), replica_set()))
    usage = found["n2"].usage
    assert usage is not None
    assert usage.after.cpu_millis == 3000


def test_amounts_of_a_node_that_cannot_be_read() -> None:
    odd = room("n1", status={"allocatable": {"cpu": "many"}})
    usage = by_name(told(odd, replica("a", "n1"), replica_set()))["n1"].usage
    assert usage is not None
    assert (usage.allocatable.cpu_millis, usage.before.cpu_millis) == (0, 1000)
    assert display.cells(usage)[0] == "?"


def test_only_counts_nodes_that_nothing_else_holds() -> None:
    holding = {each.reason: each for each in FOUND.holding}
    assert {name: (each.nodes, each.only, each.pods) for name, each in holding.items()} == {
        "STATEFUL_SET": (2, 1, 2),
        "NODE_REMOVAL_DISABLED": (1, 1, 0),
        "REMOVAL_DISABLED": (1, 0, 1),
        "BARE_POD": (1, 0, 1),
    }
    assert holding["STATEFUL_SET"].example_node == "n3", "rather one that nothing else holds"
    assert holding["STATEFUL_SET"].price == by_name(FOUND)["n3"].price


@pytest.mark.parametrize(("change", "freed"), [({}, 0), ({"spec": {"replicas": 2}}, 1)])
def test_a_reason_that_goes_away_frees_the_nodes_that_only_it_held(change: Json, freed: int) -> None:
    """What ``only`` promises, tried out: a second replica is wanted, and the node may go."""
    things = (room("n1"), replica("a", "n1"), merged(replica_set(replicas=1), change))
    found = told(*things)
    assert sum(each.only for each in found.holding if each.reason == "SINGLE_REPLICA") == 1 - freed
    assert found.may_go == freed


def test_whose_pods_hold() -> None:
    assert [(each.controller, each.nodes, each.only, each.pods) for each in FOUND.holders] == [
        ("StatefulSet shop/db", 2, 1, 2),
        ("Pod shop/tool", 1, 0, 1),
    ]


def test_a_controller_above_the_owner_is_named() -> None:
    owned = replica_set("one-1", replicas=1, of=owner("Deployment", "one"))
    found = told(
        room("n1"), replica("a", "n1", of="one-1"), owned, controller("Deployment", "one", spec={"replicas": 1})
    )
    assert [each.controller for each in found.holders] == ["Deployment shop/one"]


def test_what_was_not_chosen_says_why() -> None:
    two = (room("n1"), room("n2"), replica("a", "n1"), replica("b", "n2"), replica_set(replicas=2))
    found = told(*two, configuration=replace(ALL, choice=replace(ALL.choice, most=0)))
    assert {node.name: [each.reason for each in node.kept] for node in found.others} == {
        "n1": ["LIMIT"],
        "n2": ["LIMIT"],
    }
    assert "At most 0 nodes may go in a cycle, so 2 others have to wait." in display.notes(found)
    assert all(each.about == "choice" for each in found.holding)


def test_money_only_when_all_prices_are_stated() -> None:
    stated: Json = {"metadata": {"annotations": {PRICE: "0.096"}}}
    found = told(room("n1", **stated), room("n2", **stated))
    assert (found.unit, found.unpriced) == ("money", ())
    assert display.headline(found).endswith("(0.192 of 0.192 per hour), 0 pods move.")
    mixed = told(room("n1", **stated), room("n2"))
    assert (mixed.unit, mixed.unpriced) == ("units", ("n2",))
    assert any("because 1 node (n2) has none" in note for note in display.notes(mixed))


def test_it_is_said_when_choosing_was_cut_off() -> None:
    cut = told(*SMALL, configuration=replace(ALL, choice=replace(ALL.choice, steps=1)))
    assert cut.cut_off
    assert any(note.startswith("Choosing was cut off after") for note in display.notes(cut))


def test_it_is_said_when_the_evictor_is_switched_off() -> None:
    assert "switched off" in display.notes(told(*SMALL, configuration=replace(ALL, enabled=False)))[0]


@pytest.mark.parametrize("kind", [each.kind for each in kinds.KINDS])
def test_what_a_kind_hides_is_said(kind: str) -> None:
    found = told(*(each for each in SMALL if each["kind"] != kind), without=(kind,))
    (unseen,) = found.unseen
    assert (unseen.kind, unseen.reason, unseen.hides) == (kind, f"may not list {kind}", unlisted_kinds.HIDES[kind])
    assert any(note.startswith(f"{kind} could not be listed") for note in display.notes(found))


def test_each_kind_that_is_read_is_in_the_table_and_no_other() -> None:
    configuration = {kinds.CONFIG_MAPS.kind, kinds.EVICTOR_CONFIGS.kind}
    assert unlisted_kinds.HIDES.keys() == {each.kind for each in kinds.KINDS} | configuration


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("Deployment", replica("x", "n1")),
        ("ReplicaSet", replica("x", "n1")),
        ("StatefulSet", pod("x", of=owner("StatefulSet", "x"), on="n1")),
        ("Job", pod("x", of=owner("Job", "x"), on="n1")),
        ("PodDisruptionBudget", replica("x", "n1")),
        ("Namespace", replica("x", "n1")),
        ("Pod", replica("x", "n1")),
    ],
)
def test_what_is_hidden_really_holds(kind: str, thing: Json) -> None:
    """The sentences of the table that say that something stays."""
    maker = replica_set(of=owner("Deployment", "web"))
    things = (room("n1"), thing, maker, controller("Deployment", "web", spec={"replicas": 3}))
    found = told(*(each for each in things if each["kind"] != kind), without=(kind,))
    assert found.may_go == 0


def test_it_can_be_read_again() -> None:
    assert report.from_json(report.as_json(FOUND)) == FOUND


def test_the_keys_of_its_json() -> None:
    written = json.loads(report.as_json(FOUND))
    assert list(written) == [
        *("version", "when", "source", "configuration", "unit", "total", "freed", "part", "nodes", "mayGo", "pods"),
        *("moved", "steps", "cutOff", "chosen", "others", "holding", "holders", "unpriced", "unplaced"),
        *("unseen", "unread"),
    ]
    assert written["version"] == 1
    node = written["others"][0]
    assert list(node) == [
        *("name", "instanceType", "zone", "capacityType", "price", "usage", "mayGo", "chosen"),
        *("moves", "reasons", "holders", "kept"),
    ]
    assert list(node["usage"]["before"]) == ["cpuMillis", "memoryBytes", "pods"]


def test_settings_have_the_names_of_the_values() -> None:
    names = [name for name, _ in display.settings(FOUND.configuration)]
    assert "maxTargetNodesPerCycle" in names
    assert len(names) == len(Configured.__struct_fields__)


@pytest.mark.parametrize("reason", [*PodReason, *NodeReason, *KeptReason])
def test_links_lead_to_the_row_of_the_reason(reason: PodReason | NodeReason | KeptReason) -> None:
    page = CHOOSING if isinstance(reason, KeptReason) else SECTIONS[guide_links.section(reason)]
    assert f"| `{reason.name}` |" in page
    assert f"## {guide_links.section(reason)}\n" in CHOOSING or guide_links.section(reason) in SECTIONS
    assert " " not in guide_links.link(reason)


def carried_out(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """The requests after all pods have moved, from the snapshot: cores and pods."""
    snapshot, found = evaluation.cluster.snapshot, {}
    with snapshot.trial():
        Simulated(evaluation).carry_out()
        for name, slot in snapshot.nodes.slots.items():
            used = snapshot.nodes.record(slot).offered["cpu"] - int(snapshot.resources.free[1][slot])
            found[name] = (used, len(snapshot.pods_on(name)))
    return found


def _anything(draw: st.DrawFn) -> list[Json]:
    """A tiny cluster: pods of all stances on nodes that may go and that may not."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 5)))]
    things = [
        room(name, cpu=draw(st.sampled_from("248")), **draw(st.sampled_from(({}, {}, PROTECTED)))) for name in names
    ]
    wanted = 0
    for number in range(draw(st.integers(0, 12))):
        name, on = f"p{number}", draw(st.sampled_from(names))
        kind = draw(st.sampled_from(("web", "web", "web", "agent", "db", "bare", "waits", "done")))
        wanted += kind in ("web", "waits")
        of = {"agent": owner("DaemonSet", "agent"), "db": owner("StatefulSet", "db")}.get(kind)
        phase = {"waits": "Pending", "done": "Succeeded"}.get(kind, "Running")
        if kind in ("web", "waits"):
            cpu = draw(st.sampled_from(("100m", "1", "2")))
            one = replica(name, on if kind == "web" else "", cpu=cpu, status={"phase": phase})
        else:
            one = pod(name, of=of, on=on, status={"phase": phase})
        things.append(one)
    return [
        *things,
        replica_set(replicas=draw(st.sampled_from((wanted, wanted + 1)))),
        controller("StatefulSet", "db", spec={"replicas": 2}),
        controller("DaemonSet", "agent"),
    ]


@settings(max_examples=examples(100), deadline=None)
@given(st.composite(_anything)())
def test_the_sums_agree(things: list[Json]) -> None:
    evaluation = seen(*things)
    before = {name: sorted(evaluation.cluster.snapshot.pods_on(name)) for name in evaluation.cluster.view.nodes}
    found = report.build(evaluation, WHERE)
    nodes = by_name(found)
    assert len(nodes) == len(found.chosen) + len(found.others) == found.nodes
    for node in found.chosen:
        assert node.may_go
        assert not node.reasons
        assert not node.holders
        assert not node.kept
    for node in found.others:
        assert node.may_go == (not node.reasons and not node.holders)
        assert node.may_go == bool(node.kept), "what may go and stays says why, and nothing else does"
    assert found.moved == sum(len(node.moves) for node in found.chosen)
    assert found.freed == pytest.approx(sum(node.price for node in found.chosen))
    assert found.total == pytest.approx(sum(node.price for node in nodes.values()))
    usages = [node.usage for node in nodes.values() if node.usage is not None]
    assert len(usages) == found.nodes
    assert sum(usage.before.pods for usage in usages) == sum(usage.after.pods for usage in usages)
    comes = {name: sum(move.node == name for node in found.chosen for move in node.moves) for name in nodes}
    for name, node in nodes.items():
        assert node.usage is not None
        assert node.usage.after.pods == node.usage.before.pods + comes[name] - len(node.moves)
        assert all(not nodes[move.node].chosen for move in node.moves)
    assert carried_out(evaluation) == {
        name: (node.usage.after.cpu_millis, node.usage.after.pods) for name, node in nodes.items() if node.usage
    }
    for each in found.holding:
        assert 0 <= each.only <= each.nodes <= len(found.others)
    assert sum(each.only for each in found.holding) <= len(found.others)
    assert {name: sorted(evaluation.cluster.snapshot.pods_on(name)) for name in before} == before, "nothing has changed"
    assert report.from_json(report.as_json(found)) == found
    report.as_table(found)
    report.as_wide(found)
    report.as_html(found)
