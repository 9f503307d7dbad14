"""The bed itself: a day without faults succeeds, and the server is as strict as a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.errors import ConflictCause
from moorage.objects import Pod
from tests.unit.pinner.bed import Api, Bed, Json, virtual
from tests.unit.pinner.bed.wire import Wire

DONE = "APPLIED OK"


@virtual
async def test_a_node_is_promised_pinned_to_joined_and_adopted() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(3)
        created, pinned = bed.planner.create("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        await bed.run(30)
        bed.people.join("n1")
        await bed.until(lambda: (bed.reservation("n1") or {}).get("status", {}).get("state") == "Ready")
        assert len(bed.told("PlaceholderAdopted")) == 1
        assert "finalizers" not in (bed.reservation("n1") or {})["metadata"]
        await bed.run(10)
        rested = bed.now()
        await bed.run(600)
        assert bed.writes(since=rested) == []
        assert bed.repeated() == {}


@virtual
async def test_a_promise_that_is_not_kept_leaves_nothing() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        created, pinned = bed.planner.create("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(created, pinned)
        await bed.until(lambda: bed.reservation("n1") is None, within=90)
        assert bed.node("n1") is None
        assert bed.bound("n1") == set()
        assert bed.repeated() == {}


# --- the server is as strict as a real one: the same is shown on one in tests/kube ---


class Server:
    """A server and a client of it, with a bound and a pending pod and a node."""

    def __init__(self) -> None:
        self.api = Api(asyncio.get_running_loop().time)
        self.client = Client(cast("Any", Wire(self.api)))
        self.bound = self._pod("bound", nodeName="n1")
        self.pending = self._pod("pending")
        self.gated = self._pod("gated", schedulingGates=[{"name": "wait"}])
        self.node = self.api.create("nodes", {"metadata": {"name": "n1"}})

    def _pod(self, name: str, **spec: Any) -> Json:
        return self.api.create("pods", {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Pending"}}, "ns")

    async def bind(self, pod: Json, *, uid: str = "") -> None:
        meta = pod["metadata"]
        await self.client.bind(meta["name"], "ns", uid=uid or meta["uid"], node="n2", annotations={"mark": "x"})

    async def read(self, pod: Json) -> Pod:
        return await self.client.get(resources.PODS, pod["metadata"]["name"], "ns")

    async def delete(self, *, uid: str = "", version: str = "") -> None:
        uid = uid or self.node["metadata"]["uid"]
        await self.client.delete(resources.NODES, "n1", uid=uid, resource_version=version)

    async def patch(self, *, uid: str = "", version: str = "") -> None:
        changes = {"metadata": {"labels": {"a": "b"}}}
        uid = uid or self.node["metadata"]["uid"]
        await self.client.patch(resources.NODES, "n1", changes=changes, uid=uid, resource_version=version)


CONFLICTS: dict[str, tuple[ConflictCause, Callable[[Server], Awaitable[Any]]]] = {
    "create twice": (ConflictCause.ALREADY_EXISTS, lambda s: s.client.create(resources.NODES, s.node)),
    "bind twice": (ConflictCause.ALREADY_BOUND, lambda s: s.bind(s.bound)),
    "bind another": (ConflictCause.UID, lambda s: s.bind(s.pending, uid="other")),
    "bind a gated pod": (ConflictCause.GATED, lambda s: s.bind(s.gated)),
    "delete another": (ConflictCause.UID, lambda s: s.delete(uid="other")),
    "delete an older state": (ConflictCause.RESOURCE_VERSION, lambda s: s.delete(version="1")),
    "patch another": (ConflictCause.UID, lambda s: s.patch(uid="other")),
    "patch an older state": (ConflictCause.RESOURCE_VERSION, lambda s: s.patch(version="1")),
}


@pytest.mark.parametrize("case", list(CONFLICTS))
@virtual
async def test_what_is_not_as_it_was_meant_is_a_conflict_with_its_cause(case: str) -> None:
    server = Server()
    cause, request = CONFLICTS[case]
    with pytest.raises(errors.Conflict) as refused:
        await request(server)
    assert refused.value.cause is cause
    assert server.api.read("nodes", "n1") == server.node


@virtual
async def test_a_binding_names_the_node_and_marks_the_pod() -> None:
    server = Server()
    await server.bind(server.pending)
    found = await server.read(server.pending)
    assert (found.spec.node_name, found.metadata.annotations) == ("n2", {"mark": "x"})
    with pytest.raises(errors.Conflict, match='"n2"'):
        await server.bind(server.pending)


@virtual
async def test_a_pod_takes_its_time_where_a_node_is_and_none_without() -> None:
    server = Server()
    for pod in (server.bound, server.pending):
        await server.client.delete(resources.PODS, pod["metadata"]["name"], "ns", uid=pod["metadata"]["uid"])
    assert (await server.read(server.bound)).metadata.deletion_timestamp is not None
    with pytest.raises(errors.NotFound):
        await server.read(server.pending)
    with pytest.raises(errors.Conflict) as refused:
        await server.bind(server.bound)
    assert refused.value.cause is ConflictCause.TERMINATING
    await server.client.delete(resources.PODS, "bound", "ns", uid=server.bound["metadata"]["uid"], grace_seconds=0)
    with pytest.raises(errors.NotFound):
        await server.read(server.bound)


@virtual
async def test_what_is_held_by_a_finalizer_goes_with_it() -> None:
    server = Server()
    server.api.edit("nodes", "n1", lambda found: found["metadata"].update(finalizers=["x"]))
    await server.delete()
    version = server.api.store.version
    await server.delete()
    held = server.api.read("nodes", "n1")
    assert held is not None
    assert "deletionTimestamp" in held["metadata"]
    assert server.api.store.version == version, "a second time changes nothing"
    await server.client.patch(
        resources.NODES, "n1", changes={"metadata": {"finalizers": None}}, uid=server.node["metadata"]["uid"]
    )
    assert server.api.read("nodes", "n1") is None


@virtual
async def test_a_write_that_changes_nothing_is_no_news() -> None:
    server = Server()
    await server.patch()
    version = server.api.store.version
    await server.patch()
    assert server.api.store.version == version


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"pins": [{"namespace": "a", "name": "b", "uid": "c", "instruction": "x" * 129}]}, "spec.pins[0].instruction"),
        ({"pins": [{"namespace": "a", "name": "b"}]}, "spec.pins[0].uid"),
        ({"pins": [{"namespace": "a", "name": "b", "uid": "c"}] * 1001}, "spec.pins"),
        ({"pins": None}, "spec.pins"),
        ({"intent": "Perhaps"}, "spec.intent"),
        ({"promise": {"allocatable": {"cpu": "4"}, "labels": {"a": "x" * 64}}}, "spec.promise.labels.a"),
        ({"slots": [{"owner": {}, "count": -1}]}, "spec.slots[0].count"),
        ({"released": "yes"}, "spec.released"),
    ],
)
@virtual
async def test_a_reservation_is_held_against_its_schema(spec: Json, field: str) -> None:
    server = Server()
    with pytest.raises(errors.Invalid) as refused:
        await server.client.create(resources.NODE_RESERVATIONS, {"metadata": {"name": "n1"}, "spec": spec})
    assert [cause.field for cause in refused.value.causes] == [field]


@virtual
async def test_a_reservation_is_pruned_and_completed_and_its_status_is_written_apart() -> None:
    server = Server()
    body = {"metadata": {"name": "n1"}, "spec": {"plan": "p", "unknown": 1}, "status": {"state": "Ready"}}
    found = await server.client.create(resources.NODE_RESERVATIONS, body)
    assert (found.spec, found.status) == ({"plan": "p", "intent": "Hold"}, None)
