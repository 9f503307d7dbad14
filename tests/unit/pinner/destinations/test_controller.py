"""The status of a SlotReservation: its content, and when it is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from moorage.controller.fence import Fence
from moorage.controller.queue import KeyQueue
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.kube.errors import Status
from moorage.pinner.destinations.controller import SETTLE, SlotReservationController
from moorage.pinner.reporting import Reporter
from moorage.reservations import SlotReservation, destinations
from tests.kube.pinning import Lines, Records
from tests.unit.pinner.webhook.scene import Json, Scene, pod, slot


class Api:
    """Accepts writes of a status, as an API server that stores what it gets."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.written: list[Json] = []
        self.fails: list[errors.KubeError] = []
        self.keeps = True
        """Whether a write stays. A definition of another version may prune it."""

    async def patch(self, _: Any, name: str, *, changes: Mapping[str, Any], uid: str, subresource: str) -> Any:
        assert subresource == "status"
        if self.fails:
            raise self.fails.pop()
        self.written.append(changes["status"])
        found = self._scene.slots.get(name)
        assert found is not None
        assert found.metadata.uid == uid
        if self.keeps:
            status = {key: value for key, value in changes["status"].items() if value is not None}
            found = msgspec.structs.replace(found, status=status)
        version = self._scene.next()
        self._scene.slots.put(found, version)
        return self._scene.slots.get(name)


class Setting:
    """A leader that handles SlotReservations when the test says so."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.api, self.records = Api(self.scene), Records()
        self.seconds, self.expects = 100.0, 0
        clock = cast("ServerClock", type("Clock", (), {"now": staticmethod(lambda: self.scene.now)}))
        self.queue = KeyQueue(base=0.1, cap=1.0)
        self.steering = SlotReservationController(
            cast("Client", self.api),
            self.scene.cluster,
            Fence(lambda: True, 4),
            self.queue,
            Reporter(self.records),
            clock,
            "pinner-0",
            expects=self._expected,
            monotonic=lambda: self.seconds,
        )

    def _expected(self) -> None:
        self.expects += 1

    async def reconcile(self, name: str = "a", *, later: float = SETTLE) -> SlotReservation:
        """Some time later."""
        self.seconds += later
        await self.steering.reconcile(name)
        found = self.scene.slots.get(name)
        assert isinstance(found, SlotReservation)
        return found

    def asked(self, *, asked: bool = True) -> None:
        """API servers ask, or do not."""
        self.steering.set_serving(serving=asked)


@pytest.fixture
async def setting() -> Setting:
    return Setting()


@contextmanager
def said() -> Iterator[Lines]:
    """The pinner's log lines from here on."""
    lines, logger = Lines(), logging.getLogger("moorage.pinner")
    logger.addHandler(lines)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)
        logger.setLevel(before)


async def test_it_is_served_once_the_api_server_asks_and_not_before(setting: Setting) -> None:
    setting.scene.running("a", slot(2))
    setting.scene.cluster.expect_on_running("a", None)
    found = await setting.reconcile()
    assert setting.expects == 1, "the API server is to be told to ask"
    assert (found.status["filled"], "served" in found.status) == ("0/2", False)
    setting.asked()
    assert destinations.is_served(await setting.reconcile())
    found = await setting.reconcile()
    assert found.status["served"] == {"generation": 1, "at": "2026-01-31T12:00:00Z", "by": "pinner-0"}
    assert len(setting.api.written) == 2, "nothing is written for nothing"


def condition(found: SlotReservation) -> tuple[str, str, Any, str]:
    (one,) = found.status["conditions"]
    return one["status"], one["reason"], one.get("observedGeneration"), one["lastTransitionTime"]


async def test_the_condition_says_whether_the_slots_count_and_of_which_generation(setting: Setting) -> None:
    setting.scene.running("a", slot(2))
    assert condition(await setting.reconcile()) == ("False", "NotServed", None, "2026-01-31T12:00:00Z")
    setting.scene.now += timedelta(seconds=5)
    setting.asked()
    assert condition(await setting.reconcile()) == ("True", "Served", 1, "2026-01-31T12:00:05Z")
    setting.scene.now += timedelta(seconds=5)
    setting.scene.store(setting.scene.create(pod()), "web-1")
    assert condition(await setting.reconcile()) == ("True", "Served", 1, "2026-01-31T12:00:05Z"), "it has not turned"
    setting.scene.now += timedelta(minutes=10)
    assert condition(await setting.reconcile())[:3] == ("False", "NotServed", None)
    assert len(setting.api.written) == 4, "each with news of other kinds"


async def test_a_definition_without_conditions_gets_the_same_writes(setting: Setting) -> None:
    setting.scene.running("a", slot(2))
    setting.asked()
    found = await setting.reconcile()
    older = {name: value for name, value in found.status.items() if name != "conditions"}
    setting.scene.slots.put(msgspec.structs.replace(found, status=older), setting.scene.next())
    for _ in range(3):
        await setting.reconcile()
    assert len(setting.api.written) == 1


