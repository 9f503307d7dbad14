import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.kube.lease import LeaderElection
from moorage.objects import Lease
from tests.examples import examples
from tests.unit.kube.simulated import Link, Server, Time, refusal, settle

PATH = "/apis/coordination.k8s.io/v1/namespaces/castai-agent/leases/pinner"


class Replica:
    """One elector with its own link; remembers why terms ended and whether it still thought to be leader then."""

    def __init__(self, server: Server, name: str, **options: Any) -> None:
        self.link = Link(server)
        self.ended: list[str] = []
        self.asked_when_ended: list[int] = []
        self.election = LeaderElection(
            self.link,
            "castai-agent",
            "pinner",
            name,
            monotonic=server.time.monotonic,
            sleep=server.time.sleep,
            on_lost=self.on_lost,
            **{"jitter": lambda: 0.5, **options},
        )
        self.task: asyncio.Task[None] | None = None

    def on_lost(self, reason: str) -> None:
        assert not self.election.is_leader()
        self.ended.append(reason)
        self.asked_when_ended.append(len(self.link.server.requests))

    def start(self) -> None:
        self.task = asyncio.create_task(self.election.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def kill(self) -> None:
        """What kill -9 leaves: nothing more is sent."""
        self.link.cut = True
        await self.stop()


@asynccontextmanager
async def replicas(count: int = 1, **options: Any) -> AsyncIterator[tuple[Time, Server, list[Replica]]]:
    time = Time()
    server = Server(time)
    all_of_them = [Replica(server, f"pod-{i}", **options) for i in range(count)]
    try:
        yield time, server, all_of_them
    finally:
        for replica in all_of_them:
            await replica.kill()


def lease(server: Server) -> dict[str, Any]:
    spec: dict[str, Any] = server.objects[PATH]["spec"]
    return spec


async def test_creates_the_lease_and_renews_it() -> None:
    async with replicas(labels={"app": "moorage"}) as (time, server, [one]):
        assert one.election.lost.is_set()
        one.start()
        await time.advance(0)
        assert one.election.is_leader()
        assert one.election.became_leader.is_set()
        assert not one.election.lost.is_set()
        first = lease(server)
        assert first["holderIdentity"] == one.election.identity
        assert one.election.identity.startswith("pod-0_")
        assert first["leaseDurationSeconds"] == 15
        assert first["leaseTransitions"] == 0
        assert server.objects[PATH]["metadata"]["labels"] == {"app": "moorage"}
        await time.advance(60)
        assert one.election.is_leader()
        assert not one.ended
        renewed = lease(server)
        assert renewed["acquireTime"] == first["acquireTime"]
        assert renewed["renewTime"] > first["renewTime"]
        assert server.requests[2:] == [("PUT", PATH)] * 30  # the fast path: no read before a renewal


async def test_second_waits_and_takes_over_only_after_the_first_fell_silent() -> None:
    async with replicas(2) as (time, server, [one, two]):
        one.start()
        await time.advance(5)
        two.start()
        await time.advance(30)
        assert one.election.is_leader()
        assert not two.election.is_leader()
        assert two.election.holder == one.election.identity
        await one.kill()
        silent_from = time.now
        await time.advance(14.9 - 4.2 - 2)  # retry periods of the second and the first
        assert not two.election.is_leader()
        await time.advance(15)
        assert two.election.is_leader()
        assert lease(server)["leaseTransitions"] == 1
        assert time.now - silent_from < 25


async def test_clean_stop_ends_the_term_first_and_releases_at_once() -> None:
    async with replicas(2) as (time, server, [one, two]):
        one.start()
        await time.advance(4)
        two.start()
        await time.advance(4)
        asked = len(server.requests)
        await one.stop()
        assert one.ended == ["stopped"]
        assert one.asked_when_ended == [asked]
        assert len(server.requests) > asked
        assert lease(server)["holderIdentity"] == ""
        assert lease(server)["leaseDurationSeconds"] == 1
        await time.advance(4.4)  # one jittered retry period of the second
        assert two.election.is_leader()
        assert lease(server)["leaseTransitions"] == 1
        assert lease(server)["leaseDurationSeconds"] == 15


@pytest.mark.parametrize("loses_answers", [False, True])
async def test_a_swallowed_renewal_does_not_end_the_term(loses_answers: bool) -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        await time.advance(1)
        for _ in range(5):
            one.link.swallows = 1
            if loses_answers:  # the server has executed it
                server.store(PATH, server.objects[PATH])
            await time.advance(30)
        assert one.election.is_leader()
        assert one.ended == []


def tell(server: Server, replica: Replica) -> None:
    """The watch of a replica shows the Lease."""
    replica.election.observe(msgspec.convert(server.objects[PATH], Lease))


async def test_a_candidate_that_watches_takes_a_released_lease_at_once() -> None:
    async with replicas(2) as (time, server, [one, two]):
        one.start()
        await time.advance(4)
        two.start()
        await time.advance(4)
        await one.stop()
        tell(server, two)
        await time.advance(0.01)
        assert two.election.is_leader()


async def test_a_candidate_that_watches_counts_from_the_renewal_itself() -> None:
    async with replicas(2, jitter=lambda: 0.99) as (time, server, [one, two]):
        one.start()
        await time.advance(4)
        two.start()
        await time.advance(6.1)
        tell(server, two)
        await one.kill()  # its last renewal was at 10
        await time.advance(14.8)
        assert not two.election.is_leader()
        await time.advance(1)
        assert two.election.is_leader()


async def test_a_lease_that_is_renewed_all_the_time_is_asked_for_no_more_often_because_of_a_watch() -> None:
    async with replicas(2) as (time, server, [one, two]):
        one.start()
        await time.advance(4)
        two.start()
        before = len([each for each in server.requests if each[0] == "GET"])
        for _ in range(30):
            await time.advance(1)
            tell(server, two)
        assert len([each for each in server.requests if each[0] == "GET"]) - before <= 15
        assert one.election.is_leader()


async def test_fence_falls_before_anyone_else_can_take_over() -> None:
    async with replicas(2) as (time, server, [one, two]):
        one.start()
        await time.advance(3)  # renewed at 2 s
        two.start()
        one.link.cut = True
        last_renewal = 102.0
        await time.advance(last_renewal + 9.99 - time.now)
        assert one.election.is_leader()
        assert not one.ended
        await time.advance(0.02)
        assert not one.election.is_leader()
        assert one.ended == ["not renewed in time"]
        assert lease(server)["holderIdentity"] == one.election.identity
        await time.advance(last_renewal + 14.9 - time.now)
        assert not two.election.is_leader()
        await time.advance(6)
        assert two.election.is_leader()


@pytest.mark.parametrize("direction", ["delay_there", "delay_back"])
async def test_fence_falls_while_a_renewal_hangs(direction: str) -> None:
    async with replicas() as (time, _, [one]):
        one.start()
        await time.advance(3)
        setattr(one.link, direction, 1000.0)
        await time.advance(9.01)
        assert one.ended == ["not renewed in time"]
        assert not one.election.is_leader()
        setattr(one.link, direction, 0.0)
        await time.advance(15)
        assert one.election.is_leader()  # nobody took it: the same lease, a new term


async def test_validity_counts_from_sending_not_from_the_answer() -> None:
    async with replicas() as (time, _, [one]):
        one.link.delay_back = 4.0
        one.start()
        await time.advance(3.9)
        assert not one.election.is_leader()
        await time.advance(0.2)  # sent at once, answered after 4 s
        assert one.election.is_leader()
        one.link.cut = True
        await time.advance(5.89)
        assert one.election.is_leader()
        await time.advance(0.02)
        assert not one.election.is_leader()


async def test_is_leader_needs_no_loop_to_turn_false() -> None:
    async with replicas() as (time, _, [one]):
        one.start()
        await time.advance(0)
        assert one.election.is_leader()
        time.now += 10.0  # the process was stopped for ten seconds: nothing ran
        assert not one.election.is_leader()
        assert one.election.became_leader.is_set()


async def test_a_stolen_lease_ends_the_term() -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        await time.advance(3)
        server.store(PATH, {**server.objects[PATH], "spec": {**lease(server), "holderIdentity": "thief"}})
        await time.advance(2)
        assert one.ended == ["taken over by another"]
        assert not one.election.is_leader()
        assert one.election.lost.is_set()
        await time.advance(10)
        assert lease(server)["holderIdentity"] == "thief"
        await time.advance(10)
        assert lease(server)["holderIdentity"] == one.election.identity
        assert lease(server)["leaseTransitions"] == 1


async def test_a_deleted_lease_ends_the_term_and_is_created_anew() -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        await time.advance(3)
        del server.objects[PATH]
        await time.advance(2)
        assert one.ended == ["deleted"]
        assert not one.election.is_leader()
        await time.advance(5)
        assert one.election.is_leader()


async def test_what_others_wrote_into_the_lease_stays() -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        await time.advance(1)
        held = server.objects[PATH]
        metadata = {**held["metadata"], "annotations": {"a": "b"}, "labels": {"x": "y"}}
        server.store(PATH, {"metadata": metadata, "spec": {**held["spec"], "strategy": "OldestEmulationVersion"}})
        await time.advance(10)
        assert not one.ended
        assert server.objects[PATH]["metadata"]["annotations"] == {"a": "b"}
        assert server.objects[PATH]["metadata"]["labels"] == {"x": "y"}
        assert lease(server)["strategy"] == "OldestEmulationVersion"


async def test_an_acquisition_whose_answer_was_lost_is_taken_up() -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        one.link.loses_answers = True
        await time.advance(1)
        one.link.loses_answers = False
        assert not one.election.is_leader()
        await time.advance(4)
        server_side = lease(server)
        assert one.election.is_leader()
        assert server_side["leaseTransitions"] == 0


async def test_an_unanswered_acquisition_is_released_too() -> None:
    async with replicas() as (time, server, [one]):
        one.start()
        await settle()
        one.link.loses_answers = True
        server.objects.clear()
        one.election._lease = None
        await time.advance(10)
        one.link.loses_answers = False
        await one.stop()
        assert lease(server)["holderIdentity"] == ""


async def test_a_holder_with_our_pod_name_is_not_us() -> None:
    async with replicas() as (time, server, [one]):
        other_life = {"holderIdentity": "pod-0_12345678", "leaseDurationSeconds": 15, "leaseTransitions": 3}
        server.store(PATH, {"metadata": {"name": "pinner"}, "spec": other_life})
        one.start()
        await time.advance(14)
        assert not one.election.is_leader()
        await time.advance(6)
        assert one.election.is_leader()
        assert lease(server)["leaseTransitions"] == 4


async def test_two_candidates_race_and_one_wins() -> None:
    async with replicas(2) as (time, _, both):
        for replica in both:
            replica.start()
        await time.advance(5)
        assert sorted(r.election.is_leader() for r in both) == [False, True]


async def test_retry_after_is_honoured() -> None:
    async with replicas() as (time, server, [one]):
        one.link.refusals = [refusal(429, "TooManyRequests", "later", retry_after=7.0)]
        one.start()
        await time.advance(6.9)
        assert not server.requests
        await time.advance(0.2)
        assert one.election.is_leader()


async def test_a_lasting_refusal_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "moorage.kube.lease")
    async with replicas() as (time, _, [one]):
        one.link.refusals = [refusal(403, "Forbidden", "leases is forbidden") for _ in range(20)]
        one.start()
        await time.advance(30)
        failed = [r for r in caplog.records if r.getMessage() == "lease request failed, trying again"]
        assert len(failed) == 1
        assert "leases is forbidden" in failed[0].__dict__["error"]
        one.link.refusals.clear()
        await time.advance(5)
        assert one.election.is_leader()
        assert "lease requests work again" in caplog.messages


