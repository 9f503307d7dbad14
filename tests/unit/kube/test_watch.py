"""The reader: any byte sequence gives only events and typed errors, and it applies back-pressure."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.kube import errors
from moorage.kube.resources import PODS
from moorage.kube.unreadable import Unreadable
from moorage.kube.watch import ListWatch, Selection, WatchLimits
from moorage.kube.wire.as_json import JsonDecoder
from moorage.objects import Pod
from tests.examples import examples
from tests.unit.kube.hostile import (
    Exchange,
    Store,
    damaged,
    eventually,
    hostile,
    line,
    says,
    status,
    transport,
)

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(60))


def offline() -> JsonDecoder[Pod]:
    return JsonDecoder(PODS, "/api/v1/pods")


GOOD = line("ADDED", Store().put("a", node="n"))


def test_an_event_is_read_however_its_keys_are_ordered() -> None:
    reader = offline()
    event = json.loads(GOOD)
    for text in (json.dumps(event), json.dumps(dict(reversed(event.items())))):
        kind, pod = reader.event(text.encode())
        assert kind == "ADDED"
        assert isinstance(pod, Pod)
        assert pod.spec.node_name == "n"


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("code", "kind"),
    [(410, errors.Gone), (500, errors.ServerError), (429, errors.TooManyRequests), (0, errors.ApiError)],
)
def test_an_error_event_is_a_typed_error(code: int, kind: type[errors.KubeError], backwards: bool) -> None:
    event = {"type": "ERROR", "object": status(code, "Why", "so")}
    text = json.dumps(dict(reversed(event.items())) if backwards else event, separators=(",", ":"))
    with pytest.raises(kind, match="so"):
        offline().event(text.encode())


@pytest.mark.parametrize("spec", [{"containers": None}, {}, {"containers": "nonsense"}])
def test_a_bookmark_is_read_whatever_its_empty_object_looks_like(spec: dict[str, Any]) -> None:
    mark = {"kind": "Pod", "metadata": {"resourceVersion": "7", "creationTimestamp": None}, "spec": spec}
    kind, pod = offline().event(line("BOOKMARK", mark))
    assert kind == "BOOKMARK"
    assert isinstance(pod, Pod)
    assert pod.metadata.resource_version == "7"


def test_a_bookmark_without_a_version_is_garbage() -> None:
    with pytest.raises(errors.Undecodable):
        offline().event(line("BOOKMARK", {"metadata": {}, "spec": {"containers": None}}))


def test_an_unreadable_object_is_named_with_its_version_and_reason() -> None:
    event = json.loads(GOOD)
    event["object"]["spec"]["nodeName"] = 7
    kind, item = offline().event(json.dumps(event).encode())
    assert kind == "ADDED"
    assert isinstance(item, Unreadable)
    assert (item.key, item.uid, item.resource_version) == ("ns/a", "uid-1", "101")
    assert "$.object.spec.nodeName" in item.reason


@relaxed
@given(st.data())
def test_any_damage_to_an_event_ends_in_an_event_or_a_typed_error(data: st.DataObject) -> None:
    try:
        kind, item = offline().event(damaged(data, GOOD))
    except errors.KubeError:
        return
    assert kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
    assert isinstance(item, Pod | Unreadable)


_JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 10**25)
    | st.floats(allow_nan=False)
    | st.text("a\\u00e9\ud800{0", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "name", "labels", "spec", "containers", "type"]), inner, max_size=4
        )
    ),
)


@relaxed
@given(_JSON)
def test_any_json_as_an_object_ends_in_an_event_or_a_typed_error(obj: Any) -> None:
    reader = offline()
    for answer in ({"type": "ADDED", "object": obj}, obj):
        try:
            reader.event(json.dumps(answer).encode())
        except errors.KubeError:
            continue
    for answer in ({"metadata": {"resourceVersion": "1"}, "items": [obj]}, obj):
        try:
            meta, items = reader.page(json.dumps(answer).encode())
        except errors.KubeError:
            continue
        assert meta.resource_version
        assert all(item.key for item in items)


@relaxed
@given(st.lists(st.integers(1, 400), max_size=60))
async def test_lines_do_not_depend_on_chunks(sizes: list[int]) -> None:
    store = Store()
    stream = b"\n".join(
        line("ADDED", store.put(f"p{n}", note="é\\n" * n)) for n in range(8)
    )  # with empty lines between
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    body = _Pieces([piece for piece in (*pieces, stream) if piece])
    lines = [found async for batch in offline().split(body) for found in batch]
    assert [json.loads(found)["object"]["metadata"]["name"] for found in lines] == [f"p{n}" for n in range(8)]


class _Pieces:
    """A stream body that arrives in given pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


# --- back pressure ---

_FILLER = 100_000
_EVENTS = 400


async def test_a_slow_reader_slows_the_server_down_and_loses_nothing() -> None:
    events = [line("ADDED", Store().put(f"p{n}", filler="x" * _FILLER)) for n in range(_EVENTS)]
    total = sum(map(len, events))
    pushing: list[Exchange] = []

    async def push(exchange: Exchange) -> None:
        pushing.append(exchange)
        await says(*events)(exchange)

    async with hostile() as server, transport(server) as t:
        server.fault("watch", push)
        # The time limit must not run while it is we who are slow.
        names: list[str] = []
        async with ListWatch(t, PODS, Selection()).watch("100", WatchLimits((0, 0), slack=0.03)) as found:
            async for _, pod in found:
                assert isinstance(pod, Pod)
                if not names:
                    sent = await _stalled(pushing[0])
                    assert sent < total / 2
                names.append(pod.metadata.name)
        assert names == [f"p{n}" for n in range(_EVENTS)]


async def _stalled(exchange: Exchange) -> int:
    """Wait until the server cannot send any more. Returns the bytes that kernel and client have buffered."""
    still, last = 0, -1
    while still < 10:
        await asyncio.sleep(0.01)
        still, last = (still + 1 if exchange.sent == last else 0), exchange.sent
    return last


# --- leaving in the middle ---


async def test_leaving_a_watch_closes_its_connection() -> None:
    async with hostile() as server, transport(server) as t:
        server.store.put("a")
        server.store.put("b")
        async with ListWatch(t, PODS, Selection()).watch("100") as events:
            async for kind, _ in events:
                assert kind == "ADDED"
                break
        await eventually(lambda: server.connections == 0)


async def test_leaving_a_list_between_pages_asks_no_more() -> None:
    async with hostile() as server, transport(server) as t:
        server.page_size = 1
        for n in range(3):
            server.store.put(f"p{n}")
        async with aclosing(ListWatch(t, PODS, Selection()).pages()) as pages:
            async for version, items in pages:
                assert version == "103"
                assert [item.key for item in items] == ["ns/p0"]
                break
        assert len(server.requests) == 1


async def test_an_orderly_end_is_an_end() -> None:
    async with hostile() as server, transport(server) as t:
        server.fault("watch", says(GOOD[:7], GOOD[7:]))
        async with ListWatch(t, PODS, Selection()).watch("100") as events:
            assert [kind async for kind, _ in events] == ["ADDED"]
