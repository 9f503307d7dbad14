"""A snapshot after any changes equals a new one, and after a rollback equals the one before."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.objects import Namespace, Node, Pod
from moorage.scheduling import Fit, Reason, Snapshot, SnapshotError
from tests.oracle import compare

from .build import HOST, REQUIRED, WEB, ZONE, apart, node, pod, spread

Answers = dict[tuple[str, str], str]
_CASES = (Path(__file__).parent / "recorded.jsonl").read_text().splitlines()


def answers(snapshot: Snapshot, pending: list[Pod]) -> Answers:
    found = {}
    for judged in pending:
        fitting = set(snapshot.fitting(judged))
        for name in snapshot.nodes.slots:
            verdict = snapshot.verdict(judged, name)
            assert (verdict.fit is Fit.YES) == (name in fitting)
            found[judged.key, name] = str(verdict)
    return found


class Model:
    """The same changes on a snapshot and on plain dictionaries, from which a fresh snapshot can be built."""

    def __init__(self, case: dict[str, Any], chance: random.Random) -> None:
        self.snapshot = compare.build(case)
        self.pending = compare.pending(case)
        self.chance = chance
        self.things = [thing for thing in compare.things(case) if not isinstance(thing, Node | Pod)]
        self.nodes = {thing.key: thing for thing in compare.things(case) if isinstance(thing, Node)}
        self.spare = dict(self.nodes)
        self.pods = {
            thing.key: (thing, thing.spec.node_name)
            for thing in compare.things(case)
            if isinstance(thing, Pod) and not thing.finished
        }

    def fresh(self) -> Snapshot:
        snapshot = Snapshot(nominated=True)
        for judged in self.pending:
            if not judged.spec.node_name:
                snapshot.apply(judged)
        for thing in (*self.things, *self.nodes.values()):
            snapshot.apply(thing)
        for judged, where in self.pods.values():
            snapshot.apply(msgspec.structs.replace(judged, spec=msgspec.structs.replace(judged.spec, node_name=where)))
        return snapshot

    def change(self) -> None:
        kind = self.chance.choice(("place", "place", "move", "remove", "node", "drop"))
        names, keys = sorted(self.nodes), sorted(self.pods)
        if kind == "place" and names:
            judged, where = self.chance.choice(self.pending), self.chance.choice(names)
            named = msgspec.structs.replace(
                judged, metadata=msgspec.structs.replace(judged.metadata, name=f"x{len(keys)}")
            )
            self.snapshot.place(named, where)
            self.pods[named.key] = (named, where)
        elif kind == "move" and names and keys:
            key, where = self.chance.choice(keys), self.chance.choice(names)
            self.snapshot.move(key, where)
            self.pods[key] = (self.pods[key][0], where)
        elif kind == "remove" and keys:
            key = self.chance.choice(keys)
            self.snapshot.remove(key)
            del self.pods[key]
        elif kind == "node":
            one_node = self.spare[self.chance.choice(sorted(self.spare))]
            labels = one_node.metadata.labels | {ZONE: self.chance.choice("abc")}
            meta = msgspec.structs.replace(one_node.metadata, labels=labels)
            spec = msgspec.structs.replace(one_node.spec, unschedulable=self.chance.random() < 0.3)
            changed = msgspec.structs.replace(one_node, metadata=meta, spec=spec)
            self.snapshot.add_node(changed)
            self.nodes[changed.key] = changed
        elif kind == "drop" and names:
            name = self.chance.choice(names)
            self.snapshot.remove_node(name)
            del self.nodes[name]


@pytest.mark.parametrize("number", range(0, len(_CASES), 2))
def test_any_changes_and_their_undoing(number: int) -> None:
    chance = random.Random(number)
    model = Model(json.loads(_CASES[number]), chance)
    before = answers(model.snapshot, model.pending)
    outer = model.snapshot.mark()
    for _ in range(chance.randrange(1, 8)):
        model.change()
    saved = dict(model.nodes), dict(model.pods)
    middle = answers(model.snapshot, model.pending)
    assert middle == answers(model.fresh(), model.pending)
    inner = model.snapshot.mark()
    for _ in range(chance.randrange(1, 8)):
        model.change()
    assert answers(model.snapshot, model.pending) == answers(model.fresh(), model.pending)
    model.snapshot.rollback(inner)
    model.nodes, model.pods = saved
    assert answers(model.snapshot, model.pending) == middle == answers(model.fresh(), model.pending)
    model.snapshot.sweep()
    assert answers(model.snapshot, model.pending) == middle
    if number % 4:
        model.snapshot.release(outer)
        model.snapshot.sweep()
        model.snapshot.sweep()
        assert answers(model.snapshot, model.pending) == middle
    else:
        model.snapshot.rollback(outer)
        assert answers(model.snapshot, model.pending) == before


def test_news_must_wait_for_the_end_of_a_simulation() -> None:
    snapshot = Snapshot()
    snapshot.apply(node())
    with snapshot.trial(), pytest.raises(SnapshotError, match="simulation"):
        snapshot.apply(pod(on="n0"))
    with snapshot.trial(), pytest.raises(SnapshotError, match="simulation"):
        snapshot.delete(Node, "n0")
    snapshot.apply(pod(on="n0"))
    assert snapshot.node_of("shop/p") == "n0"


def test_a_trial_that_fails_is_undone() -> None:
    snapshot = Snapshot()
    snapshot.apply(node())
    with contextlib.suppress(ZeroDivisionError), snapshot.trial():
        snapshot.place(pod(), "n0")
        raise ZeroDivisionError
    assert snapshot.node_of("shop/p") is None
    assert snapshot.pods_on("n0") == []


def test_simulated_changes_of_what_is_not_there() -> None:
    snapshot = Snapshot()
    with pytest.raises(SnapshotError, match="no node n9"):
        snapshot.place(pod(), "n9")
    with pytest.raises(SnapshotError, match="pod shop/p"):
        snapshot.move("shop/p", "n9")
    with pytest.raises(SnapshotError, match="no such node"):
        snapshot.remove_node("n9")
    snapshot.remove("shop/p")
    snapshot.delete(Pod, "shop/p")
    snapshot.delete(Node, "n9")


def test_pods_may_come_before_their_node_and_outlive_it() -> None:
    snapshot = Snapshot()
    snapshot.apply(pod("early", {"cpu": "3"}, on="n0"))
    assert snapshot.node_of("shop/early") is None
    snapshot.sweep()
    snapshot.apply(node())
    assert snapshot.node_of("shop/early") == "n0"
    assert snapshot.verdict(pod("q", {"cpu": "2"}), "n0").fit is Fit.NO
    snapshot.delete(Node, "n0")
    assert snapshot.fitting(pod("q")) == []
    snapshot.apply(node())
    assert snapshot.verdict(pod("q", {"cpu": "2"}), "n0").fit is Fit.NO
    snapshot.apply(pod("early", {"cpu": "3"}, on="n0", status={"phase": "Succeeded"}))
    assert snapshot.verdict(pod("q", {"cpu": "2"}), "n0").fit is Fit.YES
    assert snapshot.sizes()["pods"] == 0


def test_a_pod_does_not_stand_in_its_own_way() -> None:
    snapshot = Snapshot()
    snapshot.apply(node())
    snapshot.apply(node("n1"))
    there = pod(requests={"cpu": "3"}, on="n0", affinity=apart(), topologySpreadConstraints=spread())
    snapshot.apply(there)
    assert snapshot.verdict(there, "n0").fit is Fit.YES
    assert [finding.reason for finding in snapshot.verdict(there, "n1").findings] == [Reason.NODE_NAME]
    assert snapshot.fitting(there) == ["n0"]
    assert snapshot.fitting(there, as_replacement=True) == ["n0", "n1"]
    assert snapshot.verdict(there, "n1", as_replacement=True).fit is Fit.YES
    assert snapshot.node_of(there.key) == "n0"


def test_more_nodes_than_the_first_capacity_holds() -> None:
    snapshot = Snapshot()
    pending = pod("q", {"cpu": "1"}, app="web", affinity=apart(), topologySpreadConstraints=spread(HOST))
    for number in range(200):
        snapshot.apply(node(f"n{number}", zone="abc"[number % 3]))
        snapshot.apply(pod(f"p{number}", on=f"n{number}", app="web" if number % 2 else "db"))
        if number % 7 == 0:
            snapshot.fits(pending)
    assert snapshot.fitting(pending) == [f"n{number}" for number in range(0, 200, 2)]
    for number in range(0, 200, 4):
        snapshot.delete(Node, f"n{number}")
    assert snapshot.fitting(pending) == [f"n{number}" for number in range(2, 200, 4)]
    for number in range(200, 240):
        snapshot.apply(node(f"n{number}"))
    assert len(snapshot.fitting(pending)) == 50 + 40


def test_pods_that_share_their_parts_are_told_apart_by_the_others() -> None:
    judged = pod(requests={"cpu": "1"})
    zonal = msgspec.structs.replace(judged.spec, node_selector={ZONE: "a"})
    lonely = msgspec.structs.replace(judged.spec, affinity=pod(affinity=apart()).spec.affinity)
    kinds = {
        "any": judged,
        "zonal": msgspec.structs.replace(judged, spec=zonal),
        "lonely": msgspec.structs.replace(judged, spec=lonely),
    }
    snapshot = Snapshot()
    snapshot.apply(node("n0", zone="a"))
    snapshot.apply(node("n1", zone="b"))
    snapshot.apply(pod("there", on="n0"))
    expected = {"any": ["n0", "n1"], "zonal": ["n0"], "lonely": ["n1"]}
    for _ in range(2):
        for name, pending in kinds.items():
            assert pending.spec.containers is judged.spec.containers
            assert snapshot.fitting(pending) == expected[name]
        snapshot.sweep()


def test_a_snapshot_does_not_grow_with_what_went_away() -> None:
    snapshot = Snapshot()
    pending = pod("q", topologySpreadConstraints=spread(HOST), affinity=apart())
    for number in range(500):
        snapshot.apply(node(f"n{number}"))
        snapshot.apply(pod(f"p{number}", on=f"n{number}", meta={"labels": {"app": "web", "n": str(number)}}))
        snapshot.fits(pending)
        snapshot.delete(Pod, f"shop/p{number}")
        snapshot.delete(Node, f"n{number}")
    assert snapshot.nodes.capacity == 64
    assert snapshot.nodes.label(HOST).size <= 3
    snapshot.sweep()
    snapshot.sweep()
    assert snapshot.sizes() == {"nodes": 0, "pods": 0, "classes": 0, "node_masks": 0, "spreads": 0}
    assert snapshot.fitting(pending) == []


def test_namespace_labels_that_change_later() -> None:
    term = {"topologyKey": HOST, "labelSelector": WEB, "namespaceSelector": {"matchLabels": {"team": "red"}}}
    pending = pod("q", meta={"namespace": "data"}, affinity={"podAntiAffinity": {REQUIRED: [term]}})
    snapshot = Snapshot()
    snapshot.apply(node())
    snapshot.apply(pod(on="n0"))
    assert snapshot.fitting(pending) == ["n0"]
    for labels, fits in (({"team": "red"}, []), ({"team": "blue"}, ["n0"]), ({"team": "red"}, [])):
        snapshot.apply(msgspec.convert({"metadata": {"name": "shop", "labels": labels}}, Namespace))
        assert snapshot.fitting(pending) == fits
    snapshot.delete(Namespace, "shop")
    assert snapshot.fitting(pending) == ["n0"]


def test_replacements_of_one_pod_under_keys_of_their_own() -> None:
    snapshot = Snapshot()
    for name in ("n0", "n1", "n2"):
        snapshot.apply(node(name))
    pending = pod("q", affinity=apart())
    with snapshot.trial():
        for number in range(3):
            where = snapshot.first_fit(pending)
            assert where == f"n{number}"
            snapshot.place(pending, where, key=f"slot-{number}")
        assert snapshot.first_fit(pending) is None
    assert snapshot.first_fit(pending) == "n0"
