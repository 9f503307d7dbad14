"""Leases of placeholders: when they are renewed, and their content, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from moorage.kube.clock import micro_time
from moorage.kube.errors import Undecodable
from moorage.objects import Node, NodeStatus, NodeSystemInfo, ObjectMeta
from moorage.pinner.decisions.signs import QUIET
from moorage.pinner.names import RENEWED_ANNOTATION
from moorage.pinner.node import lease_pace, leases
from moorage.pinner.node.leases import NAMESPACE, LeaseKeeper, renewal
from moorage.pinner.reporting import Reporter
from moorage.pinner.state.cluster import ClusterState
from moorage.reservations import NodeReservation, Reading
from tests.unit.kube.simulated import EPOCH, Link, Server, Time, settle
from tests.unit.pinner import model

FOLDER = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
INTERVAL = 20.0
NOW = datetime.fromisoformat("2030-01-01T00:02:00+00:00")


class Leases(Server):
    """An API server that gives uids and remembers when which Lease got which renewTime."""

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.renewals: dict[str, list[tuple[float, datetime]]] = {}

    def store(self, path: str, value: Mapping[str, Any]) -> None:
        before = self.objects.get(path, {}).get("spec", {}).get("renewTime")
        super().store(path, {**value, "metadata": {"uid": f"uid of {path}", **value["metadata"]}})
        text = self.objects[path]["spec"]["renewTime"]
        if text != before:
            name = path.rpartition("/")[2]
            self.renewals.setdefault(name, []).append((self.time.now, datetime.fromisoformat(text)))

    def of(self, name: str) -> dict[str, Any]:
        return self.objects[f"{FOLDER}/{name}"]


class Placeholders:
    """What the keeper asks of the cluster's state, and of the reporter."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.told: list[tuple[str, float]] = []
        self.looks = 0

    def add(self, name: str, *, created: float) -> None:
        text = (EPOCH + timedelta(seconds=created)).isoformat()
        self.nodes[name] = Node(metadata=ObjectMeta(name=name, uid=f"u-{name}", creation_timestamp=text))

    @property
    def reserved(self) -> tuple[str, ...]:
        return tuple(self.nodes)

    def node(self, name: str) -> Node | None:
        return self.nodes.get(name)

    def reservation(self, name: str) -> NodeReservation | None:
        return NodeReservation(metadata=ObjectMeta(name=name)) if name in self.nodes else None

    def reading(self, _name: str) -> Reading:
        return Reading(model.spec_of(deadline=""), ())

    def is_ours(self, name: str) -> bool:
        self.looks += 1
        return name in self.nodes

    def lease_ahead(self, name: str, seconds: float) -> None:
        self.told.append((name, seconds))

    lease_foreign = lease_ahead


class Keeping:
    """A keeper at work."""

    def __init__(self, *names: str, age: float) -> None:
        self.time = Time()
        self.server = Leases(self.time)
        self.link = Link(self.server)
        self.link.clock.observe(self.server.date(), self.time.now, self.time.now)
        self.cluster = Placeholders()
        for name in names:
            self.cluster.add(name, created=self.time.now - age)
        self.busy = False
        self.leads = True
        self.keeper = LeaseKeeper(
            self.link,
            cast("ClusterState", self.cluster),
            cast("Reporter", self.cluster),
            self.link.clock,
            is_leader=lambda: self.leads,
            interval=INTERVAL,
            busy=lambda: self.busy,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
        )

    def held(self, name: str, *, ago: float, by_us: bool = False) -> None:
        """Put a Lease there that was renewed some seconds ago."""
        text = micro_time(EPOCH + timedelta(seconds=self.time.now - ago))
        mark = {"annotations": {RENEWED_ANNOTATION: text}} if by_us else {}
        self.server.store(f"{FOLDER}/{name}", {"metadata": {"name": name, **mark}, "spec": {"renewTime": text}})

    def gaps(self, name: str) -> list[float]:
        """Seconds between the renewals of a Lease."""
        moments = [each[0] for each in self.server.renewals[name]]
        return [later - sooner for sooner, later in itertools.pairwise(moments)]


