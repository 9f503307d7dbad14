"""Queries for moving pods: excluded nodes, a choice by rank, nominated pods, and new volumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moorage.objects import PersistentVolume, PersistentVolumeClaim, StorageClass
from moorage.scheduling import Fit, Reason, Snapshot, SnapshotError
from tests.oracle.compare import decode

from .build import WEB, ZONE, apart, node, pod, spread


def three(**options: Any) -> Snapshot:
    """Nodes n0 and n1 in zone a, n2 in zone b."""
    snapshot = Snapshot(**options)
    for judged in (node("n0"), node("n1"), node("n2", zone="b")):
        snapshot.apply(judged)
    return snapshot


def test_barred_nodes_take_nothing_and_count_all_the_same() -> None:
    snapshot = three()
    for judged in (pod("w0", on="n0"), pod("w1", on="n1")):
        snapshot.apply(judged)
    pending = pod("w2", topologySpreadConstraints=spread())
    assert snapshot.fitting(pending) == ["n2"]
    barred = snapshot.slots_of(["n2", "unknown"])
    assert not snapshot.fits(pending, barred=barred).any(), "zone b is empty whether or not pods may go there"
    assert snapshot.first_fit(pod("x"), barred=barred) == "n0"
    assert snapshot.first_fit(pod("x"), barred=snapshot.slots_of(["n0"])) == "n1"
    assert barred.sum() == 1, "the caller's mask is its own"


def test_a_cordon_says_the_same_as_being_barred() -> None:
    snapshot = three()
    snapshot.apply(pod("w0", on="n0"))
    away = pod("w1", affinity=apart(ZONE))
    barred = snapshot.fits(away, barred=snapshot.slots_of(["n2"]))
    snapshot.apply(node("n2", zone="b", unschedulable=True))
    assert (snapshot.fits(away) == barred).all()


def test_the_choice_is_by_rank() -> None:
    snapshot = three()
    rank = np.zeros(snapshot.nodes.capacity)
    slots = snapshot.nodes.slots
    rank[slots["n1"]] = rank[slots["n2"]] = 2.5
    rank[-1] = 9  # no node
    assert snapshot.best_fit(pod("x"), rank) == "n1", "the lower slot of equal ones"
    assert snapshot.best_fit(pod("x"), rank, barred=snapshot.slots_of(["n1"])) == "n2"
    assert snapshot.best_fit(pod("x"), -rank) == "n0"
    assert snapshot.best_fit(pod("x", {"cpu": "5"}), rank) is None


@pytest.mark.parametrize(
    ("own", "fits"),
    [
        pytest.param({}, ["n1", "n2"], id="priority 0 leaves the room to 1000"),
        pytest.param({"priority": 1000}, ["n1", "n2"], id="so does an equal one"),
        pytest.param({"priority": 1001}, ["n0", "n1", "n2"], id="a higher one takes it"),
    ],
)
def test_room_is_kept_for_nominated_pods(own: dict[str, Any], fits: list[str]) -> None:
    waiting = pod("first", {"cpu": "3"}, priority=1000, status={"nominatedNodeName": "n0"})
    snapshot = three(nominated=True)
    snapshot.apply(waiting)
    pending = pod("second", {"cpu": "2"}, **own)
    assert snapshot.fitting(pending) == fits
    assert [snapshot.fits_at(pending, snapshot.nodes.slots[name]) for name in fits] == [True] * len(fits)
    verdict = snapshot.verdict(pending, "n0")
    assert (verdict.fit is Fit.YES) == ("n0" in fits)
    assert [found.reason for found in verdict.findings] == ([] if "n0" in fits else [Reason.RESOURCE])
    assert snapshot.fitting(waiting) == ["n0", "n1", "n2"], "its own room is not in its way"


def test_a_nomination_ends_with_the_pods_wait() -> None:
    snapshot = three(nominated=True)
    waiting = pod("first", {"cpu": "3"}, status={"nominatedNodeName": "n0"})
    pending = pod("second", {"cpu": "2"})
    for news in (
        pod("first", {"cpu": "3"}, on="n1"),
        pod("first", {"cpu": "3"}, status={"nominatedNodeName": "n0", "phase": "Failed"}),
        pod("first", {"cpu": "3"}, status={"nominatedNodeName": "n0"}, schedulingGates=[{"name": "wait"}]),
        pod("first", {"cpu": "3"}),
        None,
    ):
        snapshot.apply(waiting)
        assert "n0" not in snapshot.fitting(pending)
        snapshot.sweep()
        assert "n0" not in snapshot.fitting(pending)
        if news is None:
            snapshot.delete(type(waiting), waiting.key)
        else:
            snapshot.apply(news)
        assert "n0" in snapshot.fitting(pending)
    snapshot.apply(waiting)
    with snapshot.trial():
        snapshot.place(waiting, "n2")
        assert snapshot.fitting(pending) == ["n0", "n1"], "placed, it waits no more"
    assert snapshot.fitting(pending) == ["n1", "n2"]


def test_nominated_pods_count_only_for_who_asks_for_it_and_on_their_node() -> None:
    waiting = pod("first", status={"nominatedNodeName": "n0"}, meta={"labels": WEB["matchLabels"]})
    without, beside = three(), three(nominated=True)
    for snapshot in (without, beside):
        snapshot.apply(waiting)
    away = pod("second", affinity=apart(ZONE))
    assert without.fitting(away) == ["n0", "n1", "n2"]
    assert beside.fitting(away) == ["n1", "n2"], "as for kube-scheduler, other nodes of the zone do not hear of it"


def ephemeral(snapshot: Snapshot) -> None:
    """The claim of pod p's volume is bound in zone a."""
    terms = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]}]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": True}
    bound = {"pv.kubernetes.io/bind-completed": "yes"}
    meta = {"name": "p-scratch", "namespace": "shop", "ownerReferences": [owner], "annotations": bound}
    claim = {"metadata": meta, "spec": {"volumeName": "v", "storageClassName": "fast"}, "status": {"phase": "Bound"}}
    source = {"driver": "disk.example.com", "volumeHandle": "v"}
    volume = {"csi": source, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    snapshot.apply(decode(claim, PersistentVolumeClaim))
    snapshot.apply(decode({"metadata": {"name": "v"}, "spec": volume}, PersistentVolume))
    snapshot.apply(decode({"metadata": {"name": "fast"}, "provisioner": "disk.example.com"}, StorageClass))


def test_the_volume_of_a_replacement_is_not_that_of_the_pod_that_goes() -> None:
    snapshot = three()
    ephemeral(snapshot)
    judged = pod("p", on="n0", volumes=[{"name": "scratch", "ephemeral": {}}])
    snapshot.apply(judged)
    assert snapshot.verdict(judged, "n0").fit is Fit.YES
    for name in ("n0", "n1", "n2"):
        verdict = snapshot.verdict(judged, name, as_replacement=True)
        assert (verdict.fit, [found.reason for found in verdict.findings]) == (Fit.UNKNOWN, [Reason.EPHEMERAL_CLAIM])
        assert not snapshot.fits_at(judged, snapshot.nodes.slots[name], as_replacement=True)
    assert not snapshot.fits(judged, as_replacement=True).any()
    assert snapshot.fitting(judged) == ["n0"], "the pod itself is judged as before"


def test_a_claim_that_outlives_its_pod_stays_in_its_zone() -> None:
    snapshot = three()
    ephemeral(snapshot)
    judged = pod("p", on="n0", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "p-scratch"}}])
    snapshot.apply(judged)
    assert snapshot.fitting(judged, as_replacement=True) == ["n0", "n1"]


def test_room_is_kept_back_in_simulations_only() -> None:
    snapshot = three()
    cores = np.zeros(snapshot.nodes.capacity, dtype=np.int64)
    cores[snapshot.nodes.slots["n0"]] = 2500
    with pytest.raises(SnapshotError):
        snapshot.withhold({"cpu": cores})
    with snapshot.trial():
        snapshot.withhold({"cpu": cores})
        assert snapshot.fitting(pod("x", {"cpu": "1500m"})) == ["n0", "n1", "n2"]
        assert snapshot.fitting(pod("x", {"cpu": "1501m"})) == ["n1", "n2"]
        snapshot.place(pod("y", {"cpu": "2"}), "n0")
        assert snapshot.fitting(pod("x", {"cpu": "1m"})) == ["n1", "n2"], "less than nothing is left"
    assert snapshot.fitting(pod("x", {"cpu": "4"})) == ["n0", "n1", "n2"]
