"""The check of the planner: a real one welcomes it and does not count it, and each failure has its own message."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.controller.pki import KeyPair
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.commands.check import diagnosis
from moorage.pinner.commands.check.diagnosis import Way
from moorage.pinner.commands.check.outcome import Failed
from moorage.pinner.commands.check.planner import planner_welcomes
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.connection import Cause, StreamBroken
from moorage.pinner.stream.credentials import Credentials
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import CreatePlaceholder, codec
from moorage.protocol.rpc import grpc
from tests.unit.pinner.stream.sockets import tcp_server
from tests.unit.protocol.support import (
    LOOPBACK,
    Authority,
    Pinner,
    Visit,
    authority,
    eventually,
    instruction,
    promise,
    scripted,
    settings,
    welcome,
)

SERVICE = "moorage-planner.castai-agent.svc"


def way(endpoint: PlannerEndpoint, *, inside: bool = True, timeout: float = 10.0) -> Way:
    return Way(endpoint=endpoint, timeout=timeout, inside=inside)


def plaintext(port: int, **changes: Any) -> PlannerEndpoint:
    return PlannerEndpoint(address=Address(LOOPBACK, port), plaintext=True, **changes)


def planned() -> InstructionStore:
    board = InstructionStore()
    board.start("first-pods", timedelta(minutes=10))
    for number in range(3):
        board.issue(CreatePlaceholder(promise(f"node-{number}")))
    return board


@asynccontextmanager
async def serving(board: InstructionStore, **changes: Any) -> AsyncIterator[PlannerServer]:
    server = PlannerServer(board, ServerSettings(address=Address(LOOPBACK, 0), **changes))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def problem(found: Way) -> str:
    with pytest.raises(Failed) as caught:
        await planner_welcomes(found, "cluster-1")
    return str(caught.value)


# --- a planner that serves ---


async def test_a_planner_welcomes_us_and_counts_no_pinner() -> None:
    board = planned()
    async with serving(board, api_key=lambda: Secret("right")) as server:
        endpoint = plaintext(server.port, key=Secret("right"))
        async with Pinner(InstructionStream(settings(server.port, endpoint=endpoint))) as pinner:
            await pinner.until(lambda p: len(p.received) == 4)
            pinners = dict(server.pinners)
            said = await planner_welcomes(way(endpoint), "another-cluster")
            assert said == f"the planner at {LOOPBACK}:{server.port} took the key and serves plan 'first-pods'"
            assert server.pinners == pinners
            assert REGISTRY.get_sample_value("moorage_planner_pinners") == 1
            await eventually(lambda: len(server._streams) == 1)
            board.issue(CreatePlaceholder(promise("late")))
            await pinner.until(lambda p: len(p.received) == 5)
    assert board.clusters == ("cluster-1",), "no cluster has come with us"


async def test_what_a_planner_says_besides_its_welcome_does_not_matter() -> None:
    """One of another make does not know of probes, and serves us like a pinner."""

    async def serve(visit: Visit) -> None:
        assert visit.hello.probe
        await visit.say(welcome(), instruction(1))
        await visit.stay()

    async with scripted(serve) as server:
        assert "asked for no key" in await planner_welcomes(way(plaintext(server.port)), "cluster-1")


async def test_a_planner_without_a_plan_yet_is_looked_at_again() -> None:
    async with serving(InstructionStore()) as server:
        assert "no plan is served yet" in await problem(way(plaintext(server.port)))


# --- the key ---


async def test_a_wrong_key_is_named_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    file.write_text("wrong")
    async with serving(planned(), api_key=lambda: Secret("right")) as server:
        said = await problem(way(plaintext(server.port, key_file=file)))
        assert f"does not take the key in {file}" in said
        assert "wrong" not in said.replace(str(file), "")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": Secret("w")}, "does not take the key in MOORAGE_API_KEY."),
        ({"other_key": Secret("w")}, "does not take the key in API_KEY."),
        ({}, "asks for a key, and none is set"),
    ],
    ids=["ours", "the other name", "none"],
)
async def test_a_refusal_is_heard_however_fast_it_comes(given: dict[str, Any], words: str) -> None:
    async with serving(planned(), api_key=lambda: Secret("right")) as server:
        for _ in range(20):  # now and then one overtakes our Hello
            assert words in await problem(way(plaintext(server.port, **given)))


async def test_a_secret_that_is_not_there_yet(tmp_path: Path) -> None:
    endpoint = PlannerEndpoint(
        address=Address(LOOPBACK, 1),
        key_file=tmp_path / "api-key",
        ca_file=tmp_path / "ca.crt",
        advice="The chart brings both",
    )
    said = await problem(way(endpoint))
    assert "api-key': there is no such file" in said
    assert "ca.crt': there is no such file" in said
    assert "The chart brings both. A Secret that was just filled takes up to" in said


async def test_without_a_planner_the_missing_secret_is_not_all_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown(socket.EAI_NONAME))
    endpoint = PlannerEndpoint(address=Address(SERVICE, 9443), key_file=tmp_path / "api-key")
    said = await problem(way(endpoint))
    assert said.startswith("no planner is installed: there is no Service moorage-planner in namespace castai-agent.")
    assert "there is no such file" in said


async def test_no_key_for_a_planner_elsewhere() -> None:
    assert "no API key is set" in await problem(way(PlannerEndpoint(address=Address("192.0.2.1", 9443))))


@pytest.mark.parametrize("host", ["grpc.cast.ai", "cast.ai", "API.Cast.AI."])
async def test_the_closed_product_is_not_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.pinner.commands.check.planner.Connection", None)
    said = await problem(way(PlannerEndpoint(address=Address(host, 443), key=Secret("k"))))
    assert "is an address of the closed product" in said


# --- name and connection ---


def unknown(code: int) -> Any:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "as told")

    return getaddrinfo


async def explained(endpoint: PlannerEndpoint, cause: Cause = Cause.UNREACHABLE, **changes: Any) -> str:
    """The message about a connection that gRPC has given up."""
    return await diagnosis.broken(way(endpoint, **changes), Credentials(), StreamBroken(cause, "UNAVAILABLE: gRPC"))


@pytest.mark.parametrize(
    ("host", "inside", "code", "words"),
    [
        (SERVICE, True, socket.EAI_NONAME, "there is no Service moorage-planner in namespace castai-agent. Install"),
        (f"{SERVICE}.cluster.local", True, socket.EAI_NONAME, "there is no Service moorage-planner in namespace"),
        (SERVICE, False, socket.EAI_NONAME, "is a name inside the cluster, and this is not inside"),
        ("planner.example.com", True, socket.EAI_NONAME, "there is no host planner.example.com. Correct"),
        (SERVICE, True, socket.EAI_AGAIN, "cannot be resolved: as told. Look at the DNS"),
    ],
)
async def test_a_name_that_leads_nowhere(
    host: str, inside: bool, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown(code))
    assert words in await explained(PlannerEndpoint(address=Address(host, 9443)), inside=inside)


def unused_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_a_refused_connection() -> None:
    port = unused_port()
    said = await problem(way(plaintext(port)))
    assert said.startswith(f"{LOOPBACK}:{port} refuses connections: nothing listens there")


async def test_a_service_without_ready_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    port = unused_port()
    resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
    said = await explained(PlannerEndpoint(address=Address(SERVICE, port)))
    assert "refuses connections: no pod of Service moorage-planner is ready" in said


async def test_what_is_dropped_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0), backlog=0) as full:
        waiting = []
        for _ in range(4):  # the kernel answers no more than the backlog
            visit = socket.socket()
            visit.setblocking(False)
            visit.connect_ex(full.getsockname())
            waiting.append(visit)
        monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
        endpoint = plaintext(full.getsockname()[1])
        said = await problem(way(endpoint, timeout=0.3))
        for visit in waiting:
            visit.close()
    assert "does not answer within 0.3 s: something on the way drops" in said
    assert "https_proxy" not in said, "loopback is never asked through a proxy"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "takes connections, and no planner answers there: the planner said nothing for 0.5 s"),
        (b"", "takes connections, and no planner answers there"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no planner, or one of the two speaks TLS"),
        (bytes(range(256)) * 20, "is no planner, or one of the two speaks TLS"),
    ],
    ids=["silence", "hang-up", "HTTP/1.1", "rubbish"],
)
async def test_something_else_serves_there(answer: bytes | None, words: str) -> None:
    with tcp_server(answer) as port:
        assert words in await problem(way(plaintext(port), timeout=0.5))


async def test_another_grpc_server() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    try:
        assert "is no planner" in await problem(way(plaintext(port)))
    finally:
        await server.stop(0)


async def test_one_that_speaks_out_of_turn() -> None:
    async def rude(visit: Visit) -> None:
        await visit.say(codec.encode_response(instruction(1)))
        await visit.stay()

    async with scripted(rude) as server:
        assert "it did not begin with a Welcome" in await problem(way(plaintext(server.port)))


# --- TLS ---


@pytest.fixture(scope="module")
def ours() -> Authority:
    return authority("ours")


def secured(port: int, file: Path | None, host: str = LOOPBACK) -> PlannerEndpoint:
    return PlannerEndpoint(address=Address(host, port), ca_file=file)


@asynccontextmanager
async def tls(pair: Authority) -> AsyncIterator[PlannerServer]:
    async with serving(planned(), pair=lambda: KeyPair(pair.certificate, pair.key)) as server:
        yield server


async def test_the_right_authority(ours: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(ours.certificate)
    async with tls(ours) as server:
        assert "serves plan 'first-pods'" in await planner_welcomes(way(secured(server.port, file)), "cluster-1")


async def test_another_authority_and_another_name_are_told_apart(ours: Authority, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.crt", tmp_path / "wrong.crt"
    right.write_bytes(ours.certificate)
    wrong.write_bytes(authority("others").certificate)
    async with tls(ours) as server:
        said = await problem(way(secured(server.port, wrong)))
        assert f"comes from none of the authorities in {wrong}" in said
        assert "comes from none of the system's authorities" in await problem(way(secured(server.port, None)))
        said = await problem(way(secured(server.port, right, "localhost")))
        assert said.startswith("the planner's certificate is not for localhost:")


async def test_a_certificate_out_of_its_time(tmp_path: Path) -> None:
    old = authority("old", ended=datetime.datetime.now(datetime.UTC) - timedelta(days=10))
    file = tmp_path / "ca.crt"
    file.write_bytes(old.certificate)
    async with tls(old) as server:
        assert "is out of its time: certificate has expired" in await problem(way(secured(server.port, file)))


async def test_plaintext_where_tls_is_spoken_and_the_other_way_round(ours: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(ours.certificate)
    async with serving(planned()) as server:
        assert "one of the two speaks TLS" in await problem(way(secured(server.port, file)))
    async with tls(ours) as server:
        said = await problem(way(plaintext(server.port)))
        assert "one of the two speaks TLS" in said or "no planner answers there" in said


def test_only_what_is_needed_is_believed(ours: Authority) -> None:
    context = diagnosis._context(ours.certificate)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
