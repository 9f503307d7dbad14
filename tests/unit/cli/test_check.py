"""``moorage check``: its output, its exit codes, and what it checks. Servers answer from a script."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moorage.cli import check as command
from moorage.ops.parsing import Address
from moorage.pinner.commands.check import run as running
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from tests.unit.pinner.commands.check.api import (
    LEASE,
    NODES,
    PODS,
    POLICY,
    RESERVATIONS,
    REVIEW,
    Api,
    kubeconfig,
    no_right,
    serving,
    status,
)

NAMES = ["reservations", "leader", "planner", "rights", "fence", "admission"]
Change = Callable[[Api], None]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PAUSE", 0.01)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@asynccontextmanager
async def planning() -> AsyncIterator[list[str]]:
    """Flags that lead to a planner."""
    board = InstructionStore()
    board.start("first-pods", timedelta(minutes=10))
    server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
    await server.start()
    try:
        yield ["--planner-address", f"127.0.0.1:{server.port}", "--planner-plaintext"]
    finally:
        await server.stop()


async def run(api: Api, folder: Path, *flags: str, planner: bool = True) -> int:
    async with serving(api) as url, planning() as way:
        given = ["--kubeconfig", str(kubeconfig(url, folder)), "--timeout", "100ms", *(way if planner else ()), *flags]
        arguments = command.parser("moorage check").parse_args(given)
        return await asyncio.to_thread(command.main, arguments)


async def report(api: Api, folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the checks by name."""
    code = await run(api, folder, "-o", "json", *flags)
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["checks"]] == NAMES
    assert found["passed"] is all(each["passed"] for each in found["checks"])
    return code, {each["name"]: each for each in found["checks"]}


async def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    assert await run(api, tmp_path) == 0
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == [f"ok      {name}" for name in NAMES]
    assert "serves plan 'first-pods'" in said.out
    assert "\x1b" not in said.out, "colours are for terminals"
    assert said.err == ""


async def test_nothing_is_changed(tmp_path: Path) -> None:
    api = Api()
    assert await run(api, tmp_path) == 0
    assert {each.method for each in api.asked} == {"GET", "POST"}
    kept = [each for each in api.asked if each.method == "POST" and not each.path.endswith("reviews")]
    assert kept, "pods and Nodes are tried"
    assert {each.query.get("dryRun") for each in kept} == {"All"}
    (pod,) = [body for body in api.bodies if body["kind"] == "Pod"]
    container = pod["spec"]["containers"][0]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def answer(path: str, given: Callable[[], web.Response]) -> Change:
    return lambda api: api.answers.update({path: given})


def lease(**changes: Any) -> Change:
    return lambda api: api.answers.update({LEASE: lambda: api.lease(**changes)})


