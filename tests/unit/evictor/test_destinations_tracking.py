"""The state of a cycle's replacements: those still expected, their reservations, and their nodes."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from moorage.evictor.destinations import Arrivals, MoveTracking, ReplacementMove
from moorage.objects import Pod
from moorage.reservations import Owner, destinations
from moorage.reservations.destinations import SlotsSpec
from tests.unit.evictor.build import NOW

SINCE = NOW - timedelta(seconds=30)
OLD, NEW = NOW - timedelta(hours=1), NOW


def pod(name: str, node: str = "", *, app: str = "web", created: Any = NEW, **meta: Any) -> Pod:
    """A pod of a ReplicaSet."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": f"uid-{app}", "controller": True}
    metadata = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": [owner]}
    stamp = f"{created:%Y-%m-%dT%H:%M:%SZ}"
    container = {"name": "main", "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}}
    spec = {"nodeName": node, "containers": [container]}
    return msgspec.convert({"metadata": metadata | {"creationTimestamp": stamp} | meta, "spec": spec}, Pod)


def move(name: str, source: str, node: str, app: str = "web") -> ReplacementMove:
    owner = Owner(kind="ReplicaSet", name=app, namespace="shop", uid=f"uid-{app}")
    return ReplacementMove(name, source, node, REPLACEMENTS[app], owner)


REPLACEMENTS = {app: pod(f"{app} (replacement)", app=app) for app in ("web", "api")}
THERE = [pod("a", "n1", created=OLD), pod("b", "n1", created=OLD), pod("c", "n2", created=OLD)]
MOVES = [move("a", "n1", "t1"), move("b", "n1", "t2"), move("c", "n2", "t2")]


def book(*moves: ReplacementMove) -> MoveTracking:
    made = MoveTracking(SINCE)
    made.foresee({each.source for each in moves}, moves)
    return made


def places(moves: list[ReplacementMove]) -> list[tuple[str, str]]:
    return sorted((each.uid, each.node) for each in moves)


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {node: sum(slot.count for slot in slots) for node, slots in found.items()}


def test_what_is_still_on_a_node_that_is_emptied_is_to_come_and_what_was_given_back_is_not() -> None:
    found = book(*MOVES)
    assert found.coming(THERE, ["n1", "n2"], []) == []
    assert places(found.coming(THERE, ["n2"], ["n1"])) == [("a", "t1"), ("b", "t2")]
    assert found.coming(THERE, ["n2"], []) == [], "it was given back"


def test_what_was_evicted_is_to_come_until_it_has() -> None:
    found = book(*MOVES)
    assert places(found.coming(THERE[1:], ["n2"], ["n1"])) == [("a", "t1"), ("b", "t2")]
    assert places(found.coming([*THERE[1:], pod("x", "t1")], ["n2"], ["n1"])) == [("b", "t2")]
    ending = pod("a", "n1", created=OLD, deletionTimestamp="2026-01-01T12:00:00Z")
    assert places(found.coming([ending, *THERE[1:]], ["n2"], ["n1"])) == [("a", "t1"), ("b", "t2")]


def test_what_has_come_elsewhere_or_waits_there_is_to_come_no_more() -> None:
    for node in ("", "elsewhere"):
        found = book(*MOVES)
        assert places(found.coming([*THERE[1:], pod("x", node)], ["n2"], ["n1"])) == [("b", "t2")]


def test_pods_that_were_there_before_are_no_replacements_nor_are_those_of_others() -> None:
    strangers = [pod("x", "t1", created=OLD), pod("y", "t1", app="api")]
    assert places(book(*MOVES).coming([*THERE[1:], *strangers], ["n2"], ["n1"])) == [("a", "t1"), ("b", "t2")]


def test_two_that_have_changed_places_are_both_where_they_were_simulated() -> None:
    found = book(move("a", "n1", "t1"), move("c", "n2", "t2"))
    come = [pod("x", "t2")]
    assert found.coming([*THERE[2:], *come], ["n2"], ["n1"]) == []
    found.foresee(["n2"], [move("c", "n2", "t1")])
    assert found.arrivals([*come, pod("y", "t1")], ["a", "c"]) == Arrivals(2, 0)


def test_nodes_whose_turn_has_not_come_are_foreseen_anew_and_others_not() -> None:
    found = book(*MOVES)
    found.foresee(["n2"], [move("c", "n2", "t3")])
    assert counts(found.slots(THERE, ["n2"], [], SINCE)) == {"t3": 1}
    found.foresee(["n2"], [])
    assert found.slots(THERE, ["n2"], [], SINCE) == {}
    assert places(found.coming(THERE, ["n2"], ["n1"])) == [("a", "t1"), ("b", "t2")]


def test_slots_count_what_has_come_because_who_reads_them_does() -> None:
    found, come = book(*MOVES), [pod("x", "t2"), pod("y", "t2")]
    pods = [*THERE[2:], *come]
    slots = found.slots(pods, ["n2"], [], SINCE)
    assert counts(slots) == {"t2": 3}
    (slot,) = slots["t2"]
    assert slot.requests == {"cpu": "250m", "memory": str(2**30)}
    assert counts(found.slots(pods, ["n2"], [], NEW + timedelta(seconds=1))) == {"t2": 1}, "younger ones only"


def test_where_nothing_is_to_come_nothing_is_reserved() -> None:
    found = book(*MOVES)
    assert counts(found.slots([pod("x", "t1"), *THERE[2:]], ["n2"], [], SINCE)) == {"t2": 1}


def test_pods_of_different_sizes_have_slots_of_their_own_and_those_of_one_size_share_one() -> None:
    large = pod("web (replacement)")
    container = msgspec.structs.replace(large.spec.containers[0], name="more")
    spec = msgspec.structs.replace(large.spec, containers=(*large.spec.containers, container))
    other = move("c", "n2", "t2")._replace(replacement=msgspec.structs.replace(large, spec=spec))
    like = move("d", "n2", "t2")._replace(replacement=pod("web (another replacement)"))
    slots = book(move("b", "n2", "t2"), other, like).slots([], ["n2"], [], SINCE)["t2"]
    assert [(slot.requests["cpu"], slot.count) for slot in slots] == [("250m", 2), ("500m", 1)]


def test_where_they_came_to_is_counted_once_for_each_that_was_evicted() -> None:
    found, evicted = book(*MOVES), ["a", "b"]
    assert found.arrivals([], evicted) == Arrivals(0, 0), "none has come"
    assert found.arrivals([pod("x", "t1"), pod("y", "t9"), pod("z", "t9")], evicted) == Arrivals(1, 1)
    assert found.arrivals([pod("x", "t1"), pod("y", "")], evicted) == Arrivals(1, 0), "one has no node yet"
    assert found.arrivals([pod("x", "t2"), pod("y", "t2")], evicted) == Arrivals(2, 0)


NODES = st.sampled_from(["t1", "t2", "t3"])
APPS = st.sampled_from(["web", "api"])


@given(
    st.lists(st.tuples(APPS, st.sampled_from(["n1", "n2", "n3"]), NODES), max_size=8),
    st.lists(st.tuples(APPS, st.sampled_from(["t1", "t2", "t3", "t4", ""])), max_size=8),
    st.sets(st.integers(0, 7)),
    st.sets(st.sampled_from(["n1", "n2", "n3"])),
)
def test_slots_that_are_free_are_as_many_as_are_to_come(
    moves: list[tuple[str, str, str]], come: list[tuple[str, str]], gone: set[int], remaining: set[str]
) -> None:
    made = [move(f"p{number}", source, node, app) for number, (app, source, node) in enumerate(moves)]
    there = [
        pod(each.uid, each.source, app=app, created=OLD)
        for number, (each, (app, _, _)) in enumerate(zip(made, moves, strict=True))
        if number not in gone
    ]
    pods = [*there, *(pod(f"new{number}", node, app=app) for number, (app, node) in enumerate(come))]
    found = book(*made)
    coming = found.coming(pods, remaining, {"n1", "n2", "n3"} - remaining)
    wanted = Counter(each.node for each in [*coming, *(each for each in made if each.source in remaining)])
    free: Counter[str] = Counter()
    for node, slots in found.slots(pods, remaining, coming, SINCE).items():
        spec = SlotsSpec(since=f"{SINCE:%Y-%m-%dT%H:%M:%SZ}", slots=slots)
        here = [each for each in pods if each.spec.node_name == node]
        free[node] = sum(slot.count - len(filled) for slot, filled in destinations.slots_filled(spec, here))
    assert free == wanted
    evicted = [each.uid for each in made if each.uid not in {pod.metadata.uid for pod in there}]
    assert sum(found.arrivals(pods, evicted)) <= min(len(evicted), len(come))