@asynccontextmanager
async def keeping(*names: str, age: float = 0.0) -> AsyncIterator[Keeping]:
    made = Keeping(*names, age=age)
    task = asyncio.create_task(made.keeper.run())
    try:
        yield made
        assert not task.done(), "a keeper never ends by itself"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


NAMES = tuple(f"n{number}" for number in range(8))


# --- when ---


async def test_leases_are_renewed_in_time_and_never_ahead_of_the_server_or_backwards() -> None:
    async with keeping(*NAMES) as it:
        await it.time.advance(INTERVAL + 1)
        assert set(it.server.renewals) == set(NAMES), "the first ones come within an interval"
        assert len({moment for each in it.server.renewals.values() for moment, _ in each}) > 1, "spread over it"
        await it.time.advance(5 * INTERVAL)
        for name in NAMES:
            renewed = it.server.renewals[name]
            assert len(renewed) >= 5
            assert all(0.8 * INTERVAL <= gap <= INTERVAL + leases.TICK for gap in it.gaps(name))
            assert all(said <= EPOCH + timedelta(seconds=moment + 1) for moment, said in renewed)
            assert [said for _, said in renewed] == sorted(said for _, said in renewed)
        assert it.server.requests.count(("GET", f"{FOLDER}/n0")) == 1, "what we have written need not be read"


async def test_while_pins_are_under_way_renewals_wait_as_long_as_is_safe_and_no_longer() -> None:
    async with keeping(*NAMES) as it:
        await it.time.advance(INTERVAL + 1)
        it.busy = True
        await it.time.advance(6 * INTERVAL)
        for name in NAMES:
            later = it.gaps(name)[1:]
            assert len(later) >= 3
            assert all(leases.LONGEST * INTERVAL <= gap <= 1.5 * INTERVAL for gap in later)


async def test_the_first_renewal_of_a_new_node_waits_for_pins_no_longer_either() -> None:
    async with keeping(*NAMES, age=5) as it:
        it.busy = True
        await it.time.advance(1.5 * INTERVAL - 5)
        assert set(it.server.renewals) == set(NAMES)


async def test_what_has_waited_goes_as_soon_as_there_are_no_pins() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(1)
        it.busy = True
        await it.time.advance(INTERVAL + 1)
        assert len(it.server.renewals["n0"]) == 1, "it is due and waits"
        it.busy = False
        await it.time.advance(leases.TICK)
        assert len(it.server.renewals["n0"]) == 2


async def test_pins_that_come_while_a_renewal_stands_in_the_queue_go_first() -> None:
    async with keeping(*NAMES, age=100) as it:
        it.link.delay_there = 0.1
        await it.time.advance(0.05)
        it.busy = True  # four are on their way: as many as may be
        for name in NAMES:
            it.keeper._held[name].latest += 5
        await it.time.advance(3)
        assert len({path for _, path in it.server.requests if path != FOLDER}) == lease_pace.CONCURRENT
        it.busy = False
        await it.time.advance(2)
        assert set(it.server.renewals) == set(NAMES)


async def test_of_those_that_are_due_the_oldest_goes_first() -> None:
    async with keeping(*NAMES, age=100) as it:
        it.leads = False
        await it.time.advance(leases.TICK)
        order = [*NAMES[::2], *NAMES[1::2]]
        for age, name in enumerate(order):
            it.keeper._held[name].latest = age
        it.leads = True
        await it.time.advance(leases.TICK)
        created = [path.rpartition("/")[2] for method, path in it.server.requests if method == "GET"]
        assert created == order