async def test_without_server_time_nobody_leads_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with replicas() as (time, server, [one]):
        one.link.sends_date = False
        one.start()
        await time.advance(10)
        assert not one.election.is_leader()
        assert PATH not in server.objects
        assert "Date header" in caplog.records[0].__dict__["error"]


async def test_a_broken_callback_does_not_keep_the_lease(caplog: pytest.LogCaptureFixture) -> None:
    def broken(reason: str) -> None:
        raise RuntimeError(reason)

    async with replicas() as (time, server, [one]):
        one.election._on_lost = broken
        one.start()
        await time.advance(1)
        await one.stop()
        assert lease(server)["holderIdentity"] == ""
        assert "callback for lost leadership failed" in caplog.messages


@pytest.mark.parametrize(
    "durations",
    [
        {"duration": 10.0, "renew_deadline": 10.0},
        {"renew_deadline": 2.0},
        {"retry_period": 0.0},
        {"duration": 0.9, "renew_deadline": 0.5, "retry_period": 0.1},
    ],
)
def test_contradicting_durations_are_refused(durations: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="duration > renew_deadline"):
        LeaderElection(Link(Server(Time())), "ns", "name", "me", **durations)  # type: ignore[arg-type]


FAULTS: list[dict[str, Any]] = [
    {"cut": True},
    {"cut": False},
    {"loses_answers": True},
    {"loses_answers": False},
    {"delay_there": 6.0},
    {"delay_back": 6.0},
    {"delay_back": 40.0},
    {"delay_there": 0.0, "delay_back": 0.0},
    {"refusals": [refusal(500, "InternalError", "etcd"), refusal(409, "Conflict", "modified")]},
]
HEALTHY: dict[str, Any] = {
    "cut": False,
    "loses_answers": False,
    "delay_there": 0.0,
    "delay_back": 0.0,
    "refusals": [],
}


def apply(replica: Replica, fault: dict[str, Any]) -> None:
    for name, value in fault.items():
        setattr(replica.link, name, list(value) if isinstance(value, list) else value)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, len(FAULTS) - 1), st.floats(0.0, 12.0)), max_size=25),
    st.lists(st.floats(0.0, 0.99), min_size=3, max_size=3),
)
def test_never_two_leaders_and_in_the_end_one(plan: list[tuple[int, int, float]], jitters: list[float]) -> None:
    async def scenario() -> None:
        async with replicas(3) as (time, _, three):
            for replica, jitter in zip(three, jitters, strict=True):
                replica.election._jitter = partial(float, jitter)
                replica.start()

            def at_most_one() -> None:
                assert sum(r.election.is_leader() for r in three) <= 1

            for who, what, pause in plan:
                apply(three[who], FAULTS[what])
                await time.advance(pause, each=at_most_one)
            for replica in three:
                apply(replica, HEALTHY)
            await time.advance(45, each=at_most_one)
            assert sum(r.election.is_leader() for r in three) == 1

    asyncio.run(scenario())
