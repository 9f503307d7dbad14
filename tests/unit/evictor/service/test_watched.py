"""An inventory from caches: the visible objects at a moment, and the changes that count."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from moorage.evictor import kinds
from moorage.evictor.sources.watched import WatchedCluster
from moorage.kube import resources
from moorage.objects import Condition, Node, NodeStatus, ObjectMeta, Pod
from tests.unit.evictor.build import NOW

from .held import complete, hide, refusal, refuse, show, spoil

NODE = Node(ObjectMeta("n1", uid="u"), status=NodeStatus(conditions=(Condition("Ready", "True"),)))


class Bed:
    def __init__(self) -> None:
        self.changes = 0
        self.watched = WatchedCluster(cast("Any", None), changed=self._changed)
        self.caches = self.watched._caches
        for each in self.caches.values():
            complete(each)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bed() -> Bed:
    return Bed()


def test_all_kinds_are_there(bed: Bed) -> None:
    show(bed.caches["Node"], NODE)
    found = bed.watched.inventory(NOW)
    assert set(found.objects) == {each.kind for each in kinds.KINDS}
    assert list(found.objects["Node"]) == ["n1"]
    assert (found.now, found.unseen, found.unread) == (NOW, {}, {})


def test_an_inventory_stays_as_it_is(bed: Bed) -> None:
    show(bed.caches["Node"], NODE)
    found = bed.watched.inventory(NOW)
    hide(bed.caches["Node"], "n1")
    assert list(found.objects["Node"]) == ["n1"]


def test_what_may_not_be_seen_is_left_out_with_the_reason_and_comes_back(bed: Bed) -> None:
    show(bed.caches["Node"], NODE)
    refuse(bed.caches["Node"])
    found = bed.watched.inventory(NOW)
    assert "Node" not in found.objects
    assert found.unseen == {"Node": "may not watch nodes"}
    complete(bed.caches["Node"])
    assert list(bed.watched.inventory(NOW).objects["Node"]) == ["n1"]
    bed.caches["Job"]._refusal = refusal(404, "")
    bed.caches["CronJob"]._refusal = refusal(403, "a webhook says no")
    assert bed.watched.unseen() == {
        "Job": "the API server does not serve batch/v1 of it",
        "CronJob": "refused: a webhook says no",
    }


def test_what_cannot_be_read_is_not_what_it_was_before(bed: Bed) -> None:
    show(bed.caches["Node"], NODE)
    before = bed.changes
    spoil(bed.caches["Node"], NODE, "status: no map")
    found = bed.watched.inventory(NOW)
    assert found.objects["Node"] == {}
    assert found.unread["Node"]["n1"].reason == "status: no map"
    assert bed.changes > before


def test_only_what_is_read_is_a_change(bed: Bed) -> None:
    show(bed.caches["Node"], NODE)
    assert bed.changes == 1
    show(bed.caches["Node"], NODE)  # the kubelet says that all is well
    assert bed.changes == 1
    show(bed.caches["Node"], msgspec.structs.replace(NODE, status=NodeStatus()))
    assert bed.changes == 2
    hide(bed.caches["Node"], "n1")
    assert bed.changes == 3


def test_our_own_pod_is_known_by_its_uid(bed: Bed) -> None:
    assert bed.watched.uid_of_pod("ns/us") == ""
    show(bed.caches["Pod"], Pod(ObjectMeta("us", "ns", "u7")))
    assert bed.watched.uid_of_pod("ns/us") == "u7"


async def test_only_nodes_and_pods_are_needed() -> None:
    watched = WatchedCluster(cast("Any", None))
    assert [each.resource for each in watched.all] == [resources.NODES, resources.PODS]
    waiting = asyncio.create_task(watched.wait_synced())
    for kind, each in watched._caches.items():
        await asyncio.sleep(0)
        assert not waiting.done()
        if kind in ("Node", "Pod"):
            complete(each)
        else:
            each._answered.set()  # it may not be seen
    await waiting
