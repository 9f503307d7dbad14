"""Keys and CAs of the stream: which planner gets which key, and when the pinner waits."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from moorage.ops import logs
from moorage.ops.configuration import SettingsError
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.stream import credentials
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.connection import Cause
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.protocol.rpc import grpc
from tests.unit.pinner.stream.lines import causes, resets
from tests.unit.protocol.support import (
    LOOPBACK,
    Pinner,
    Visit,
    authority,
    eventually,
    instruction,
    scripted,
    settings,
    snapshot_end,
    welcome,
)


async def test_a_wrong_key_is_a_warning_once_and_a_new_one_in_the_file_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong\n")

    async def script(visit: Visit) -> None:
        key = dict(visit.context.invocation_metadata()).get("authorization")
        if key != "Bearer right":
            await visit.context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is wrong")
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    problems: list[tuple[Cause, str]] = []
    async with scripted(script) as server:
        endpoint = PlannerEndpoint(address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file)
        stream = InstructionStream(
            settings(server.port, endpoint=endpoint), on_problem=lambda *problem: problems.append(problem)
        )
        async with Pinner(stream) as pinner:
            await eventually(lambda: len(resets(caplog)) >= 4)
            key_file.write_text("right\n")
            await pinner.until(lambda p: p.ids == ["i-1"])
    assert causes(caplog) == {"unauthenticated"}
    assert [record.levelname for record in resets(caplog)].count("WARNING") == 1
    assert problems == [(Cause.UNAUTHENTICATED, "UNAUTHENTICATED: the API key is wrong")]
    assert "wrong\n" not in caplog.text
    assert "right" not in caplog.text


def _waits(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    message = "not connected to the planner, credentials are missing"
    return [vars(record) for record in caplog.records if record.getMessage() == message]


@pytest.mark.parametrize("content", [None, "", "two\nlines", "ümlaut"])
async def test_without_a_key_nobody_is_connected_to_until_there_is_one(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_text(content)
    problems: list[tuple[Cause, str]] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script) as server:
        endpoint = PlannerEndpoint(
            address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file, advice="Install it"
        )
        stream = InstructionStream(
            settings(server.port, endpoint=endpoint), on_problem=lambda *each: problems.append(each)
        )
        async with Pinner(stream) as pinner:
            await eventually(lambda: len(_waits(caplog)) == 1)
            await asyncio.sleep(0.05)  # several looks later
            assert len(_waits(caplog)) == len(problems) == 1
            assert server.metadata == []
            key_file.write_text("right-key\n")
            await pinner.until(lambda p: p.ids == ["i-1"])
    (cause, sentence) = problems[0]
    assert cause is Cause.CREDENTIALS
    assert str(key_file) in sentence
    assert sentence.endswith(". Install it")
    assert "lines" not in sentence
    assert "credentials are there, connecting" in caplog.text
    assert server.metadata[0]["authorization"] == "Bearer right-key"
    assert logs.JsonFormatter().format(logging.makeLogRecord({"msg": "say right-key"})).count("right-key") == 0


async def test_the_other_name_of_the_key_counts_while_there_is_no_file(tmp_path: Path) -> None:
    key_file = tmp_path / "key"

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0))

    async with scripted(script) as server:
        endpoint = PlannerEndpoint(
            address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file, other_key=Secret("from-env")
        )
        async with Pinner(InstructionStream(settings(server.port, endpoint=endpoint))):
            await eventually(lambda: len(server.metadata) > 0)
            key_file.write_text("from-file")
            await eventually(lambda: server.metadata[-1]["authorization"] == "Bearer from-file")
        assert server.metadata[0]["authorization"] == "Bearer from-env"


async def test_a_planner_elsewhere_is_not_asked_without_a_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)
    endpoint = PlannerEndpoint(address=Address("planner.example", 9443))
    async with Pinner(InstructionStream(settings(1, endpoint=endpoint))):
        await eventually(lambda: len(_waits(caplog)) == 1)
    assert "planner.example:9443 is not asked without one" in _waits(caplog)[0]["error"]


def _closed(host: str, tmp_path: Path, kind: str, *, allowed: bool) -> PlannerEndpoint:
    """A planner there, and a key that was made for the closed product: of API_KEY, or of a Secret that is a file."""
    key_file = tmp_path / "key"
    if kind == "file":
        key_file.write_text("closed-key")
    stays_in = "" if allowed else "moorings"
    return PlannerEndpoint(
        address=Address(host, 9443),
        key_file=key_file,
        key_file_is_closed=kind == "file",
        other_key=Secret("closed-key") if kind == "variable" else None,
        closed_key_stays_in=stays_in,
        advice="Install it",
    )


INSIDE = ["planner", "p-1.moorings", "P.Moorings.svc", "p.moorings.svc.cluster.local", "p.moorings.svc.cluster.local."]
INSIDE += ["localhost", "127.0.0.1", "127.1.2.3", "::1"]
OUTSIDE = [
    "planner.example.com",
    "planner.other.svc",
    "planner.other.svc.cluster.local",
    "planner.moorings.svc.example.com",
    "planner.moorings.svc.cluster.local.example.com",
    "planner.moorings.example.com",
    "moorings.svc",
    "planner.xmoorings.svc",
    "planner.moorings.svc.",
    "10.0.0.1",
    "167772161",  # 10.0.0.1 as some resolvers read it
    "0x7f000001",
    "fd00::1",
    "grpc.cast.ai",
]


@pytest.mark.parametrize("kind", ["file", "variable"])
@pytest.mark.parametrize("host", [*INSIDE, *OUTSIDE])
def test_a_key_made_for_the_closed_product_leaves_the_namespace_only_when_told_so(
    host: str, kind: str, tmp_path: Path
) -> None:
    allowed = _closed(host, tmp_path, kind, allowed=True)
    assert credentials.read(allowed).key == Secret("closed-key")
    stays = _closed(host, tmp_path, kind, allowed=False)
    if host in INSIDE:
        assert credentials.read(stays).key == Secret("closed-key")
        return
    with pytest.raises(credentials.Lacking) as caught:
        credentials.read(stays)
    said = str(caught.value)
    assert f"{stays.address} is outside namespace moorings" in said
    assert "planner.allowClosedKey" in said
    assert "closed-key" not in said
    assert "Install it" not in said  # nothing is missing


@pytest.mark.parametrize("given", ["file", "variable"])
def test_a_key_made_for_the_planner_goes_to_it_wherever_it_is(given: str, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("fresh-key")
    endpoint = PlannerEndpoint(
        address=Address("planner.example.com", 443),
        key_file=key_file if given == "file" else None,
        key=None if given == "file" else Secret("fresh-key"),
        other_key=Secret("closed-key"),
        closed_key_stays_in="moorings",
    )
    assert credentials.read(endpoint).key == Secret("fresh-key")


async def test_a_planner_outside_is_not_even_connected_to_with_the_closed_products_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)
    problems: list[tuple[Cause, str]] = []
    endpoint = _closed("planner.example.com", tmp_path, "file", allowed=False)
    stream = InstructionStream(settings(1, endpoint=endpoint), on_problem=lambda *each: problems.append(each))
    async with Pinner(stream):
        await eventually(lambda: len(_waits(caplog)) == 1)
    assert [cause for cause, _ in problems] == [Cause.CREDENTIALS]
    assert "outside namespace moorings" in _waits(caplog)[0]["error"]


def _no_channel(*_: object, **__: object) -> None:
    raise AssertionError("a channel was made")


async def test_tls_with_the_right_authority_with_a_wrong_one_and_with_a_repaired_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right, wrong = authority("right"), authority("wrong")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(wrong.certificate)

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script, credentials=right.credentials) as server:
        endpoint = PlannerEndpoint(address=Address(LOOPBACK, server.port), ca_file=ca_file, key=Secret("secret-key"))
        async with Pinner(InstructionStream(settings(server.port, endpoint=endpoint))) as pinner:
            await eventually(lambda: len(resets(caplog)) >= 3)
            assert server.metadata == []  # nobody was shown the key
            ca_file.write_bytes(right.certificate)
            await pinner.until(lambda p: p.ids == ["i-1"])
        assert server.metadata[0]["authorization"] == "Bearer secret-key"
    assert causes(caplog) == {"certificate"}
    assert [record.levelname for record in resets(caplog)].count("WARNING") == 1


async def test_an_authority_file_that_is_gone_or_empty_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)  # least of all with the system's authorities
    ca_file = tmp_path / "ca.pem"
    endpoint = PlannerEndpoint(address=Address(LOOPBACK, 1), ca_file=ca_file, key=Secret("secret-key"))
    async with Pinner(InstructionStream(settings(1, endpoint=endpoint))):
        await eventually(lambda: len(_waits(caplog)) == 1)
        ca_file.write_bytes(b"nothing")
        await eventually(lambda: len(_waits(caplog)) == 2)  # it is something else that is wrong now
    first, second = (each["error"] for each in _waits(caplog))
    assert "there is no such file" in first
    assert "it holds no certificate" in second
    assert str(ca_file) in first


@pytest.mark.parametrize("host", ["cast.ai", "api.cast.ai", "API.Cast.AI.", "grpc.eu.cast.ai"])
async def test_cast_ai_gets_neither_a_connection_nor_the_key(
    host: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)
    problems: list[tuple[Cause, str]] = []
    endpoint = PlannerEndpoint(address=Address(host, 443), key=Secret("secret-key"))
    stream = InstructionStream(settings(1, endpoint=endpoint), on_problem=lambda *each: problems.append(each))
    async with Pinner(stream):
        await eventually(lambda: len(problems) == 1)
        await asyncio.sleep(0.05)
    assert [cause for cause, _ in problems] == [Cause.OTHER_PROTOCOL]
    assert host in problems[0][1]
    assert [record.levelname for record in caplog.records if record.name.startswith("moorage.pinner")] == ["ERROR"]


@pytest.mark.parametrize("host", ["cast.ai.example.com", "notcast.ai", "moorage-planner.castai-agent"])
def test_others_are_not_taken_for_cast_ai(host: str) -> None:
    assert not PlannerEndpoint(address=Address(host, 443)).speaks_another_protocol


@pytest.mark.parametrize("host", ["192.0.2.1", "planner.castai-agent", "0.0.0.0", "127.0.0.1.example.com"])  # noqa: S104
def test_plaintext_to_another_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"Plaintext is for planners on this machine"):
        PlannerEndpoint(address=Address(host, 443), plaintext=True)
