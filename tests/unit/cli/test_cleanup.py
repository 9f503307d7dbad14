"""``moorage cleanup`` as a dialog: its output, its questions, and its exit codes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from moorage.cli import cleanup as command
from moorage.kube.client import Client
from moorage.kube.errors import ConnectionLost
from moorage.objects import Node, ObjectMeta
from moorage.pinner.commands import cleanup
from moorage.pinner.commands.cleanup import Leftover

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: here, user: {}}]
contexts: [{name: here, context: {cluster: here, user: here}}]
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Cluster:
    """The remaining objects, and those that cannot be removed."""

    def __init__(self, *names: str, stuck: Sequence[str] = ()) -> None:
        self.left = [
            Leftover("Node", name, "delete", "placeholder without a machine", "deleted", Node(ObjectMeta(name=name)))
            for name in names
        ]
        self.stuck = stuck
        self.removed: list[str] = []

    async def find(self, _client: Client) -> list[Leftover]:
        return self.left

    async def remove(self, _client: Client, leftover: Leftover) -> None:
        if leftover.name in self.stuck:
            raise ConnectionLost("DELETE node: no answer within the time limit")
        self.removed.append(leftover.name)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


def run(
    monkeypatch: pytest.MonkeyPatch,
    kubeconfig: Path,
    cluster: Cluster,
    *flags: str,
    answer: str | None = None,
) -> int:
    monkeypatch.setattr(cleanup, "find", cluster.find)
    monkeypatch.setattr(cleanup, "remove", cluster.remove)
    monkeypatch.setattr("sys.stdin", io.StringIO() if answer is None else Terminal(answer))
    arguments = command.parser("moorage cleanup").parse_args(["--kubeconfig", str(kubeconfig), *flags])
    return command.main(arguments)


def test_it_shows_first_and_removes_after_a_yes(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("n1", "n2")
    assert run(monkeypatch, kubeconfig, cluster, answer="y\n") == 0
    assert cluster.removed == ["n1", "n2"]
    shown, asked = capsys.readouterr()
    assert "do all 2 of this? [y/N]" in asked
    lines = shown.splitlines()
    assert lines[0] == "in the cluster at http://127.0.0.1:9:"
    assert lines[1].split() == ["KIND", "NAME", "WOULD", "WHY"]
    assert lines[-2:] == ["Node n1: deleted", "Node n2: deleted"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n", None])
def test_anything_but_a_yes_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, answer: str | None
) -> None:
    cluster = Cluster("n1")
    assert run(monkeypatch, kubeconfig, cluster, answer=answer) == 1
    assert cluster.removed == []


def test_nobody_is_asked_when_nobody_is_there(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, kubeconfig, Cluster("n1")) == 1
    assert "use --yes" in capsys.readouterr().err


def test_a_dry_run_changes_nothing_and_is_no_failure(monkeypatch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
    cluster = Cluster("n1")
    assert run(monkeypatch, kubeconfig, cluster, "--dry-run", "--yes") == 0
    assert cluster.removed == []


def test_one_that_cannot_be_removed_does_not_keep_the_rest(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("n1", "n2", "n3", stuck=["n2"])
    assert run(monkeypatch, kubeconfig, cluster, "--yes", "-o", "json") == 1
    assert cluster.removed == ["n1", "n3"]
    shown, said = capsys.readouterr()
    report = json.loads(shown)
    assert [each["name"] for each in report["found"]] == ["n1", "n2", "n3"]
    assert [each["name"] for each in report["removed"]] == ["n1", "n3"]
    assert report["failed"][0]["name"] == "n2"
    assert "no answer" in report["failed"][0]["error"]
    assert said.startswith("Node n2: not removed: ")


def test_nothing_to_do_is_said_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, kubeconfig, Cluster()) == 0
    assert "nothing is left behind" in capsys.readouterr().out


def test_a_cluster_that_does_not_answer_is_a_sentence(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.parser("moorage cleanup").parse_args(["--kubeconfig", str(kubeconfig)])
    assert command.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("moorage cleanup: GET /api/v1/")
