import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kube.clock import micro_time
from moorage.kube.event_limits import cut
from moorage.kube.events import DROPPED, FAILED, WRITTEN, EventRecorder, ObjectRef
from moorage.objects.base import ObjectMeta
from moorage.objects.pod import Pod
from tests.unit.kube.simulated import EPOCH, Link, Server, Time, refusal

POD = ObjectRef("v1", "Pod", "web-1", "shop", "uid-1")
NODE = ObjectRef("v1", "Node", "node-1", uid="uid-2")


class Counters:
    """What the counters have counted since."""

    def __init__(self) -> None:
        self._start = {c: self._read(c) for c in (WRITTEN, DROPPED, FAILED)}

    @staticmethod
    def _read(counter: Any) -> dict[str, float]:
        [metric] = counter.collect()
        return {next(iter(s.labels.values())): s.value for s in metric.samples if s.name.endswith("_total")}

    def since(self, counter: Any) -> dict[str, float]:
        start = self._start[counter]
        return {k: v - start.get(k, 0) for k, v in self._read(counter).items() if v != start.get(k, 0)}


class Lab:
    def __init__(self) -> None:
        self.time = Time()
        self.server = Server(self.time)
        self.link = Link(self.server)
        self.recorder = EventRecorder(
            self.link, instance="pinner-0", monotonic=self.time.monotonic, sleep=self.time.sleep
        )
        self.counters = Counters()

    def record(self, note: str = "a note", regarding: ObjectRef = POD, **fields: Any) -> None:
        values = {"type": "Normal", "reason": "Pinned", "action": "Pin", **fields}
        self.recorder.record(regarding, note=note, **values)

    def learn_time(self) -> None:
        """What any answer does for the clock."""
        self.link.clock.observe(self.server.date(), self.time.now, self.time.now)

    def events(self) -> list[dict[str, Any]]:
        return list(self.server.objects.values())

    async def close(self, timeout: float = 5.0, passing: float = 0.0) -> None:
        closing = asyncio.create_task(self.recorder.close(timeout))
        await self.time.advance(passing)
        await asyncio.wait_for(closing, 60)


@asynccontextmanager
async def running() -> AsyncIterator[Lab]:
    lab = Lab()
    run = asyncio.create_task(lab.recorder.run())
    try:
        yield lab
    finally:
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run


async def test_an_event_as_the_api_server_wants_it() -> None:
    async with running() as lab:
        lab.learn_time()
        lab.record("pinned to node-1", related=NODE)
        await lab.time.advance(0)
        [path] = lab.server.objects
        event = lab.server.objects[path]
        name = event["metadata"].pop("name")
        assert path == f"/apis/events.k8s.io/v1/namespaces/shop/events/{name}"
        assert name.startswith("web-1.")
        assert int(name.removeprefix("web-1."), 16) > 0
        del event["metadata"]["resourceVersion"]
        assert event == {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": "shop"},
            "eventTime": micro_time(EPOCH + timedelta(seconds=100)),
            "reportingController": "moorage-pod-pinner",
            "reportingInstance": "pinner-0",
            "type": "Normal",
            "reason": "Pinned",
            "action": "Pin",
            "note": "pinned to node-1",
            "regarding": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "web-1",
                "namespace": "shop",
                "uid": "uid-1",
            },
            "related": {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "uid-2"},
        }


async def test_cluster_scoped_objects_have_their_events_in_default() -> None:
    async with running() as lab:
        lab.record(regarding=NODE)
        await lab.time.advance(0)
        [event] = lab.events()
        assert event["metadata"]["namespace"] == "default"
        assert lab.server.requests == [("POST", "/apis/events.k8s.io/v1/namespaces/default/events")]


def test_a_reference_to_an_object() -> None:
    meta = ObjectMeta(name="web-1", namespace="shop", uid="uid-1", resource_version="7")
    assert ObjectRef.to("v1", "Pod", Pod(metadata=meta)) == POD