async def test_a_node_that_is_made_anew_under_its_name_gets_its_lease_before_its_minute_is_over() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(1)
        del it.server.objects[f"{FOLDER}/n0"]  # it goes with its Node
        it.cluster.add("n0", created=it.time.now)
        node = it.cluster.nodes["n0"]
        it.cluster.nodes["n0"] = msgspec.structs.replace(
            node, metadata=msgspec.structs.replace(node.metadata, uid="another")
        )
        it.busy = True
        await it.time.advance(2.5 * INTERVAL)
        assert it.server.of("n0")["metadata"]["ownerReferences"][0]["uid"] == "another"


async def test_leases_that_are_not_due_cost_nothing_and_are_forgotten_with_their_nodes() -> None:
    async with keeping(*NAMES) as it:
        await it.time.advance(INTERVAL + 1)
        it.cluster.looks = 0
        await it.time.advance(4 * INTERVAL)
        assert it.cluster.looks <= 3 * sum(len(it.gaps(name)) for name in NAMES), "not with each tick"
        it.cluster.nodes.clear()
        await it.time.advance(leases.TICK)
        assert not it.keeper._held


async def test_a_new_leader_renews_at_once_what_an_earlier_one_may_have_left_long_ago() -> None:
    async with keeping() as it:
        it.busy = True
        for name in NAMES:
            it.held(name, ago=28, by_us=True)
            it.cluster.add(name, created=it.time.now - 300)
        it.cluster.add("new", created=it.time.now)
        await it.time.advance(leases.TICK)
        await settle()
        assert all(len(it.server.renewals[name]) == 2 for name in NAMES)
        assert "new" not in it.server.renewals, "a new Node has a minute"


async def test_a_kubelets_lease_is_left_alone_and_told_of_once_when_it_is_silent() -> None:
    async with keeping("n0", age=100) as it:
        it.held("n0", ago=3)
        await it.time.advance(QUIET.total_seconds() - 4)
        assert not it.cluster.told, "it may be renewed at any moment"
        await it.time.advance(4 * INTERVAL)
        assert {method for method, _ in it.server.requests} == {"GET"}
        assert [name for name, _ in it.cluster.told] == ["n0"]


async def test_a_lease_that_a_kubelet_took_over_is_ours_no_more_and_one_that_went_with_its_node_is_made_again() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(INTERVAL)
        ours = it.server.of("n0")
        kubelets = micro_time(EPOCH + timedelta(seconds=it.time.now))
        it.server.store(f"{FOLDER}/n0", {**ours, "spec": {**ours["spec"], "renewTime": kubelets}})
        await it.time.advance(5 * INTERVAL)
        assert it.server.of("n0")["spec"]["renewTime"] == kubelets
        del it.server.objects[f"{FOLDER}/n0"]
        await it.time.advance(INTERVAL + leases.RETRY + 1)
        assert it.server.of("n0")["metadata"]["annotations"].keys() == {RENEWED_ANNOTATION}


async def test_a_lease_from_the_future_is_never_written_and_told_of_once() -> None:
    async with keeping("n0", age=100) as it:
        it.held("n0", ago=-3600)
        await it.time.advance(4 * INTERVAL)
        assert {method for method, _ in it.server.requests} == {"GET"}
        assert [name for name, _ in it.cluster.told] == ["n0"]


async def test_nothing_is_written_by_whoever_does_not_lead_or_about_a_node_with_a_kubelet() -> None:
    async with keeping(*NAMES, age=100) as it:
        it.leads = False
        await it.time.advance(2 * INTERVAL)
        assert not it.server.requests
        info = NodeStatus(node_info=NodeSystemInfo(kubelet_version="v1.36.3"))
        for name, node in it.cluster.nodes.items():
            it.cluster.nodes[name] = msgspec.structs.replace(node, status=info)
        it.leads = True
        await it.time.advance(2 * INTERVAL)
        assert not it.server.requests


# --- when something goes wrong ---


