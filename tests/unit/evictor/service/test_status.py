"""The status: its content, that it is written only if it changes, and that unexpected content does no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.evictor.compaction import History
from moorage.evictor.configuration import Configuration
from moorage.evictor.effective_configuration import ConfigurationMistake
from moorage.evictor.kinds import EVICTOR_CONFIGS, EvictorConfig
from moorage.evictor.status import Status, StatusUpdate, about, chosen_before, cycle, differs, failed, merged
from moorage.evictor.verdict_counts import count_verdicts
from moorage.kube import errors
from moorage.kube.cache import WatchCache
from moorage.objects import ObjectMeta
from moorage.objects.conditions import Condition
from tests.examples import examples
from tests.unit.evictor.build import NOW
from tests.unit.evictor.test_evaluation import TWO, seen
from tests.unit.pinner.bed.virtual import virtual

from .held import complete, hide, in_force, later, refusal, stored

HOUR = 3600.0
GOOD = Condition("Ready", True, "InForce", "")
KEYS = ["conditions", "type", "status", "lastTransitionTime", "lastCycle", "chosen", "node", "evictions", "uid-1"]
_LEAF: st.SearchStrategy[Any] = st.sampled_from([None, True, 7, "x", [], {}, ["x"], {"type": "Ready"}, {"type": []}])
_MAP = st.dictionaries(st.sampled_from(KEYS), _LEAF, max_size=4)
ODD = _LEAF | st.dictionaries(st.sampled_from(KEYS), _LEAF | _MAP | st.lists(_LEAF | _MAP, max_size=3), max_size=4)


class Server:
    """The resource, as an API server keeps it, and a cache that shows it."""

    def __init__(self) -> None:
        self.cache: WatchCache[EvictorConfig] = WatchCache(cast("Any", None), EVICTOR_CONFIGS)
        self.there: EvictorConfig | None = None
        self.writes: list[Mapping[str, Any]] = []
        self.tries = 0
        self.refusals: list[errors.KubeError] = []
        self.leads = True

    def put(self, status: Any = None, *, seen: bool = True, uid: str = "u") -> None:
        """Somebody writes."""
        self.there = stored(EvictorConfig(ObjectMeta(name="evictor-config", uid=uid, generation=1), {}, status))
        if seen:
            self.cache._apply("MODIFIED", self.there)

    async def update_status(
        self, _resource: Any, name: str, *, status: Mapping[str, Any], uid: str, resource_version: str
    ) -> EvictorConfig:
        assert name == "evictor-config"
        self.tries += 1
        await asyncio.sleep(0.1)
        if self.refusals:
            raise self.refusals.pop()
        if self.there is None:
            raise refusal(404, "not found")
        assert uid == self.there.metadata.uid
        if resource_version != self.there.metadata.resource_version:
            raise refusal(409, "the object has been modified")
        self.put(status, seen=False)
        self.writes.append(status)
        return self.there

    async def list(self, _resource: Any, *, fields: str) -> list[EvictorConfig]:
        assert fields == "metadata.name=evictor-config"
        return [self.there] if self.there is not None else []

    @staticmethod
    def now() -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())


@asynccontextmanager
async def writing(server: Server) -> AsyncIterator[Status]:
    status = Status(cast("Any", server), server.cache, server.now, lambda: server.leads)
    task = asyncio.create_task(status.run())
    try:
        yield status
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(nodes: int = 1, *conditions: Condition, at: datetime = NOW, **more: Any) -> StatusUpdate:
    return StatusUpdate(1, conditions or (GOOD,), {"time": at.isoformat(), "nodes": nodes}, **more)


def test_a_cycle_in_a_status() -> None:
    found = seen(*TWO)
    assert cycle(found.plan, count_verdicts(found), NOW) == {
        "time": "2026-01-01T12:00:00Z",
        "nodes": 2,
        "candidates": 2,
        "going": 1,
        "chosen": [{"node": "n1", "price": 36.0, "pods": 1}],
        "freed": 36.0,
        "unit": "units",
        "cutOff": False,
        "held": {"TARGET": 1},
    }


def test_conditions_keep_their_time_until_they_change() -> None:
    first = merged(None, said(), NOW)
    (condition,) = first["conditions"]
    assert condition["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    other_words = merged(first, said(1, Condition("Ready", True, "LastGood", "x")), later(hours=1))
    assert other_words["conditions"][0]["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert other_words["conditions"][0]["reason"] == "LastGood"
    not_any_more = merged(other_words, said(1, Condition("Ready", False, "Disabled", "")), later(hours=2))
    assert not_any_more["conditions"][0]["lastTransitionTime"] == "2026-01-01T14:00:00Z"
    assert not_any_more["conditions"][0]["observedGeneration"] == 1


def test_what_is_not_ours_stays() -> None:
    before = {"other": 1, "conditions": [{"type": "Theirs", "status": "True"}], "evictions": {"u": ["x"]}}
    found = merged(before, StatusUpdate(3, (GOOD,)), NOW)
    assert (found["other"], found["evictions"], found["observedGeneration"]) == (1, {"u": ["x"]}, 3)
    assert [each["type"] for each in found["conditions"]] == ["Theirs", "Ready"]


def test_only_times_are_no_difference() -> None:
    first = merged(None, said(), NOW)
    assert not differs(first, merged(first, said(at=later(hours=1)), later(hours=1)))
    assert differs(first, merged(first, said(2), NOW))
    assert differs(first, merged(first, said(history=History({"u": (NOW,)})), NOW))
    assert differs(None, first)


@settings(max_examples=examples(100))
@given(ODD)
def test_whatever_has_become_of_a_status_it_can_be_read_and_written(odd: Any) -> None:
    found = merged(odd, said(), NOW)
    assert not differs(found, merged(found, said(), later(hours=1)))
    assert all(isinstance(name, str) for name in chosen_before(odd))


def test_what_is_said_of_a_configuration() -> None:
    wrong = tuple(ConfigurationMistake("ConfigMap a/b", f"evictionConfig[{number}]", "is odd") for number in range(7))
    first = {each.type: each for each in about(in_force(None, wrong=wrong), enabled=False)}
    assert (first["Ready"].holds, first["Ready"].reason) == (False, "NoConfiguration")
    assert first["ConfigurationValid"].holds is False
    assert first["ConfigurationValid"].message.startswith("ConfigMap a/b: evictionConfig[0]: is odd; ConfigMap a/b: ")
    assert first["ConfigurationValid"].message.endswith("evictionConfig[4]: is odd; and 2 more")
    kept = {each.type: each for each in about(in_force(Configuration(), wrong=wrong), enabled=True)}
    assert (kept["Ready"].holds, kept["Ready"].reason) == (True, "LastGood")
    assert failed(ValueError("odd")).message == "ValueError: odd"


@virtual
async def test_the_same_is_not_written_twice() -> None:
    server = Server()
    server.put()
    async with writing(server) as status:
        for minute in range(10):
            status.say(said(at=later(minutes=minute)))
            await asyncio.sleep(60.0)
        assert len(server.writes) == 1
        status.say(said(2))
        await asyncio.sleep(60.0)
        assert server.tries == 2
        assert server.there is not None
        assert server.there.status["lastCycle"]["nodes"] == 2


@virtual
async def test_without_a_resource_nothing_is_written_until_there_is_one() -> None:
    server = Server()
    async with writing(server) as status:
        status.say(said())
        await asyncio.sleep(HOUR)
        assert server.tries == 0
        server.put()
        status.say(said())
        await asyncio.sleep(HOUR)
        assert len(server.writes) == 1


@virtual
async def test_what_was_judged_before_the_resource_came_is_not_its_status() -> None:
    server = Server()
    server.put()
    async with writing(server) as status:
        status.say(StatusUpdate(0, (GOOD,)))
        await asyncio.sleep(HOUR)
    assert server.tries == 0


@virtual
async def test_who_does_not_lead_writes_nothing() -> None:
    server = Server()
    server.put()
    server.leads = False
    async with writing(server) as status:
        status.say(said())
        await asyncio.sleep(HOUR)
    assert server.tries == 0


@virtual
async def test_when_somebody_was_faster_it_is_read_again() -> None:
    server = Server()
    server.put()
    async with writing(server) as status:
        server.put({"other": 1}, seen=False)
        status.say(said())
        await asyncio.sleep(60.0)
    (written,) = server.writes
    assert written["other"] == 1
    assert server.tries == 2


@virtual
async def test_a_refused_write_is_tried_again_less_and_less_often_and_told_once() -> None:
    server = Server()
    server.put()
    server.refusals = [refusal(403, "no")] * 8
    lines = _Lines()
    logging.getLogger("moorage.evictor").addHandler(lines)
    try:
        async with writing(server) as status:
            status.say(said())
            await asyncio.sleep(10.0)
            assert server.tries < 8
            await asyncio.sleep(HOUR)
            assert server.tries == 9
            assert len(server.writes) == 1
    finally:
        logging.getLogger("moorage.evictor").removeHandler(lines)
    assert [record.levelno for record in lines.records if "not written" in record.message].count(logging.WARNING) == 1


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.message = record.getMessage()
        self.records.append(record)


@virtual
async def test_a_resource_that_is_gone_is_left_alone() -> None:
    server = Server()
    server.put()
    async with writing(server) as status:
        server.there = None
        status.say(said())
        await asyncio.sleep(HOUR)
        assert server.tries == 1
        hide(server.cache, "evictor-config")
        status.say(said(2))
        await asyncio.sleep(HOUR)
        assert server.tries == 1


@virtual
async def test_evictions_are_read_back_once_they_can_be_seen() -> None:
    server = Server()
    async with writing(server) as status:
        assert status.remember(Configuration()) is None
        server.put({"evictions": {"u": [server.now().isoformat(), "odd", 7], "v": 3}, "lastCycle": {"chosen": [7]}})
        complete(server.cache)
        history = status.remember(Configuration())
        assert history is not None
        assert history.count("u") == 3  # what cannot be read counts
        assert history.count("v") == 0
        status.say(said(history=history))
        await asyncio.sleep(1.0)
        assert server.writes[0]["evictions"] == history.as_status()
        await asyncio.sleep(HOUR)
        forgotten = status.remember(Configuration())
        assert forgotten == History()


@virtual
async def test_whether_it_is_written_can_be_waited_for() -> None:
    server = Server()
    server.put()
    async with writing(server) as status:
        status.say(said(history=History({"u": (NOW,)})))
        assert await status.settled(10.0)
        assert server.there is not None
        assert server.there.status["evictions"] == {"u": [NOW.isoformat()]}
        server.refusals = [refusal(403, "forbidden") for _ in range(3)]
        status.say(said(2))
        assert not await status.settled(0.5)
        assert await status.settled(60.0)
        assert server.there.status["lastCycle"]["nodes"] == 2


@virtual
async def test_there_is_nothing_to_wait_for_without_a_resource() -> None:
    server = Server()
    async with writing(server) as status:
        status.say(said())
        assert await status.settled(1.0)


@virtual
async def test_evictions_of_now_are_remembered_with_those_that_were_written_down() -> None:
    server = Server()
    server.put({"evictions": {"u": [NOW.isoformat()]}})
    complete(server.cache)
    async with writing(server) as status:
        assert status.remember(Configuration()) == History({"u": (NOW,)})
        await asyncio.sleep(60.0)
        status.evicted("u")
        status.evicted("v")
        now = server.now()
        assert status.remember(Configuration()) == History({"u": (NOW, now), "v": (now,)})


def test_a_configuration_that_acts_is_said_to() -> None:
    (ready, _) = about(in_force(Configuration(dry_run=False)), enabled=True)
    assert ready == Condition("Ready", True, "InForce", "The configuration is in force, and nodes are emptied")
