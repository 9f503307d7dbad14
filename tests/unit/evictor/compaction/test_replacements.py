"""The replacement of an evicted pod: it has its owner's current template, not that of the evicted pod."""

from __future__ import annotations

import json

import msgspec
import pytest

from moorage.evictor.candidates.controllers import Made
from moorage.evictor.compaction.replacements import Replacements
from moorage.objects import Pod
from moorage.scheduling.requests import RequestError, pending
from tests.unit.evictor.build import Json, merged, owner, pod

from .build import chosen, moves, replica, replica_set, room


def read(manifest: Json) -> Pod:
    return msgspec.json.decode(json.dumps(manifest), type=Pod)


def made(name: str, cpu: str, minute: int, generation: int = 1, **change: object) -> Json:
    """A pod that came at 12:MM; with a generation above 1 it has been changed since, by a resize."""
    meta = {"creationTimestamp": f"2025-12-31T12:{minute:02}:00Z", "generation": generation}
    return merged(replica(name, "n1", cpu), {"metadata": meta, **change})


def template(cpu: str, **spec: object) -> Pod:
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    return read({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers, **spec}})


def replacement(*pods: Json, by: Made = Made.REPLICATED, new: Pod | None = None) -> Pod:
    """Of the first pod."""
    found = [read(each) for each in pods]
    return Replacements(found, {} if new is None else {"uid-web-1": new}).of(found[0], by)


@pytest.mark.parametrize(
    ("pods", "cores"),
    [
        pytest.param([made("a", "1", 0)], 1000, id="its own"),
        pytest.param([made("a", "1", 0), made("b", "2", 1)], 2000, id="that of the youngest"),
        pytest.param([made("a", "1", 1), made("b", "2", 0)], 1000, id="not that of an older one"),
        pytest.param([made("a", "3", 1, 2), made("b", "1", 0)], 1000, id="an in-place resize does not come along"),
        pytest.param([made("a", "1", 0), made("b", "4", 1, 3)], 1000, id="nor does that of a sibling"),
        pytest.param(
            [made("a", "3", 0, 2), made("b", "1", 1, 2)], 3000, id="where all have been resized nobody knows better"
        ),
        pytest.param(
            [made("a", "1", 0), made("b", "2", 1, metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})],
            1000,
            id="nor that of one that goes",
        ),
        pytest.param(
            [made("a", "1", 0), made("b", "2", 1, status={"phase": "Failed"})], 1000, id="nor of one that ended"
        ),
    ],
)
def test_what_a_replacement_asks_for(pods: list[Json], cores: int) -> None:
    found = replacement(*pods)
    assert pending(found) == {"cpu": cores}
    assert (found.spec.node_name, found.status.phase) == ("", "")
    assert found.key not in {read(each).key for each in pods}


def test_a_template_that_has_changed_counts_at_its_largest() -> None:
    old = made("a", "1", 0)
    assert pending(replacement(old, new=template("3"))) == {"cpu": 3000}
    assert pending(replacement(old, new=template("500m"))) == {"cpu": 1000}, "admission may have raised it"
    assert pending(replacement(made("a", "4", 0, 2), new=template("500m"))) == {"cpu": 500}, "a resize does not count"
    with pytest.raises(RequestError):
        pending(replacement(old, new=template("nonsense")))


def test_what_admission_adds_comes_along() -> None:
    proxy = {"name": "proxy", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    injected = made("a", "1", 0)
    injected["spec"]["containers"].append(proxy)
    injected["spec"]["tolerations"] = [{"key": "spot", "operator": "Exists"}]
    injected["spec"]["nodeSelector"] = {"pool": "web"}
    found = replacement(injected, new=template("2", nodeSelector={"disk": "ssd"}))
    assert pending(found) == {"cpu": 2100, "memory": 64 * 2**20}
    assert found.spec.node_selector == {"pool": "web", "disk": "ssd"}
    assert [each.key for each in found.spec.tolerations] == ["spot"]


def test_labels_that_came_from_the_node_do_not_come_along() -> None:
    there = {"app": "web", "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"}
    assert replacement(made("a", "1", 0, metadata={"labels": there})).metadata.labels == {"app": "web"}


def test_pods_that_are_not_made_alike_stand_for_themselves() -> None:
    pods = [made("a", "1", 0), made("b", "2", 1)]
    assert pending(replacement(*pods, by=Made.STATEFUL_SET)) == {"cpu": 1000}
    bare = pod("bare", on="n1", spec={"containers": [{"name": "main", "resources": {"requests": {"cpu": "3"}}}]})
    assert pending(replacement(bare, by=Made.BARE)) == {"cpu": 3000}


def test_choosing_goes_by_the_replacement() -> None:
    stays = [replica("stays", "n2", "0", of="one"), replica_set("one", 1)]
    twin = merged(replica("twin", "n2", "0"), {"metadata": {"generation": 2}})
    there = [room("n1"), room("n2", cpu="2"), made("a", "3", 0, 2), twin, replica_set(replicas=2), *stays]
    assert not chosen(*there).chosen, "three cores, as far as anybody knows"
    fresh = {"uid-web-1": template("1")}
    assert moves(chosen(*there, templates=fresh)) == {"n1": {"a": "n2"}}
    sibling = made("sibling", "1", 1)
    assert moves(chosen(*there[:4], sibling, replica_set(replicas=3), *stays)) == {"n1": {"a": "n2", "sibling": "n2"}}


def test_a_volume_that_goes_with_its_pod_cannot_be_told() -> None:
    volumes = [{"name": "scratch", "ephemeral": {}}]
    there = [room("n1"), room("n2"), replica("stays", "n2", "0", of="one"), replica_set("one", 1)]
    pods = [replica(name, "n1", spec={"volumes": volumes}) for name in ("a", "b")]
    plan = chosen(*there, *pods, replica_set(replicas=2))
    assert not plan.chosen
    assert "a generic ephemeral volume is made with its pod" in plan.kept["n1"][0].detail


def test_owners_are_told_apart_by_their_uid() -> None:
    first, second = (
        made("a", "1", 0),
        merged(made("b", "2", 1), {"metadata": {"ownerReferences": [owner("ReplicaSet", "x")]}}),
    )
    assert pending(replacement(first, second)) == {"cpu": 1000}
