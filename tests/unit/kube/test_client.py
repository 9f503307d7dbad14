"""Reads and writes: their wire format, retries, and errors for the caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from moorage.kube import client as client_module
from moorage.kube import errors
from moorage.kube.client import FLOW_CONTROL_PATIENCE, Client
from moorage.kube.resources import NODES, PODS
from moorage.kube.wire._generated import kubernetes_pb2 as pb
from moorage.kube.wire.envelope import unwrap
from tests.unit.kube.hostile import HostileServer, Json, hostile, page, protobuf, raw, refuse, status, transport


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[HostileServer, Client]]:
    async with hostile() as server, transport(server) as t:
        yield server, Client(t)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the client's sleeps. It does not really sleep."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(client_module, "asyncio", SimpleNamespace(sleep=sleep))
    return asked


def sent(server: HostileServer) -> Json:
    (request,) = server.requests
    found: Json = json.loads(request.body)
    return found


POD: Json = {"metadata": {"name": "a", "namespace": "ns", "uid": "u"}}

# --- reading ---


async def test_get_reads_one_object_or_says_there_is_none() -> None:
    async with connected() as (server, client):
        server.store.put("a", node="n1")
        pod = await client.get(PODS, "a", "ns")
        assert pod.spec.node_name == "n1"
        with pytest.raises(errors.NotFound):
            await client.get(PODS, "b", "ns")
        with pytest.raises(ValueError, match="namespace"):
            await client.get(PODS, "a")


async def test_list_reads_all_pages_with_the_same_selection() -> None:
    async with connected() as (server, client):
        for n in range(5):
            server.store.put(f"p{n}")
        server.page_size = 2
        pods = await client.list(PODS, "ns", labels="app=x", fields="spec.nodeName=")
        assert [pod.metadata.name for pod in pods] == [f"p{n}" for n in range(5)]
        assert len(server.requests) == 3
        for request in server.requests:
            assert request.path == "/api/v1/namespaces/ns/pods"
            assert request.query["labelSelector"] == "app=x"
            assert request.query["fieldSelector"] == "spec.nodeName="


async def test_an_expired_list_is_the_callers_to_repeat() -> None:
    async with connected() as (server, client):
        server.store.put("a")
        server.store.put("b")
        server.page_size = 1
        server.fault("list", server.serve_list, refuse(410, status(410, "Expired")))
        with pytest.raises(errors.Gone):
            await client.list(PODS)


async def test_a_list_in_a_circle_is_left() -> None:
    async with connected() as (server, client):
        server.always("list", page([], "100", **{"continue": "x"}))
        with pytest.raises(errors.Undecodable, match="again"):
            await client.list(PODS)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"spec":{"nodeName":7}}', b'{"metadata":{"name":"\xff"}}', b'{"x":' + b"[" * 100_000, b""],
)
async def test_an_answer_of_another_shape_is_undecodable(body: bytes) -> None:
    async with connected() as (server, client):
        server.fault("GET", refuse(200, body))
        with pytest.raises(errors.Undecodable, match="Pod"):
            await client.get(PODS, "a", "ns")


@pytest.mark.parametrize("body", [b"{}", b'{"kind":"Status","metadata":{}}', b"[]", b"<html>"])
async def test_what_is_no_list_does_not_mean_that_nothing_exists(body: bytes) -> None:
    async with connected() as (server, client):
        server.fault("list", refuse(200, body))
        with pytest.raises(errors.Undecodable):
            await client.list(PODS)


# --- writing ---


async def test_create_fills_in_what_the_object_is() -> None:
    async with connected() as (server, client):
        server.fault("POST", refuse(201, {"metadata": {"name": "n1", "uid": "u"}}))
        node = await client.create(NODES, {"metadata": {"name": "n1"}}, dry_run=True)
        assert node.metadata.uid == "u"
        assert sent(server) == {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
        assert server.requests[0].query == {"fieldManager": "moorage", "dryRun": "All"}


async def test_patch_names_whom_it_means() -> None:
    async with connected() as (server, client):
        server.fault("PATCH", refuse(200, POD))
        changes = {"metadata": {"labels": {"x": None}}, "spec": {"a": 1}}
        await client.patch(PODS, "a", "ns", changes=changes, uid="u", resource_version="7")
        (request,) = server.requests
        assert request.headers["content-type"] == "application/merge-patch+json"
        assert sent(server) == {
            "metadata": {"labels": {"x": None}, "uid": "u", "resourceVersion": "7"},
            "spec": {"a": 1},
        }
        assert changes == {"metadata": {"labels": {"x": None}}, "spec": {"a": 1}}


async def test_a_patch_of_another_uid_is_a_conflict_and_other_invalids_are_not() -> None:
    async with connected() as (server, client):
        uid = {"reason": "FieldValueInvalid", "message": "Invalid value", "field": "metadata.uid"}
        message = 'Pod "a" is invalid: metadata.uid: Invalid value: "u": field is immutable'
        server.fault("PATCH", refuse(422, status(422, "Invalid", message, causes=[uid])))
        with pytest.raises(errors.Conflict) as conflict:
            await client.patch(PODS, "a", "ns", changes={}, uid="u")
        assert conflict.value.cause is errors.ConflictCause.UID
        server.fault("PATCH", refuse(422, status(422, "Invalid", causes=[{**uid, "field": "spec.nodeName"}])))
        with pytest.raises(errors.Invalid):
            await client.patch(PODS, "a", "ns", changes={}, uid="u")


async def test_apply_owns_exactly_what_it_names() -> None:
    async with connected() as (server, client):
        server.fault("PATCH", refuse(200, POD))
        await client.apply(PODS, "a", "ns", body={"metadata": {"uid": "u"}}, force=True)
        (request,) = server.requests
        assert request.headers["content-type"] == "application/apply-patch+yaml"
        assert request.query == {"fieldManager": "moorage", "force": "true"}
        assert sent(server) == {"apiVersion": "v1", "kind": "Pod", "metadata": {"uid": "u", "name": "a"}}


async def test_delete_carries_its_preconditions() -> None:
    async with connected() as (server, client):
        server.fault("DELETE", refuse(200, status(0, "")))
        await client.delete(PODS, "a", "ns", uid="u", resource_version="7", grace_seconds=0, dry_run=True)
        assert sent(server) == {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": "u", "resourceVersion": "7"},
            "propagationPolicy": "Background",
            "gracePeriodSeconds": 0,
            "dryRun": ["All"],
        }


async def test_delete_leaves_out_what_is_not_said() -> None:
    async with connected() as (server, client):
        server.fault("DELETE", refuse(200, status(0, "")))
        await client.delete(PODS, "a", "ns", uid="u")
        assert sent(server)["preconditions"] == {"uid": "u"}
        assert "gracePeriodSeconds" not in sent(server)
        assert "dryRun" not in sent(server)


async def test_bind_names_pod_uid_node_and_marks() -> None:
    async with connected() as (server, client):
        server.fault("POST", refuse(201, status(0, "")))
        await client.bind("a", "ns", uid="u", node="n1", annotations={"moorage.dev/pin": "x"})
        (request,) = server.requests
        assert request.path == "/api/v1/namespaces/ns/pods/a/binding"
        assert request.headers["content-type"] == protobuf.CONTENT_TYPE
        assert request.headers["accept"] == f"{protobuf.CONTENT_TYPE},application/json"
        assert not request.query
        found = pb.Binding.FromString(unwrap(request.body, "v1", "Binding"))
        marks = [pb.StringEntry(key="moorage.dev/pin", value="x")]
        assert found.metadata == pb.ObjectMeta(name="a", uid="u", annotations=marks)
        assert found.target == pb.ObjectReference(kind="Node", name="n1")


async def test_evict_asks_with_the_uid() -> None:
    async with connected() as (server, client):
        server.fault("POST", refuse(201, status(0, "")))
        await client.evict("a", "ns", uid="u", grace_seconds=5, dry_run=True)
        assert server.requests[0].path == "/api/v1/namespaces/ns/pods/a/eviction"
        assert sent(server)["deleteOptions"] == {
            "preconditions": {"uid": "u"},
            "gracePeriodSeconds": 5,
            "dryRun": ["All"],
        }


# --- 429, and what is not repeated ---

_BUSY = b"Too many requests, please try again later.\n"


async def test_flow_control_is_waited_out(pauses: list[float]) -> None:
    async with connected() as (server, client):
        server.store.put("a")
        server.fault("GET", refuse(429, _BUSY, "Retry-After: 3"), refuse(429, _BUSY))
        await client.get(PODS, "a", "ns")
        assert len(server.requests) == 3
        first, second = pauses
        assert 3.0 <= first <= 3.5
        assert 0.0 <= second <= 1.0


async def test_the_patience_with_flow_control_ends(pauses: list[float]) -> None:
    async with connected() as (server, client):
        server.always("GET", refuse(429, _BUSY, "Retry-After: 10"))
        with pytest.raises(errors.TooManyRequests):
            await client.get(PODS, "a", "ns")
        assert sum(pauses) <= FLOW_CONTROL_PATIENCE
        assert len(server.requests) == len(pauses) + 1 <= 7


async def test_a_retry_after_beyond_the_patience_is_the_callers(pauses: list[float]) -> None:
    async with connected() as (server, client):
        server.fault("GET", refuse(429, _BUSY, "Retry-After: 3600"))
        with pytest.raises(errors.TooManyRequests) as refused:
            await client.get(PODS, "a", "ns")
        assert refused.value.retry_after == 3600.0
        assert pauses == []


async def test_a_spent_disruption_budget_is_not_waited_for(pauses: list[float]) -> None:
    spent = status(429, "TooManyRequests", "no", retryAfterSeconds=10, causes=[{"reason": "DisruptionBudget"}])
    async with connected() as (server, client):
        server.fault("POST", refuse(429, spent))
        with pytest.raises(errors.TooManyRequests) as refused:
            await client.evict("a", "ns", uid="u")
        assert refused.value.cause is errors.ThrottleCause.DISRUPTION_BUDGET
        assert pauses == []
        assert len(server.requests) == 1


async def test_a_webhook_that_wants_patience_is_not_taken_for_flow_control(pauses: list[float]) -> None:
    denied = status(429, "", 'admission webhook "drain.example.com" denied the request: moving it myself')
    async with connected() as (server, client):
        server.fault("POST", refuse(429, denied))
        with pytest.raises(errors.TooManyRequests) as refused:
            await client.evict("a", "ns", uid="u")
        assert refused.value.cause is errors.ThrottleCause.WEBHOOK
        assert pauses == []
        assert len(server.requests) == 1


_WRITES: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "create": lambda client: client.create(PODS, {"metadata": {"name": "a"}}, "ns"),
    "patch": lambda client: client.patch(PODS, "a", "ns", changes={}, uid="u"),
    "apply": lambda client: client.apply(PODS, "a", "ns", body={}),
    "bind": lambda client: client.bind("a", "ns", uid="u", node="n"),
    "evict": lambda client: client.evict("a", "ns", uid="u"),
}


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES.keys())
async def test_a_write_whose_answer_is_lost_is_not_repeated(
    write: Callable[[Client], Awaitable[Any]], pauses: list[float]
) -> None:
    async with connected() as (server, client):
        for verb in ("POST", "PATCH"):
            server.fault(verb, raw(b""))
        with pytest.raises(errors.ConnectionLost):
            await write(client)
        assert len(server.requests) == 1
        assert pauses == []


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES.keys())
@pytest.mark.parametrize("code", [403, 404, 409, 422, 500, 503])
async def test_refusals_are_the_callers_to_judge(write: Callable[[Client], Awaitable[Any]], code: int) -> None:
    async with connected() as (server, client):
        for verb in ("POST", "PATCH"):
            server.fault(verb, refuse(code))
        with pytest.raises(errors.ApiError) as refused:
            await write(client)
        assert refused.value.code == code
        assert len(server.requests) == 1


async def test_a_status_is_replaced_as_a_whole_on_what_was_read() -> None:
    async with connected() as (server, client):
        server.fault("PUT", lambda exchange: exchange.answer(200, POD))
        await client.update_status(PODS, "a", "ns", status={"phase": "Running"}, uid="u", resource_version="7")
        (request,) = server.requests
        assert request.path == "/api/v1/namespaces/ns/pods/a/status"
        assert sent(server) == {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
            "status": {"phase": "Running"},
        }