def lacking(resource: str, verb: str) -> Change:
    return lambda api: api.lacking.add((resource, verb))


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (answer(RESERVATIONS, lambda: status(404, "no")), "reservations", "is not defined in this cluster. Install"),
        (answer(RESERVATIONS, lambda: status(500, "etcd is down")), "reservations", "etcd is down"),
        (answer(LEASE, lambda: status(404, "no")), "leader", "no pod pinner has run here yet"),
        (lease(holder=""), "leader", "is held by nobody"),
        (lease(ago=120), "leader", r"was renewed 1\d\d s ago: pinner-1_ab is gone or stuck"),
        (lacking("nodes", "delete"), "rights", r"lacks rights.*\nClusterRole: .*\[nodes\], verbs: \[delete\]"),
        (answer(POLICY, lambda: status(404, "no")), "fence", "does not exist"),
        (answer(PODS, lambda: status(403, "violates PodSecurity")), "admission", "violates PodSecurity"),
        (answer(PODS, lambda: status(500, "webhook is down")), "admission", "webhook is down"),
        (answer(PODS, lambda: web.Response(text="<html>")), "admission", "."),
    ],
)
async def test_what_is_wrong_is_said_and_the_others_are_checked(
    change: Change, name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Api()
    change(api)
    code, checks = await report(api, tmp_path, capsys)
    assert code == 1
    assert {each: found["state"] for each, found in checks.items()} == dict.fromkeys(NAMES, "ok") | {name: "failed"}
    assert re.search(words, checks[name]["detail"])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (answer(RESERVATIONS, lambda: no_right("nodereservations.moorage.dev", "list")), "reservations"),
        (answer(LEASE, lambda: no_right("leases.coordination.k8s.io", "get")), "leader"),
        (answer(REVIEW, lambda: no_right("subjectaccessreviews.authorization.k8s.io")), "rights"),
        (answer(PODS, lambda: no_right("pods")), "admission"),
    ],
)
async def test_what_may_not_be_looked_at_is_neither_well_nor_wrong(
    change: Change, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Api()
    change(api)
    code, checks = await report(api, tmp_path, capsys)
    assert code == 3
    assert {each: found["state"] for each, found in checks.items()} == dict.fromkeys(NAMES, "ok") | {name: "unknown"}
    assert checks[name]["detail"].startswith("not looked at, because ")


async def test_a_failure_outweighs_what_was_not_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    api.answers[PODS] = lambda: no_right("pods")
    api.answers[LEASE] = lambda: status(404, "no")
    assert await run(api, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("FAILED  leader: ")
    assert lines[-1].startswith("unknown admission: not looked at")


async def test_warnings_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    api.lacking = {("events", "create"), ("events", "patch")}
    assert await run(api, tmp_path, "--without-fence") == 0
    said = capsys.readouterr().out
    assert "warning rights: " in said
    assert "\n          ClusterRole: {apiGroups: [events.k8s.io]" in said, "particulars are indented"
    assert "warning fence: there is none (admissionPolicy.enabled=false)" in said
    assert api.to(NODES) == [], "what is not there is not tried"


async def test_without_the_planners_address_it_is_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(Api(), tmp_path, planner=False) == 3
    assert "unknown planner: not looked at, because its address is not set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--planner-address", "127.0.0.1:1", "--planner-plaintext"], "127.0.0.1:1 refuses connections"),
        (["--planner-address", "grpc.cast.ai:443"], "is an address of the closed product"),
        (["--planner-address", "192.0.2.1:9443"], "no API key is set"),
    ],
)
async def test_a_planner_that_cannot_be_used_is_a_failure(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(Api(), tmp_path, *flags, planner=False) == 1
    said = capsys.readouterr()
    assert re.search(f"^FAILED  planner: .*{re.escape(words)}", said.out, re.MULTILINE)
    assert "Traceback" not in said.err


async def test_what_comes_in_time_has_passed(tmp_path: Path) -> None:
    api, left = Api(), [3]

    def late() -> web.Response:
        left[0] -= 1
        return status(404, "not found") if left[0] >= 0 else api.lease()

    api.answers[LEASE] = late
    assert await run(api, tmp_path, "--timeout", "30s") == 0


async def test_somebody_at_a_terminal_sees_colours_and_what_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    api = Api()
    api.answers[LEASE] = lambda: status(404, "no")
    assert await run(api, tmp_path) == 1
    said = capsys.readouterr()
    assert "\x1b[32mok      \x1b[0mreservations: " in said.out
    assert "\x1b[31mFAILED  \x1b[0mleader: " in said.out
    assert said.err.count("leader: not yet, trying again: ") == 1
    monkeypatch.setenv("NO_COLOR", "1")
    assert await run(api, tmp_path) == 1
    assert "\x1b" not in capsys.readouterr().out


async def test_a_cluster_that_cannot_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.parser("moorage check").parse_args(["--kubeconfig", "/nowhere"])
    assert await asyncio.to_thread(command.main, arguments) == 2
    assert "cannot be read" in capsys.readouterr().err
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    arguments = command.parser("moorage check").parse_args(["--kubeconfig", str(path)])
    assert await asyncio.to_thread(command.main, arguments) == 1
    assert "current-context is not set" in capsys.readouterr().err


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parser("moorage check").parse_args(["--help"])
    said = capsys.readouterr().out
    for words in ("helm test", "kubectl exec", "  3    no check has failed, and something could not be checked"):
        assert words in said
