"""The nodes of a running cycle that could still be emptied: our own marks do not count, and leaving pods free room."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import History, Settings
from moorage.evictor.configuration import Configuration
from moorage.evictor.destinations import ReplacementMove
from moorage.evictor.recheck import Remaining, recheck
from tests.unit.evictor.build import NOW, Json, budget, controller, merged, owner
from tests.unit.evictor.compaction.build import replica, replica_set, room
from tests.unit.evictor.test_evaluation import inventory

US = "castai-agent/castai-evictor"
CONFIGURATION = Configuration(policy=Policy(installation=US), choice=Settings(least=1, percentage=1, utilisation=1.0))


def chosen(name: str, phase: str = "chosen", by: str = US, **change: Any) -> Json:
    """A node that we are at work on."""
    said = {"by": by, "cycle": "c", "phase": phase, "since": "2026-01-01T11:59:00Z", "set": ["taint", "cordon"]}
    taint = {"key": "evictor.cast.ai/evicted", "value": "true", "effect": "PreferNoSchedule"}
    return merged(
        room(
            name,
            metadata={"annotations": {"moorage.dev/drain": json.dumps(said)}},
            spec={"taints": [taint], "unschedulable": phase == "draining"},
        ),
        change,
    )


def asked(names: Collection[str], *manifests: Json, history: History | None = None) -> set[str]:
    return set(recheck(inventory(*manifests), CONFIGURATION, history or History(), names).nodes)


def test_nodes_that_we_have_chosen_still_count_and_more_than_the_percentage_of_them() -> None:
    three = [chosen("n1"), chosen("n2"), room("n3")]
    pods = [replica("a", "n1"), replica("b", "n2"), replica("c", "n3"), replica_set()]
    assert asked(["n1", "n2"], *three, *pods) == {"n1", "n2"}
    assert asked(["n1"], *three, *pods) == {"n1"}, "nobody asks about the other one"


def test_a_node_counts_no_longer_whose_pods_fit_nowhere_now() -> None:
    full = replica("big", "n3", cpu="4")
    pods = [replica("a", "n1"), full, replica_set()]
    assert asked(["n1"], chosen("n1"), room("n3"), *pods) == set()


def test_a_mark_of_others_and_a_cordon_of_others_count() -> None:
    pods = [replica("a", "n1"), replica("c", "n3"), replica_set()]
    assert asked(["n1"], chosen("n1", by="other/evictor"), room("n3"), *pods) == set()
    assert asked(["n1"], room("n1", spec={"unschedulable": True}), room("n3"), *pods) == set()


def test_room_is_kept_for_what_is_about_to_leave_other_nodes() -> None:
    """n2 is being drained, and its pod will need the room on n3 that the one of n1 would take."""
    container = {"name": "main", "resources": {"requests": {"cpu": "3"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    full = [room("n4", "3"), replica("c", "n4", cpu="3"), replica("a", "n1", cpu="3")]
    two, three = (merged(replica_set(replicas=count), {"spec": {"template": template}}) for count in (2, 3))
    assert asked(["n1"], chosen("n1"), room("n3"), *full, two) == {"n1"}
    leaving = [chosen("n2", "draining"), replica("b", "n2", cpu="3")]
    assert asked(["n1"], chosen("n1"), room("n3"), *full, *leaving, three) == set()


def test_what_the_cycle_has_used_up_for_the_moment_is_waited_for() -> None:
    spent = budget(disruptionsAllowed=0, currentHealthy=2)
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}
    top = controller("Deployment", "web", spec={"replicas": 3}, status=status)
    maker = replica_set(metadata={"ownerReferences": [owner("Deployment", "web")]})
    pods = [replica("a", "n1"), replica("b", "n3"), top, maker, spent]
    assert asked(["n1"], chosen("n1"), room("n3"), *pods) == {"n1"}
    old = merged(top, {"status": {"replicas": 3}})
    assert asked(["n1"], chosen("n1"), room("n3"), replica("a", "n1"), replica("b", "n3"), old, maker) == set()


def test_owners_are_not_disturbed_more_often_than_they_may_be() -> None:
    pods = [replica("a", "n1"), replica("c", "n3"), replica_set(replicas=2)]
    often = History({"uid-web-1": (NOW - timedelta(minutes=1),) * 2})
    assert asked(["n1"], chosen("n1"), room("n3"), *pods) == {"n1"}
    assert asked(["n1"], chosen("n1"), room("n3"), *pods, history=often) == set()


def moves(names: Collection[str], *manifests: Json, coming: Sequence[ReplacementMove] = ()) -> Remaining:
    return recheck(inventory(*manifests), CONFIGURATION, History(), names, coming)


def test_where_replacements_go_is_told_with_their_owner_as_a_webhook_recognises_it() -> None:
    top = controller(
        "Deployment", "web", spec={"replicas": 2}, status={"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}
    )
    labels = {"app": "web", "pod-template-hash": "1"}
    maker = replica_set(metadata={"ownerReferences": [owner("Deployment", "web")]})
    hashed = [replica(name, node, metadata={"labels": labels}) for name, node in (("a", "n1"), ("b", "n3"))]
    (move,) = moves(["n1"], chosen("n1"), room("n3"), *hashed, top, maker).moves
    assert (move.uid, move.source, move.node) == ("uid-a", "n1", "n3")
    assert (move.owner.kind, move.owner.name, move.owner.namespace) == ("Deployment", "web", "shop")
    plain = [replica("a", "n1"), replica("b", "n3")]
    (move,) = moves(["n1"], chosen("n1"), room("n3"), *plain, top, maker).moves
    assert (move.owner.kind, move.owner.name) == ("ReplicaSet", "web-1"), "nothing on the pod tells of the Deployment"


BESIDE = [room("n5"), replica("c", "n5", cpu="3")]
"""A node that has no room for another pod of that size."""


def to_come() -> ReplacementMove:
    """The replacement of a pod on n2, which is to go to n4."""
    (found,) = moves(
        ["n2"], chosen("n2"), room("n4"), *BESIDE, replica("b", "n2", cpu="3"), replica_set(replicas=2)
    ).moves
    assert (found.source, found.node) == ("n2", "n4")
    return found


def test_replacements_to_come_have_their_room_where_they_are_to_go_and_nowhere_else() -> None:
    pods = [replica("a", "n1", cpu="3"), replica("b", "n2", cpu="3"), replica_set(replicas=3)]
    nodes = [chosen("n1"), chosen("n2", "draining"), room("n3"), room("n4"), *BESIDE]
    for target, other in (("n3", "n4"), ("n4", "n3")):
        coming = to_come()._replace(node=target)
        found = moves(["n1"], *nodes, *pods, coming=[coming])
        assert found.coming == (coming,)
        assert [(each.source, each.node) for each in found.moves] == [("n1", other)]


def test_a_replacement_that_fits_no_more_where_it_was_to_go_is_told_and_has_room_elsewhere() -> None:
    pods = [replica("a", "n1", cpu="3"), replica("b", "n2", cpu="3"), replica_set(replicas=3)]
    nodes = [chosen("n1"), chosen("n2", "draining"), room("n3"), *BESIDE]
    full = [room("n4"), replica("full", "n4", cpu="3", of="api-1")]
    assert moves(["n1"], *nodes, room("n4"), *pods, coming=[to_come()]).nodes == {"n1"}
    for last in (full, []):
        found = moves(["n1"], *nodes, *last, *pods, coming=[to_come()])
        assert (found.coming, found.nodes) == ((), frozenset()), "n3 is kept for it"