async def test_repetitions_become_one_series_written_each_half_minute() -> None:
    async with running() as lab:
        for _ in range(100):
            lab.record()
            await lab.time.advance(1)
        [event] = lab.events()
        assert [method for method, _ in lab.server.requests] == ["POST", "PATCH", "PATCH", "PATCH"]
        await lab.time.advance(30)
        [event] = lab.events()
        assert event["series"]["count"] == 100
        last_seen = EPOCH + timedelta(seconds=199)
        assert event["series"]["lastObservedTime"] <= micro_time(last_seen)
        assert event["series"]["lastObservedTime"] > micro_time(last_seen - timedelta(seconds=0.1))
        await lab.time.advance(1000)
        assert len(lab.server.requests) == 5
        assert lab.counters.since(WRITTEN) == {"create": 1, "series": 4}


async def test_repetitions_before_the_first_write_are_in_it() -> None:
    async with running() as lab:
        for _ in range(3):
            lab.record()
        await lab.time.advance(0)
        [event] = lab.events()
        assert event["series"]["count"] == 3
        assert len(lab.server.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"note": "another note"},
        {"reason": "Other"},
        {"type": "Warning"},
        {"action": "Other"},
        {"regarding": ObjectRef("v1", "Pod", "web-1", "shop", "uid-of-the-next-web-1")},
        {"related": NODE},
    ],
)
async def test_what_differs_is_another_event(other: dict[str, Any]) -> None:
    async with running() as lab:
        lab.record()
        lab.record(**other)
        await lab.time.advance(0)
        assert len(lab.events()) == 2
        assert len({e["metadata"]["name"] for e in lab.events()}) == 2


async def test_after_ten_quiet_minutes_it_is_news_again() -> None:
    async with running() as lab:
        lab.record()
        await lab.time.advance(599)
        lab.record()
        await lab.time.advance(599)
        assert len(lab.events()) == 1
        await lab.time.advance(2)
        lab.record()
        await lab.time.advance(0)
        assert len(lab.events()) == 2


async def test_a_forgotten_event_is_created_anew_with_its_series() -> None:
    async with running() as lab:
        lab.record()
        await lab.time.advance(1)
        [old] = lab.events()
        lab.server.objects.clear()
        lab.record()
        await lab.time.advance(30)
        [new] = lab.events()
        assert new["series"]["count"] == 2
        assert new["metadata"]["name"] != old["metadata"]["name"]
        lab.record()
        await lab.time.advance(31)
        [new] = lab.events()
        assert new["series"]["count"] == 3


async def test_new_events_about_one_object_are_limited() -> None:
    async with running() as lab:
        for i in range(30):
            lab.record(f"note {i}")
        lab.record("another object", regarding=NODE)
        lab.record("another type", type="Warning")
        await lab.time.advance(0)
        assert len(lab.events()) == 27
        assert lab.counters.since(DROPPED) == {"rate_limited": 5}
        await lab.time.advance(301)
        lab.record("refilled")
        lab.record("not yet")
        await lab.time.advance(0)
        assert len(lab.events()) == 28
        assert lab.counters.since(DROPPED) == {"rate_limited": 6}


async def test_the_queue_is_bounded() -> None:
    lab = Lab()
    for i in range(1005):
        lab.record(regarding=ObjectRef("v1", "Pod", f"web-{i}", "shop", f"uid-{i}"))
    assert lab.counters.since(DROPPED) == {"queue_full": 5}
    await lab.close()
    assert len(lab.events()) == 1000


async def test_waits_for_a_server_that_is_away_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as lab:
        lab.learn_time()
        lab.link.cut = True
        lab.record("one")
        lab.record("two")
        await lab.time.advance(60)
        assert not lab.events()
        assert caplog.messages == ["event not written"]
        lab.link.cut = False
        await lab.time.advance(15)
        assert [e["note"] for e in lab.events()] == ["one", "two"]
        occurred = EPOCH + timedelta(seconds=100)
        times = [e["eventTime"] for e in lab.events()]
        assert all(micro_time(occurred - timedelta(seconds=0.1)) < t <= micro_time(occurred) for t in times)


async def test_gives_up_after_many_tries() -> None:
    async with running() as lab:
        lab.link.cut = True
        lab.record("one")
        await lab.time.advance(12 * 12.5)
        assert lab.counters.since(FAILED) == {"ConnectionLost": 1}
        lab.link.cut = False
        lab.record("one")
        await lab.time.advance(0)
        assert len(lab.events()) == 1


