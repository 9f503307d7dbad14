"""The planner as a program: changing files, pod lookups, and its end."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from moorage.cli import main
from moorage.ops.configuration import SettingsError, load
from moorage.pinner.stream.client import InstructionStream
from moorage.planner import file_source, planfile, service
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.service import Planner
from moorage.planner.settings import PlannerSettings
from moorage.planner.table import TableView, render
from moorage.planner.view import LinesView
from moorage.protocol import Ack, CreatePlaceholder, Instruction, Outcome, PinPods, PodRef, PodResult, ReasonCode
from tests.unit.kube.hostile import HostileServer, hostile
from tests.unit.protocol.support import HANG, Pinner, applied, authority, eventually, promise, settings

NAMED = """\
nodes:
- {name: 'n-{}', count: 2, allocatable: {cpu: 2, memory: 4Gi, pods: 10}}
- {name: r, existing: true, pods: [{namespace: shop, name: web-1, uid: uid-1}]}
"""
LOOKED_UP = """\
nodes:
- name: n-{}
  count: 2
  allocatable: {cpu: 2, memory: 4Gi, pods: 10}
  pods: [{namespace: ns, owner: ReplicaSet/web, count: 2}]
"""


@pytest.fixture
def _own_logs() -> Iterator[None]:
    """What the command does to the root logger is undone."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "POLL_SECONDS", 0.01)
    for name in ("SETTLE_SECONDS", "REFRESH_SECONDS"):
        monkeypatch.setattr(service, name, 0.01)


def _settings(plan: Path, **flags: str) -> PlannerSettings:
    return load(PlannerSettings, {}, {"plan": str(plan), "listen": "127.0.0.1:0", "output": "json", **flags})


@asynccontextmanager
async def _running(made: PlannerSettings) -> AsyncIterator[tuple[Planner, asyncio.Task[int]]]:
    planner = Planner(made)
    task = asyncio.create_task(planner.run())
    try:
        await eventually(lambda: planner.server.port != 0 or task.done())
        yield planner, task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _pinner(planner: Planner, answer: Callable[[Instruction], Ack | None] = applied) -> Pinner:
    return Pinner(InstructionStream(settings(planner.server.port)), answer)


def _events(text: str, event: str) -> list[dict[str, Any]]:
    return [found for line in text.splitlines() if (found := json.loads(line))["event"] == event]


