"""The stream through a real HTTP proxy, as the environment says. The proxy resolves the planner's name."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.commands.check import diagnosis
from moorage.pinner.commands.check.diagnosis import Way
from moorage.pinner.commands.check.outcome import Failed
from moorage.pinner.commands.check.planner import planner_welcomes
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.connection import Cause, StreamBroken
from moorage.pinner.stream.credentials import read as read_credentials
from moorage.pinner.stream.endpoint import PlannerEndpoint
from tests.unit.kube.credentials.proxying import USER, proxying
from tests.unit.pinner.stream.lines import causes, resets
from tests.unit.protocol.support import Authority, Pinner, Visit, authority, eventually, scripted, settings, welcome

HOST = "planner.example.com"
ASKS = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
FORBIDS = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("GRPC_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture(scope="module")
def theirs() -> Authority:
    return authority("planner", host=HOST)


def endpoint(folder: Path, theirs: Authority, port: int) -> PlannerEndpoint:
    file = folder / "ca.crt"
    file.write_bytes(theirs.certificate)
    return PlannerEndpoint(address=Address(HOST, port), ca_file=file, key=Secret("k"))


async def serve(visit: Visit) -> None:
    await visit.say(welcome())
    await visit.stay()


@pytest.mark.parametrize("form", ["http://{}", "http://{}/", "{}"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "GRPC_PROXY", "grpc_proxy"])
async def test_one_reading_for_the_stream_and_the_api_server(
    variable: str, form: str, environment: pytest.MonkeyPatch, tmp_path: Path, theirs: Authority
) -> None:
    async with scripted(serve, credentials=theirs.credentials) as server, proxying() as proxy:
        environment.setenv(variable, form.format(f"me:p%20ss@127.0.0.1:{proxy.port}"))
        environment.setenv("NO_PROXY", "10.0.0.0/8,.svc,other.example.com")
        environment.setenv("no_proxy", HOST)  # gRPC's own reading
        there = endpoint(tmp_path, theirs, server.port)
        stream = InstructionStream(settings(server.port, endpoint=there))
        async with Pinner(stream):
            await eventually(lambda: stream.connected)
        said = await planner_welcomes(Way(endpoint=there, timeout=10.0, inside=True), "cluster-1")
        assert said.startswith(f"the planner at {HOST}:{server.port} took the key")
    for each in proxy.asked:
        assert each.startswith(f"CONNECT {HOST}:{server.port} HTTP/1.")
        assert f"proxy-authorization: {USER.lower()}" in each.lower()
        assert "Bearer" not in each, "the proxy learns no key"


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
async def test_what_needs_no_proxy_is_asked_directly(
    variable: str, environment: pytest.MonkeyPatch, tmp_path: Path, theirs: Authority
) -> None:
    async with proxying() as proxy:
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        environment.setenv(variable, "127.0.0.0/8,[::1],.example.com:1")
        stream = InstructionStream(settings(1, endpoint=endpoint(tmp_path, theirs, 1)))
        async with Pinner(stream):
            await eventually(lambda: stream._backoff.failures > 1)
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ASKS, "answered HTTP 407. Give user and password in its URL"),
        (FORBIDS, "answered HTTP 403. Let it pass, or name the planner in NO_PROXY"),
    ],
)
async def test_a_proxy_that_refuses_us_is_said_once(
    answer: bytes,
    words: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    theirs: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[Cause, str]] = []
    async with proxying(answer) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{proxy.port}")
        there = endpoint(tmp_path, theirs, 9443)
        stream = InstructionStream(
            settings(9443, endpoint=there), on_problem=lambda cause, text: told.append((cause, text))
        )
        async with Pinner(stream):
            await eventually(lambda: len(resets(caplog)) > 2)
        with pytest.raises(Failed, match=words) as caught:
            await planner_welcomes(Way(endpoint=there, timeout=10.0, inside=True), "cluster-1")
    assert causes(caplog) == {"proxy"}
    sentence = f"proxy 127.0.0.1:{proxy.port} (environment variable HTTPS_PROXY) {words}"
    assert told == [(Cause.PROXY, sentence)]
    assert str(caught.value) == sentence
    assert [each.levelno for each in resets(caplog)].count(logging.WARNING) == 1
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("url", ["socks5://p:1080", "https://p:3128", "http://a..b:1", "http://h:port"])
async def test_a_proxy_that_grpc_cannot_use_is_said_once(
    url: str,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    theirs: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment.setenv("HTTPS_PROXY", url)
    there = endpoint(tmp_path, theirs, 9443)
    async with Pinner(InstructionStream(settings(9443, endpoint=there))):
        await eventually(lambda: len(resets(caplog)) > 2)
    assert causes(caplog) == {"proxy"}
    assert [each.levelno for each in resets(caplog)].count(logging.WARNING) == 1
    with pytest.raises(Failed) as caught:
        await planner_welcomes(Way(endpoint=there, timeout=10.0, inside=True), "cluster-1")
    assert str(caught.value).startswith("environment variable HTTPS_PROXY: ")
    assert str(caught.value).endswith(f"set GRPC_PROXY for it, or name {HOST} in NO_PROXY")


async def test_a_proxy_that_is_not_there_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, theirs: Authority
) -> None:
    async with proxying() as proxy:
        pass
    environment.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{proxy.port}")
    there = endpoint(tmp_path, theirs, 9443)
    with pytest.raises(Failed) as caught:
        await planner_welcomes(Way(endpoint=there, timeout=10.0, inside=True), "cluster-1")
    assert str(caught.value) == (
        f"no connection to {HOST}:9443: proxy 127.0.0.1:{proxy.port} (environment variable HTTPS_PROXY): Connection "
        "refused. Look at the proxy; what needs none goes into NO_PROXY"
    )


async def test_a_certificate_behind_a_proxy_is_judged(
    environment: pytest.MonkeyPatch, tmp_path: Path, theirs: Authority
) -> None:
    async with scripted(serve, credentials=theirs.credentials) as server, proxying() as proxy:
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        there = endpoint(tmp_path, authority("another", host=HOST), server.port)
        way = Way(endpoint=there, timeout=10.0, inside=True)
        with pytest.raises(Failed, match="comes from none of the authorities in"):
            await planner_welcomes(way, "cluster-1")
        shown = read_credentials(there)
        said = await diagnosis.broken(way, shown, StreamBroken(Cause.UNREACHABLE, "UNAVAILABLE: gRPC"))
    assert said.startswith(f"{HOST}:{server.port} takes connections through proxy 127.0.0.1:{proxy.port} (environment")
