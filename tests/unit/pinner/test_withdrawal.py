"""The objects that the last leader removes, and the messages about the rest."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, cast

import msgspec
import pytest

from moorage.controller.fence import Fence
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import Node, ObjectMeta, Pod, PodSpec, PodStatus
from moorage.pinner.commands import cleanup
from moorage.pinner.commands.cleanup import Leftover
from moorage.pinner.names import PLACEHOLDER_LABEL
from moorage.pinner.withdrawal import withdraw
from moorage.reservations import NodeReservation

NOBODY = cast("Client", None)
DRAIN = {"by": "ns/evictor", "cycle": "c", "phase": "draining", "since": "2026-01-01T00:00:00Z", "set": ["cordon"]}
NODES = (
    Node(ObjectMeta(name="placeholder", labels={PLACEHOLDER_LABEL: "true"})),
    Node(ObjectMeta(name="drained", annotations={"moorage.dev/drain": json.dumps(DRAIN)})),
)
RESERVATIONS = (NodeReservation(ObjectMeta(name="placeholder")),)


class Removals:
    """Records removals. Some fail."""

    def __init__(self, *, fails: str = "", hangs: str = "") -> None:
        self.done: list[str] = []
        self._fails, self._hangs = fails, hangs

    async def __call__(self, _client: Client, leftover: Leftover) -> None:
        if leftover.kind == self._fails:
            raise errors.Forbidden(403, errors.Status(message="no", code=403), request="delete")
        if leftover.kind == self._hangs:
            await asyncio.Event().wait()
        self.done.append(f"{leftover.kind} {leftover.name}")


@pytest.mark.parametrize(
    ("trouble", "leads", "done"),
    [
        ({}, True, ["Node placeholder", "NodeReservation placeholder"]),
        ({"fails": "Node"}, True, ["NodeReservation placeholder"]),
        ({"hangs": "Node"}, True, []),
        ({}, False, []),
    ],
)
async def test_what_a_drain_has_set_stays_and_what_cannot_be_removed_is_said(
    trouble: dict[str, Any],
    leads: bool,
    done: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    removals = Removals(**trouble)
    monkeypatch.setattr(cleanup, "remove", removals)
    await withdraw(NOBODY, Fence(lambda: leads, 8), NODES, (), RESERVATIONS, seconds=0.05)
    assert removals.done == done
    last = caplog.records[-1]
    assert vars(last)["left"] == 2 - len(done)
    assert last.levelname == ("INFO" if len(done) == 2 else "WARNING")


class Busy:
    """An API server with a placeholder that controllers write, so that this many deletions conflict."""

    def __init__(self, changes: int) -> None:
        self.changes, self.reads, self.deleted = changes, 0, False

    async def get(self, *_: object) -> Node:
        self.reads += 1
        return NODES[0]

    async def delete(self, *_: object, **__: object) -> None:
        if self.changes:
            self.changes -= 1
            text = (
                'Operation cannot be fulfilled on nodes "n": the ResourceVersion in the precondition (1) does not match'
            )
            raise errors.Conflict(409, errors.Status(message=text, reason="Conflict", code=409), request="delete")
        self.deleted = True


@pytest.mark.parametrize("changes", [0, 1, cleanup.TRIES - 1])
async def test_a_placeholder_that_controllers_write_to_at_that_moment_is_removed_all_the_same(changes: int) -> None:
    busy = Busy(changes)
    (placeholder,) = [each for each in cleanup.select(NODES[:1], (), ()) if each.kind == cleanup.KIND_NODE]
    await cleanup.remove(cast("Client", busy), placeholder)
    assert busy.deleted
    assert busy.reads == changes + 1, "each time it is looked at anew"


async def test_one_that_never_holds_still_is_left() -> None:
    busy = Busy(cleanup.TRIES)
    (placeholder,) = [each for each in cleanup.select(NODES[:1], (), ()) if each.kind == cleanup.KIND_NODE]
    with pytest.raises(errors.Conflict):
        await cleanup.remove(cast("Client", busy), placeholder)


def bound(number: int = 1, **status: Any) -> Pod:
    meta = ObjectMeta(name=f"p{number}", namespace="ns", uid=f"u{number}", resource_version="7")
    return Pod(meta, PodSpec(node_name="placeholder"), msgspec.convert(status, PodStatus))


RUNS: dict[str, Any] = {
    "phase": "Running",
    "startTime": "2030-01-01T00:00:00Z",
    "containerStatuses": [{"state": {"running": {}}}],
}
BEGUN: dict[str, Any] = {"phase": "Pending", "startTime": "2030-01-01T00:00:00Z"}
CONDITION: dict[str, Any] = {"conditions": [{"type": "PodScheduled", "status": "True"}]}


@pytest.mark.parametrize(
    ("found", "now", "removed"),
    [
        ({}, {}, True),
        ({}, CONDITION, True),
        ({}, BEGUN, False),
        ({}, RUNS, False),
        (BEGUN, BEGUN, True),
        (BEGUN, RUNS, False),
    ],
)
async def test_a_pod_that_a_kubelet_has_begun_with_since_it_was_found_stays(
    found: dict[str, Any], now: dict[str, Any], removed: bool
) -> None:
    """A person may take his time to say yes, and a leader's watch may lag behind."""
    asked: list[dict[str, Any]] = []

    class Api:
        async def get(self, *_: object) -> Pod:
            return bound(**now)

        async def delete(self, *_: object, **how: Any) -> None:
            asked.append(how)

    (left,) = [each for each in cleanup.select(NODES[:1], [bound(**found)], ()) if each.kind == cleanup.KIND_PODS]
    if removed:
        await cleanup.remove(cast("Client", Api()), left)
    else:
        with pytest.raises(errors.Conflict, match="its kubelet has begun with it meanwhile"):
            await cleanup.remove(cast("Client", Api()), left)
    assert asked == ([{"uid": "u1", "resource_version": "7", "grace_seconds": 0}] if removed else [])


async def test_a_pod_of_the_same_name_is_another_one() -> None:
    class Api:
        async def get(self, *_: object) -> Pod:
            return msgspec.structs.replace(bound(), metadata=bound(2).metadata)

    (left,) = [each for each in cleanup.select(NODES[:1], [bound()], ()) if each.kind == cleanup.KIND_PODS]
    await cleanup.remove(cast("Client", Api()), left)
