"""Reports of nodes, over a real stream."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moorage.ops.parsing import Address
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.state import TOGETHER, Bulletin
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.reports import Reports
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import NodeReport, NodeReports, NodeState, Owner, SlotReport, Webhook, codec
from moorage.protocol._generated import pinning_pb2 as pb
from tests.unit.protocol.support import (
    LOOPBACK,
    Pinner,
    Visit,
    eventually,
    instruction,
    scripted,
    settings,
    snapshot_end,
    welcome,
)

CLUSTER = "cluster-1"
SLOT = SlotReport(Owner("Deployment", "shop", "web"), 4, 2, 1, 0)


def report(node: str, state: NodeState = NodeState.READY, **more: Any) -> NodeReport:
    return NodeReport(node, state, **more)


async def test_reports_arrive_again_on_each_connection_and_only_the_newest() -> None:
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    stream_port = 0
    stream: InstructionStream | None = None
    for term in range(2):
        server = PlannerServer(board, ServerSettings(address=Address(LOOPBACK, stream_port), heartbeat=0.05))
        await server.start()
        stream_port = server.port
        if stream is None:
            stream = InstructionStream(settings(stream_port))
            stream.report(report("n1", NodeState.PLACEHOLDER))
            stream.report(report("n1", slots=(SLOT,)))
            stream.report(report("n2"))
            stream.serves(Webhook.SERVING)
        try:
            async with Pinner(stream):
                await eventually(lambda: board.reports.is_led(CLUSTER))
                wanted = ["n1", "n2"] if term == 0 else ["n1"]
                await eventually(lambda wanted=wanted: sorted(board.reports.of(CLUSTER)) == wanted)  # type: ignore[misc]
                assert board.reports.of(CLUSTER)["n1"] == report("n1", slots=(SLOT,))
                assert board.reports.webhook(CLUSTER) is Webhook.SERVING
                stream.report(report("n2", NodeState.GONE))
                await eventually(lambda: board.reports.of(CLUSTER).get("n2") == report("n2", NodeState.GONE))
        finally:
            await server.stop()
        assert not board.reports.is_led(CLUSTER)
        assert sorted(board.reports.of(CLUSTER)) == ["n1", "n2"], "what was known stays until the next Hello"


async def test_a_planner_that_does_not_know_reports_serves_on() -> None:
    """To one of an earlier version the message is a field that it does not know, and the message has no kind."""
    seen: list[str] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0))
        data = await visit.context.read()
        older = pb.StreamRequest.FromString(data)
        older.ClearField("reports")
        older.MergeFromString(b"\xfa\x01\x01x")  # as protobuf keeps what it does not know
        seen.append(str(codec.decode_request(older.SerializeToString())))
        await visit.say(instruction(1))
        assert (await visit.hear_ack()).instruction_id == "i-1"
        seen.append("acknowledged")
        await visit.stay()

    async with scripted(script) as server:
        stream = InstructionStream(settings(server.port))
        stream.report(report("n1"))
        async with Pinner(stream):
            await eventually(lambda: seen == ["None", "acknowledged"])


def test_reports_go_together_and_never_as_more_than_a_server_takes() -> None:
    bulletin = Bulletin()
    assert bulletin.take() is None
    for number in range(TOGETHER):
        bulletin.put(report(f"n{number}", slots=(SLOT,)))
    bulletin.put(report("large", slots=(SLOT,) * 1000))
    taken = []
    while (found := bulletin.take()) is not None:
        taken.append([each.node for each in found.reports])
    assert [len(each) for each in taken] == [TOGETHER // 2, TOGETHER // 2, 1]
    bulletin.put(report("large", NodeState.GONE))
    bulletin.reconnect()
    again = [said for _ in range(9) if (said := bulletin.take()) is not None]
    assert {each.node for said in again for each in said.reports} == {f"n{number}" for number in range(TOGETHER)}


def test_states_in_between_may_be_missing_the_last_one_never_is_and_an_end_is_said_once() -> None:
    bulletin = Bulletin()

    def taken() -> list[NodeReport]:
        found = bulletin.take()
        return list(found.reports) if found is not None else []

    bulletin.put(report("n1", NodeState.PENDING))
    bulletin.put(report("n1", NodeState.PLACEHOLDER))
    assert taken() == [report("n1", NodeState.PLACEHOLDER)]
    bulletin.put(report("n1", NodeState.JOINING))
    bulletin.reconnect()
    assert taken() == [report("n1", NodeState.JOINING)], "it was lost with the connection"
    bulletin.put(report("n1", NodeState.GONE))
    bulletin.reconnect()
    assert taken() == [], "nobody intends anything for it any more"


def test_what_the_webhook_does_is_said_when_it_changes_and_on_each_connection() -> None:
    bulletin = Bulletin()
    for webhook, said in (
        (Webhook.IDLE, NodeReports(webhook=Webhook.IDLE)),
        (Webhook.IDLE, None),
        (Webhook.SERVING, NodeReports(webhook=Webhook.SERVING)),
    ):
        bulletin.serves(webhook)
        assert bulletin.take() == said
        assert bulletin.take() is None
    bulletin.reconnect()
    assert bulletin.take() == NodeReports(webhook=Webhook.SERVING)


def test_who_comes_begins_with_nothing_known_and_clusters_are_apart() -> None:
    reports, heard = Reports(), []
    unsubscribe = reports.subscribe(lambda: heard.append(reports.is_led("a")))
    with reports.connected("a"):
        reports.update("a", NodeReports((report("n1"), report("n2")), Webhook.SERVING))
        assert (reports.webhook("a"), reports.webhook("b")) == (Webhook.SERVING, Webhook.UNSPECIFIED)
        with reports.connected("a"):  # the one that follows, while the first one's end is not known yet
            assert reports.of("a") == {}
            assert reports.webhook("a") is Webhook.UNSPECIFIED
            reports.update("a", NodeReports((report("n2", NodeState.PREPARING),)))
        assert reports.is_led("a")
        assert reports.of("a") == {"n2": report("n2", NodeState.PREPARING)}
        assert not reports.is_led("b")
        assert reports.of("b") == {}
    assert heard == [True] * 5 + [False]
    unsubscribe()
    reports.update("a", NodeReports())
    assert len(heard) == 6
