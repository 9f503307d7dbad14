"""A run of pytest fails if its clusters' audit logs have a request repeated for nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.auditing.guard import NAME, THIEF, Guard, judged, watch
from tools.auditlog import KEEP, hand_over
from tools.localcluster import ClusterHandle

OURS = "system:serviceaccount:castai-agent:castai-pod-pinner"


def ask(log: Path, times: int, *, name: str = "a", account: str = OURS, agent: str = "moorage") -> None:
    """Appends so many requests, a second apart, to an audit log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        for number in range(times):
            event = {
                "stage": "ResponseComplete",
                "verb": "delete",
                "user": {"username": account},
                "userAgent": agent,
                "objectRef": {"resource": "nodes", "name": name},
                "responseStatus": {"code": 200},
                "stageTimestamp": f"2026-11-28T22:00:{number % 10:02}.000000Z",
            }
            print(json.dumps(event), file=file)


class Run:
    """One process of pytest, as far as the plugin sees it."""

    def __init__(self, **config: Any) -> None:
        plugins = SimpleNamespace(getplugin=lambda name: self.guard if name == NAME else None)
        self.config = cast("pytest.Config", SimpleNamespace(pluginmanager=plugins, **config))
        self.guard: Guard = Guard(self.config)
        self.folder = Path(os.environ[KEEP])
        self.said: list[str] = []

    def watch(self, log: Path) -> None:
        watch(self.config, cast("ClusterHandle", SimpleNamespace(name="dev", audit_log=log)))

    def finish(self, status: pytest.ExitCode = pytest.ExitCode.OK) -> int:
        """What pytest does at the end, and with which status it exits."""
        session = cast("pytest.Session", SimpleNamespace(exitstatus=status))
        self.guard.pytest_sessionfinish(session)
        say = lambda line, **_how: self.said.append(line)  # noqa: E731
        reporter = SimpleNamespace(section=say, write_line=say)
        self.guard.pytest_terminal_summary(cast("pytest.TerminalReporter", reporter))
        self.guard.pytest_unconfigure()
        return session.exitstatus


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Makes runs whose folders are below `tmp_path`."""
    monkeypatch.delenv(KEEP, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield Run
    assert KEEP not in os.environ, "the next run has a folder of its own"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "cluster" / "logs" / "audit.log"


TOLD = [
    "      11 times (11 in 10 s)  delete nodes 'a'",
    f"         by {OURS}, user agent moorage",
    "         from 22:00:00.000 UTC for 9.0 s: HTTP 200 11 times",
]


def test_a_cluster_that_was_stopped_meanwhile_fails_the_run(run: Callable[..., Run], log: Path) -> None:
    own = run()
    ask(log, 11)
    hand_over(log, "own-1")
    log.unlink()
    assert own.finish() == pytest.ExitCode.TESTS_FAILED
    head = "cluster own-1: more than 10 times in 10 s, and nobody else had changed the object"
    assert own.said[:-1] == ["requests repeated for nothing", head, *TOLD]
    assert str(own.folder) in own.said[-1]
    assert list(own.folder.glob("*/audit.log")), "kept, to be looked at"


def test_a_warm_cluster_is_read_from_where_the_run_met_it(run: Callable[..., Run], log: Path) -> None:
    ask(log, 11, name="of-yesterday")
    own = run()
    own.watch(log)
    ask(log, 6)
    own.watch(log)  # another fixture, later
    ask(log, 5)
    assert own.finish() == pytest.ExitCode.TESTS_FAILED
    assert own.said[1].startswith("cluster dev: ")
    assert own.said[2:4] == TOLD[:2]
    assert len(own.said) == len(TOLD) + 3


@pytest.mark.parametrize("status", [pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED])
def test_a_run_that_has_failed_anyway_says_it_too(run: Callable[..., Run], log: Path, status: pytest.ExitCode) -> None:
    own = run()
    ask(log, 11)
    hand_over(log, "own-1")
    assert own.finish(status) == status
    assert own.said[2:-1] == TOLD


def test_a_run_without_offenders_says_nothing_and_leaves_nothing(run: Callable[..., Run], log: Path) -> None:
    own = run()
    ask(log, 10)
    ask(log, 500, name="b", account="admin")
    hand_over(log, "own-1")
    own.watch(log)
    assert own.finish() == pytest.ExitCode.OK
    assert own.said == []
    assert not own.folder.exists()


def test_runs_side_by_side_judge_their_own_clusters(run: Callable[..., Run], log: Path) -> None:
    first = run()
    os.environ.pop(KEEP)  # another process, started by neither
    second = run()
    ask(log, 11)
    hand_over(log, "own-1")
    assert second.finish() == pytest.ExitCode.TESTS_FAILED
    assert first.finish() == pytest.ExitCode.OK


def test_workers_collect_and_their_starter_judges(run: Callable[..., Run], log: Path) -> None:
    ask(log, 1, name="of-yesterday")
    starter = run()
    worker = run(workerinput={})
    assert worker.folder == starter.folder
    worker.watch(log)
    ask(log, 11)
    assert worker.finish() == pytest.ExitCode.OK
    assert worker.said == []
    assert starter.finish() == pytest.ExitCode.TESTS_FAILED
    assert starter.said[2:-1] == TOLD


def test_a_log_that_cannot_be_read_is_no_good_news(run: Callable[..., Run], log: Path) -> None:
    ask(log, 1)
    own = run()
    own.watch(log)
    log.rename(log.with_name("elsewhere"))
    ask(log, 1)
    assert own.finish() == pytest.ExitCode.TESTS_FAILED
    assert own.said[1].startswith("cluster dev: nobody can say what was asked of it: ")


def test_our_accounts_are_known_by_their_names(tmp_path: Path) -> None:
    ours = ("castai-agent:castai-pod-pinner", "n:other-release-moorage-planner", "tests-of-pod-pinner:some-test-0a1b2c")
    assert all(judged_of(tmp_path / str(at), f"system:serviceaccount:{each}") for at, each in enumerate(ours))
    others = ("admin", "system:kube-scheduler", "system:node:a", "system:serviceaccount:kube-system:node-controller")
    assert not any(judged_of(tmp_path / f"not-{at}", each) for at, each in enumerate(others))


def test_who_plays_a_thief_of_our_token_may_ask_as_often_as_they_like(tmp_path: Path) -> None:
    assert not judged_of(tmp_path / "log", OURS, agent=THIEF)


def judged_of(log: Path, account: str, **more: str) -> list[str]:
    """The finding for an account with the same request eleven times within ten seconds."""
    ask(log, 11, account=account, **more)
    return judged("dev", log.read_bytes().splitlines(keepends=True))