async def test_a_lost_answer_is_read_again_and_nothing_goes_backwards() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(1)
        it.link.loses_answers = True
        await it.time.advance(INTERVAL + 1)
        it.link.loses_answers = False
        await it.time.advance(leases.RETRY + 1)
        assert it.server.requests[-1][0] == "GET"
        await it.time.advance(3 * INTERVAL)
        assert len(it.server.renewals["n0"]) >= 4
        assert all(gap <= 1.5 * INTERVAL for gap in it.gaps("n0"))
        said = [each for _, each in it.server.renewals["n0"]]
        assert said == sorted(said)


async def test_an_answer_that_does_not_come_is_not_waited_for_until_it_is_too_late(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "ANSWER", 0.001)
    async with keeping("n0", age=100) as it:
        it.link.delay_there = 1000.0
        await it.time.advance(0)
        await asyncio.sleep(0.01)
        assert not it.server.requests
        it.link.delay_there = 0.0
        await it.time.advance(leases.RETRY + leases.TICK)
        assert it.server.renewals["n0"]
    failed = next(record for record in caplog.records if record.message == "lease not renewed, trying again")
    assert failed.__dict__["error"].startswith("no answer within")


async def test_a_lease_that_somebody_deletes_is_made_again() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(1)
        del it.server.objects[f"{FOLDER}/n0"]
        await it.time.advance(INTERVAL + leases.RETRY + 2)
        assert it.server.of("n0")["spec"]["holderIdentity"] == "n0"


# --- what ---


async def test_what_others_write_into_a_lease_stays() -> None:
    async with keeping("n0", age=100) as it:
        await it.time.advance(1)
        theirs = it.server.of("n0")
        theirs["metadata"]["annotations"]["c"] = "d"
        theirs["metadata"] |= {"labels": {"a": "b"}, "finalizers": ["e.io/f"]}
        more = {"strategy": "OldestEmulationVersion", "preferredHolder": "x", "leaseTransitions": 7}
        it.server.store(f"{FOLDER}/n0", {**theirs, "spec": theirs["spec"] | more, "fromTheFuture": {"kept": True}})
        await it.time.advance(3 * INTERVAL)
        assert len(it.server.renewals["n0"]) >= 3
        found = it.server.of("n0")
        assert found["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Node", "name": "n0", "uid": "u-n0"}
        ]
        assert found["metadata"]["labels"] == {"a": "b"}
        assert found["metadata"]["annotations"] == {"c": "d", RENEWED_ANNOTATION: found["spec"]["renewTime"]}
        assert found["metadata"]["finalizers"] == ["e.io/f"]
        assert more.items() <= found["spec"].items()
        assert found["fromTheFuture"] == {"kept": True}


def stored(**metadata: Any) -> bytes:
    lease = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "5", **metadata}, "spec": {"renewTime": None}}
    return msgspec.json.encode(lease)


def entry(manager: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {}}}


@pytest.mark.parametrize(
    ("managers", "said"),
    [([], [{}]), (["moorage"], [{}]), (["moorage", "kubelet"], None), (["kubectl-label"], None)],
)
def test_who_wrote_what_is_forgotten_only_when_nobody_else_has_written(managers: list[str], said: Any) -> None:
    body = msgspec.json.decode(renewal(stored(managedFields=[entry(each) for each in managers]), "n", NOW))
    assert body["metadata"].get("managedFields") == said


def test_a_renewal_is_about_the_lease_that_was_read() -> None:
    body = msgspec.json.decode(renewal(stored(), "n", NOW))
    assert (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) == ("u", "5")
    assert body["spec"] == {
        "renewTime": "2030-01-01T00:02:00.000000Z",
        "holderIdentity": "n",
        "leaseDurationSeconds": 40,
    }


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b"<html>", b'{"metadata": {"uid": "u"}}', stored(resourceVersion=""), stored(managedFields=3)],
)
def test_what_is_no_lease_is_never_written_back(answer: bytes) -> None:
    with pytest.raises(Undecodable):
        renewal(answer, "n", NOW)