async def test_an_answer_that_was_lost_makes_no_second_event() -> None:
    async with running() as lab:
        lab.link.loses_answers = True
        lab.record()
        await lab.time.advance(1)
        lab.link.loses_answers = False
        await lab.time.advance(15)
        assert len(lab.events()) == 1
        assert lab.counters.since(WRITTEN) == {"create": 1}
        lab.record()
        await lab.time.advance(31)
        assert lab.events()[0]["series"]["count"] == 2


async def test_flow_control_is_obeyed() -> None:
    async with running() as lab:
        lab.link.refusals = [refusal(429, "TooManyRequests", "later", retry_after=40.0)]
        lab.record()
        await lab.time.advance(39)
        assert not lab.server.requests
        await lab.time.advance(2)
        assert len(lab.events()) == 1


@pytest.mark.parametrize(("code", "name"), [(403, "Forbidden"), (404, "NotFound"), (422, "Invalid")])
async def test_a_rejected_event_is_counted_and_does_not_stop_the_others(
    code: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with running() as lab:
        lab.link.refusals = [refusal(code, name, "no"), refusal(code, name, "no")]
        for note in ("one", "two", "three"):
            lab.record(note)
        await lab.time.advance(0)
        assert [e["note"] for e in lab.events()] == ["three"]
        assert lab.counters.since(FAILED) == {name: 2}
        assert caplog.messages == ["event not written"]  # once, not per Event
        lab.record("one")
        await lab.time.advance(0)
        assert len(lab.events()) == 2


@pytest.mark.parametrize(
    "fields",
    [{"type": "Error"}, {"reason": ""}, {"action": ""}, {"regarding": ObjectRef("v1", "Pod", "")}],
)
async def test_nonsense_is_dropped_and_logged(fields: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    lab.record(**fields)
    await lab.close()
    assert not lab.events()
    assert lab.counters.since(DROPPED) == {"invalid": 1}
    assert caplog.messages == ["event without type, reason, action or object not recorded"]


async def test_closing_writes_what_is_left() -> None:
    async with running() as lab:
        lab.record("one")
        await lab.time.advance(1)
        lab.record("one")  # a repetition that is not due yet
        lab.record("two")
        await lab.close()
        assert [e["note"] for e in lab.events()] == ["one", "two"]
        assert lab.events()[0]["series"]["count"] == 2
        lab.record("three")
        await lab.time.advance(10)
        assert len(lab.events()) == 2
        assert lab.counters.since(DROPPED) == {"closed": 1}


async def test_closing_after_run_was_cancelled_in_the_middle_of_a_write() -> None:
    async with running() as lab:
        lab.link.delay_back = 1.0
        lab.record("one")
        await lab.time.advance(0.5)
    lab.link.delay_back = 0.0
    await lab.close()
    assert [e["note"] for e in lab.events()] == ["one"]
    assert lab.counters.since(DROPPED) == {}


async def test_closing_without_a_server_ends_and_counts_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as lab:
        lab.link.cut = True
        lab.record("one")
        lab.record("two")
        await lab.time.advance(1)
        await lab.close()
        assert lab.counters.since(DROPPED) == {"closed": 2}
        assert "events not written before the end" in caplog.messages


async def test_closing_has_a_time_limit() -> None:
    async with running() as lab:
        lab.link.delay_there = 1000.0
        lab.record("one")
        await lab.time.advance(1)
        await lab.close(timeout=3.0, passing=3.0)
        assert lab.counters.since(DROPPED) == {"closed": 1}


async def test_names_that_fit_no_event() -> None:
    async with running() as lab:
        lab.record(regarding=ObjectRef("v1", "Pod", "x" * 250, "shop"))
        lab.record(regarding=ObjectRef("rbac.authorization.k8s.io/v1", "ClusterRole", "system:node"))
        await lab.time.advance(0)
        assert [len(e["metadata"]["name"]) for e in lab.events()] == [36, 36]


def test_a_recorder_needs_an_instance() -> None:
    with pytest.raises(ValueError, match="name of its pod"):
        EventRecorder(Link(Server(Time())), instance="")


@given(st.text(st.characters(codec=None)), st.integers(3, 40))
def test_cut_text_fits_and_begins_as_the_text_did(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    clean = text.encode("utf-8", "replace").decode()
    assert short == clean or (short.endswith("…") and clean.startswith(short[:-1]) and len(clean.encode()) > limit)
