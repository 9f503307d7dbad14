"""Nodes that are about to end: nobody is pinned there, whose replacement would be pinned there again."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from moorage.pinner.node import slots
from tests.unit.pinner.webhook.scene import NOW, PROMISE, Scene, pod, slot
from tests.unit.pinner.webhook.test_mutate import READY, REPORTED, node_of, patient, reason


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_no_pod_is_pinned_to_a_placeholder_whose_machine_has_another_name(scene: Scene) -> None:
    scene.node("node-1", slot(2), promise=msgspec.structs.replace(PROMISE, provider_id="p"))
    assert node_of(scene.create(pod())) == "node-1"
    scene.running("machine", spec={"providerID": "p"})
    created = scene.create(pod())
    assert node_of(created) == "", "the placeholder ends, and so would this pod, and its replacement"
    assert "has registered as node machine" in reason(created)
    scene.store(pod(), "web-1")
    slots.take_on_waiting(scene.cluster, "node-1", NOW)
    assert scene.cluster.intents.of("node-1").pins == ()


@pytest.mark.parametrize("joined", [False, True])
def test_no_pod_is_pinned_to_a_node_that_is_not_ready_after_its_deadline(scene: Scene, joined: bool) -> None:
    status = REPORTED if joined else {"allocatable": PROMISE.allocatable}
    scene.node("node-1", slot(2), until="2026-01-31T13:00:00Z", status=status)
    assert node_of(scene.create(patient())) == "node-1"
    scene.now += timedelta(minutes=11)
    created = scene.create(patient())
    assert node_of(created) == "", "its pods are being deleted, and would be replaced there"
    assert "by its deadline" in reason(created)


def test_a_ready_node_takes_expected_pods_after_the_deadline_too(scene: Scene) -> None:
    scene.node("node-1", slot(1), until="2026-01-31T13:00:00Z", status=READY)
    scene.now += timedelta(minutes=11)
    assert node_of(scene.create(pod())) == "node-1"


def test_no_pod_is_expected_where_a_person_has_ended_the_promise(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    known = scene.cluster.reservation("node-1")
    assert known is not None
    ended = {**msgspec.to_builtins(known.spec), "intent": "Delete"}
    scene.reservations.put(msgspec.structs.replace(known, spec=ended), scene.next())
    assert scene.create(pod()) == pod()