def _plan(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    return path


# --- once ---


async def test_once_ends_with_0_when_everything_is_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _running(_settings(_plan(tmp_path, NAMED), once="true")) as (planner, task), _pinner(planner):
        async with asyncio.timeout(HANG):
            assert await task == 0
    (summary,) = _events(capsys.readouterr().out, "summary")
    assert summary | {"time": ""} == {
        "time": "",
        "event": "summary",
        "instructions": 3,
        "applied": 3,
        "rejected": 0,
        "failed": 0,
        "open": 0,
        "trouble": [],
    }


async def test_once_ends_with_1_and_a_list_when_something_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(each: Instruction) -> Ack:
        if not isinstance(each.action, PinPods):
            return applied(each)
        pod = each.action.pods[0]
        result = PodResult(pod, Outcome.REJECTED, ReasonCode.DOES_NOT_FIT, "cpu: 500m needed, 200m free")
        return Ack(each.id, each.position, Outcome.REJECTED, ReasonCode.DOES_NOT_FIT, "", (result,))

    async with _running(_settings(_plan(tmp_path, NAMED), once="true")) as (planner, task), _pinner(planner, answer):
        async with asyncio.timeout(HANG):
            assert await task == 1
    out = capsys.readouterr().out
    assert _events(out, "summary")[0]["trouble"] == [
        "pin pods on r: pod shop/web-1: DOES_NOT_FIT: cpu: 500m needed, 200m free"
    ]
    (refused,) = (each for each in _events(out, "acknowledged") if each["outcome"] == "rejected")
    assert refused["pods"] == [
        {
            "pod": "shop/web-1",
            "outcome": "rejected",
            "reason": "DOES_NOT_FIT",
            "sentence": "cpu: 500m needed, 200m free",
            "node": "",
        }
    ]


async def test_once_gives_up_after_the_deadline_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PATIENCE", -0.9)
    plan = _plan(tmp_path, "deadline: 1s\n" + NAMED)
    accept = lambda each: Ack(each.id, each.position, Outcome.ACCEPTED) if each.node == "r" else None  # noqa: E731
    async with _running(_settings(plan, once="true")) as (planner, task), _pinner(planner, accept):
        async with asyncio.timeout(HANG):
            assert await task == 1
    assert _events(capsys.readouterr().out, "summary")[0]["trouble"] == [
        "create placeholder on n-1: not acknowledged",
        "create placeholder on n-2: not acknowledged",
        "pin pods on r: accepted, and not finished",
    ]


# --- the file changes ---


async def test_a_changed_plan_is_served_and_a_broken_one_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _plan(tmp_path, NAMED)
    async with _running(_settings(path)) as (planner, _), _pinner(planner) as pinner:
        await pinner.until(lambda p: len(p.ids) == 3)
        path.write_text(NAMED + "nodez: []")
        out = ""
        while "plan-broken" not in out:
            out += capsys.readouterr().out
            await asyncio.sleep(0.01)
        assert "line 4: unknown field 'nodez'; did you mean nodes?" in _events(out, "plan-broken")[0]["error"]
        assert len(pinner.ids) == 3
        path.write_text("delete: [gone]")
        await pinner.until(lambda p: "delete-gone" in p.ids[-1])


# --- pods of the cluster ---


@asynccontextmanager
async def _cluster(tmp_path: Path) -> AsyncIterator[tuple[HostileServer, dict[str, str]]]:
    """An API server with three pods, and the kubeconfig that leads there."""
    async with hostile() as server:
        for number in range(3):
            server.store.put(f"web-{number}", owner="web", status={"phase": "Pending"})
        kubeconfig = tmp_path / "kubeconfig"
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        users = [{"name": "u", "user": {}}]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "contexts": [context],
            "users": users,
            "current-context": "c",
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        yield server, {"kubeconfig": str(kubeconfig)}


def _pinned(pinner: Pinner) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in pinner.received:
        if isinstance(each, Instruction) and isinstance(each.action, PinPods):
            found.setdefault(each.node, set()).update(pod.name for pod in each.action.pods)
    return found


async def test_pods_are_looked_up_and_pinned_as_they_appear(tmp_path: Path) -> None:
    plan = _plan(tmp_path, LOOKED_UP)
    async with (
        _cluster(tmp_path) as (server, flags),
        _running(_settings(plan, once="true", **flags)) as (planner, task),
        _pinner(planner) as pinner,
    ):
        await pinner.until(lambda p: len(_pinned(p)) == 2)
        assert _pinned(pinner) == {"n-1": {"web-0", "web-1"}, "n-2": {"web-2"}}
        assert not task.done()  # one is still missing
        server.store.put("web-3", owner="web", status={"phase": "Pending"})
        server.changed()
        async with asyncio.timeout(HANG):
            assert await task == 0
        assert _pinned(pinner)["n-2"] == {"web-2", "web-3"}


async def test_a_planner_that_starts_again_asks_the_reservations_who_has_a_place(tmp_path: Path) -> None:
    plan = _plan(tmp_path, LOOKED_UP)
    async with _cluster(tmp_path) as (server, flags):

        async def reservations(exchange: Any) -> None:
            pins = [{"namespace": "ns", "name": "web-0", "uid": "uid-1"}]
            reservation = {"metadata": {"name": "n-2", "uid": "r"}, "spec": {"plan": "plan", "pins": pins}}
            await exchange.answer(200, {"metadata": {"resourceVersion": "1"}, "items": [reservation]})

        server.fault("GET", reservations)
        async with _running(_settings(plan, **flags)) as (planner, _), _pinner(planner) as pinner:
            await pinner.until(lambda p: len(_pinned(p)) == 2)
            assert _pinned(pinner) == {"n-1": {"web-1", "web-2"}, "n-2": {"web-0"}}
            asked = [request.path for request in server.asked("GET")]
            assert asked == ["/apis/moorage.dev/v1alpha1/nodereservations"]


# --- settings and the command ---


@pytest.mark.parametrize(
    ("flags", "environ", "sentence"),
    [
        ({"listen": "0.0.0.0:1"}, {}, "can be reached from other machines, and there is no certificate"),
        ({"listen": ":9443"}, {}, "can be reached from other machines, and there is no certificate"),
        ({"tls_cert_file": "CERT"}, {}, "belong together"),
        ({"listen": ":1", "tls_cert_file": "CERT", "tls_key_file": "KEY"}, {}, "anybody could ask for the plan"),
        ({"api_key_file": "KEY"}, {"MOORAGE_API_KEY": "x"}, "are both set. Remove one"),
        ({}, {"MOORAGE_API_KEY": "a\nb"}, "it holds no key"),
        ({"plan": "/nowhere/plan.yaml"}, {}, "it cannot be read: No such file or directory"),
        ({"listen": "nowhere"}, {}, "write host and port"),
    ],
)
def test_settings_that_would_expose_the_plan_or_make_no_sense(
    flags: dict[str, str], environ: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    pair = authority("a")
    files = {"CERT": tmp_path / "cert.pem", "KEY": tmp_path / "key.pem"}
    files["CERT"].write_bytes(pair.certificate)
    files["KEY"].write_bytes(pair.key)
    given = {"plan": str(_plan(tmp_path, NAMED)), **{key: str(files.get(value, value)) for key, value in flags.items()}}
    with pytest.raises(SettingsError, match=sentence):
        load(PlannerSettings, environ, given)


def test_a_key_that_cannot_be_read_for_a_while_lets_nobody_in(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("one\n")
    read = _settings(_plan(tmp_path, NAMED), api_key_file=str(key_file)).key_reader()
    key_file.unlink()
    kept = read()
    assert kept is not None
    assert kept.reveal() == "one"
    key_file.write_text("two")
    changed = read()
    assert changed is not None
    assert changed.reveal() == "two"


@pytest.mark.usefixtures("_own_logs")
def test_the_command_tells_a_broken_plan_by_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _plan(tmp_path, "nodez: []\nplan: 7")
    assert main(["planner", "--plan", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path}: line 1: unknown field 'nodez'; did you mean nodes?" in error
    assert f"{path}: line 2: plan: 7 is not a text" in error
    assert "Traceback" not in error


# --- what people see ---


def _answered() -> InstructionStore:
    board = InstructionStore()
    board.start("friday", timedelta(minutes=10))
    for number in range(3):
        board.issue(CreatePlaceholder(promise(f"n-{number}")))
    pods = (PodRef("shop", "web-1", "u1"), PodRef("shop", "web-2", "u2"))
    board.issue(PinPods("n-0", pods))
    board.record("c", applied(board.at(1)))
    results = (PodResult(pods[0], Outcome.APPLIED), PodResult(pods[1], Outcome.FAILED, ReasonCode.NODE_FAILED))
    last = board.at(4)
    board.record("c", Ack(last.id, last.position, Outcome.FAILED, ReasonCode.NODE_FAILED, "", results))
    return board


def _terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=120, height=24, color_system=None), out


def test_the_table_shows_trouble_first_and_fits_the_terminal() -> None:
    console, out = _terminal()
    console.print(render(_answered(), ["c/pinner-1"], "plan.yaml: line 3: wrong", 24))
    text = out.getvalue()
    rows = [line.split() for line in text.splitlines() if line.startswith("n-")]
    assert "plan friday   served to c/pinner-1" in text
    assert [row[0] for row in rows] == ["n-0", "n-1", "n-2"]
    assert rows[0][:4] == ["n-0", "trouble", "applied", "1/2"]
    assert "pod shop/web-2: NODE_FAILED" in text
    assert "4 instructions: 1 applied, 2 open, 0 rejected, 1 failed" in text
    assert "plan.yaml: line 3: wrong" in text
    console, out = _terminal()
    console.print(render(_answered(), [], "", 24, stage="emptying: all 2 nodes are Ready"))
    assert "rebalancing emptying: all 2 nodes are Ready" in out.getvalue()
    many = InstructionStore()
    many.start("many", timedelta(minutes=1))
    for number in range(500):
        many.issue(CreatePlaceholder(promise(f"n-{number}")))
    console, out = _terminal()
    console.print(render(many, [], "", 24))
    assert len(out.getvalue().splitlines()) <= 24
    assert "… and 484 more nodes" in out.getvalue()


def test_the_table_stays_on_the_terminal_with_what_was_not_done() -> None:
    console, out = _terminal()
    view = TableView(_answered(), lambda: ["c/pinner-1"], console)
    view.serving(planfile.read("plan.yaml", NAMED.encode()))
    view.broken("plan.yaml: line 3: wrong")
    view.close(["something"])
    assert "The plan before this change is still served." in out.getvalue()
    assert "not done: something" in out.getvalue()


@pytest.mark.parametrize("live", [True, False])
async def test_only_a_live_view_is_refreshed(live: bool, tmp_path: Path) -> None:
    """A view that only writes lines needs no wake-ups."""
    out = io.StringIO()
    view = LinesView(_answered(), out)
    view.live = live
    planner = Planner(_settings(_plan(tmp_path, NAMED)), view=view)
    task = asyncio.create_task(planner.run())
    try:
        await eventually(lambda: bool(_events(out.getvalue(), "serving")))
        await asyncio.sleep(0)
        assert ("planner view" in {each.get_name() for each in asyncio.all_tasks()}) is live
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_lines_are_for_programs() -> None:
    out = io.StringIO()
    view = LinesView(_answered(), out)
    view.broken("why")
    view.close(None)
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["plan-broken"]
    assert sys.stdout is not out