async def test_another_generation_is_served_anew(setting: Setting) -> None:
    setting.scene.running("a", slot(2))
    setting.asked()
    first = await setting.reconcile()
    meta = msgspec.structs.replace(first.metadata, generation=2)
    changed = msgspec.structs.replace(first, metadata=meta)
    setting.scene.slots.put(changed, setting.scene.next())
    assert not destinations.is_served(changed)
    assert destinations.is_served(await setting.reconcile(later=0.0)), "who waits for it does not wait for longer"


async def test_a_new_leader_takes_nothing_back_until_it_knows(setting: Setting) -> None:
    setting.scene.running("a", slot(2))
    status = {"served": {"generation": 1, "by": "earlier"}, "filled": "0/2", "message": "", "problems": []}
    found = msgspec.structs.replace(cast("Any", setting.scene.slots.get("a")), status=status)
    setting.scene.slots.put(found, setting.scene.next())
    await setting.reconcile()
    setting.asked()
    assert (await setting.reconcile()).status["served"]["by"] == "earlier"
    assert setting.api.written == []
    setting.asked(asked=False)
    assert "served" not in (await setting.reconcile()).status


async def test_when_all_have_come_nobody_need_ask_and_it_stays_served(setting: Setting) -> None:
    setting.scene.running("a", slot(1))
    setting.asked()
    assert destinations.is_served(await setting.reconcile())
    setting.scene.store(setting.scene.create(pod()), "web-1")
    setting.asked(asked=False)
    found = await setting.reconcile()
    assert destinations.is_served(found)
    assert found.status["filled"] == "1/1"


async def test_what_does_not_count_is_not_served_and_says_why_once(setting: Setting) -> None:
    setting.scene.running("a", slot(1))
    setting.asked()
    await setting.reconcile()
    setting.scene.now += timedelta(minutes=10)
    with said() as lines:
        found = await setting.reconcile()
        await setting.reconcile()
    assert (found.status["message"], "served" in found.status) == ("it is over", False)
    assert len(lines.with_message("no pods are steered to a running node", node="a")) == 1
    assert setting.scene.cluster.expected.any is False


async def test_nonsense_is_an_event_on_the_reservation(setting: Setting) -> None:
    setting.scene.running("a", slot(1), says={"slots": "many"})
    for _ in range(2):
        found = await setting.reconcile()
    assert "not a list" in found.status["problems"][0]
    assert [(kind, name, reason) for kind, name, reason, _ in setting.records.seen] == [
        ("SlotReservation", "a", "Unreadable")
    ]


async def test_two_plans_for_one_owner_are_said(setting: Setting) -> None:
    setting.scene.node("promised", slot(1))
    setting.scene.running("a", slot(1))
    with said() as lines:
        for _ in range(2):
            await setting.reconcile()
    (line,) = lines.with_message("pods of one owner are expected by two plans, each counts its own")
    assert line["promised"] == ["promised"]


async def test_a_status_that_is_not_kept_is_not_written_again(setting: Setting) -> None:
    setting.api.keeps = False
    setting.scene.running("a", slot(1))
    for _ in range(4):
        await setting.reconcile()
    assert len(setting.api.written) == 1


async def test_many_arrivals_are_one_write(setting: Setting) -> None:
    setting.scene.running("a", slot(5, cpu="100m"))
    setting.asked()
    await setting.reconcile()
    for number in range(4):
        setting.scene.store(setting.scene.create(pod(cpu="100m")), f"web-{number}")
        await setting.reconcile(later=0.01)
    assert [each["filled"] for each in setting.api.written] == ["0/5"]
    await setting.reconcile()
    assert [each["filled"] for each in setting.api.written] == ["0/5", "4/5"]


async def test_a_failure_is_tried_again_and_what_is_gone_is_not(setting: Setting) -> None:
    setting.scene.running("a", slot(1))
    setting.api.fails = [errors.ServerError(500, Status(message="etcd"), request="PATCH")]
    with pytest.raises(errors.ServerError):
        await setting.reconcile()
    setting.api.fails = [errors.NotFound(404, Status(), request="PATCH")]
    await setting.reconcile()
    assert (await setting.reconcile()).status["filled"] == "0/1"


async def test_it_is_looked_at_again_when_it_ends(setting: Setting) -> None:
    setting.scene.running("a", slot(1), says={"until": "2026-01-31T12:00:00.050Z"})
    await setting.reconcile()
    assert setting.scene.cluster.expected.any
    setting.scene.now += timedelta(seconds=1)
    async with asyncio.timeout(10):
        name, _ = await setting.queue.get()
    await setting.reconcile(name)
    setting.queue.done(name)
    assert not setting.scene.cluster.expected.any
    setting.queue.close()
