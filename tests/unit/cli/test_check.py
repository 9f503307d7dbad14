"""``moorage check``: what each check says, and what the exit code means, with an API server that answers as told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moorage.cli import check as command
from moorage.pinner import check

LEASE = "/apis/coordination.k8s.io/v1/namespaces/castai-agent/leases/castai-pod-pinner-leader-election"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"
PODS = "/api/v1/namespaces/castai-agent/pods"


def refused(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message, "reason": "x"}, status=code)


class Server:
    """An installation in order, unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self.answers: dict[str, Callable[[], web.Response]] = {
            RESERVATIONS: lambda: web.json_response({"metadata": {"resourceVersion": "1"}, "items": []}),
            LEASE: lambda: self.lease(),
            PODS: lambda: web.json_response({"metadata": {"name": "moorage-check-x"}}, status=201),
        }

    def lease(self, *, holder: str = "pinner-1_ab", ago: float = 1.0) -> web.Response:
        renewed = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
        return web.json_response({"metadata": {"name": "l"}, "spec": spec})

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.can_read_body:
            self.bodies.append(await request.json())
        return self.answers[request.path]()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.serve)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PAUSE", 0.01)


async def run(server: Server, tmp_path: Path, *flags: str) -> int:
    async with serving(server) as url:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        arguments = command.parser("moorage check").parse_args(
            ["--kubeconfig", str(path), "--timeout", "100ms", *flags]
        )
        return await asyncio.to_thread(command.main, arguments)


async def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    assert await run(server, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["ok      reservations", "ok      leader", "ok      admission"]
    (created,) = [each for each in server.asked if each.method == "POST"]
    assert created.query["dryRun"] == "All"
    assert {each.method for each in server.asked} == {"GET", "POST"}
    (pod,) = server.bodies
    container = pod["spec"]["containers"][0]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("path", "answer", "name", "words"),
    [
        (RESERVATIONS, lambda _: refused(404, "not found"), "reservations", "is not defined in this cluster. Install"),
        (RESERVATIONS, lambda _: refused(403, "no right"), "reservations", "no right"),
        (LEASE, lambda _: refused(404, "not found"), "leader", "no pod pinner has run here yet"),
        (LEASE, lambda server: server.lease(holder=""), "leader", "is held by nobody"),
        (
            LEASE,
            lambda server: server.lease(ago=120),
            "leader",
            r"was renewed 1\d\d s ago: pinner-1_ab is gone or stuck",
        ),
        (
            PODS,
            lambda _: refused(403, 'violates PodSecuritycted"'),
            "admission",
            "violates PodSecurity",
        ),
        (PODS, lambda _: refused(500, "webhook is down"), "admission", "webhook is down"),
        (PODS, lambda _: web.Response(text="<html>"), "admission", ""),
    ],
)
async def test_what_is_wrong_is_said_and_the_others_are_checked(
    path: str, answer: Any, name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.answers[path] = lambda: answer(server)
    assert await run(server, tmp_path, "-o", "json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert {each["name"]: each["passed"] for each in found["checks"]} == {
        "reservations": name != "reservations",
        "leader": name != "leader",
        "admission": name != "admission",
    }
    (failed,) = [each for each in found["checks"] if not each["passed"]]
    assert re.search(words, failed["detail"])
    assert failed["detail"]


async def test_what_comes_in_time_has_passed(tmp_path: Path) -> None:
    server, left = Server(), [3]

    def late() -> web.Response:
        left[0] -= 1
        return refused(404, "not found") if left[0] >= 0 else server.lease()

    server.answers[LEASE] = late
    assert await run(server, tmp_path, "--timeout", "30s") == 0


async def test_a_cluster_that_cannot_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.parser("moorage check").parse_args(["--kubeconfig", "/nowhere"])
    assert await asyncio.to_thread(command.main, arguments) == 2
    assert "cannot be read" in capsys.readouterr().err
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    arguments = command.parser("moorage check").parse_args(["--kubeconfig", str(path)])
    assert await asyncio.to_thread(command.main, arguments) == 1
    assert "current-context is not set" in capsys.readouterr().err
