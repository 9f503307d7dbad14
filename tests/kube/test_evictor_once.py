"""``moorage evictor --once`` on a real API server, with the rights of the guide and with one right less."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.cli import evictor, explain, looking
from moorage.evictor.sources.command import COMMAND
from moorage.kube import resources
from moorage.kube.client import Client
from tests.kube import pinning
from tests.kube.accounts import account
from tests.kube.support import eventually, placeholder, unscheduled_pod
from tools.auditlog import Mark, events
from tools.localcluster import ClusterHandle
from tools.localcluster.binaries import binaries

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/evictor-report.md"
(ROLE,) = re.findall(r"```yaml\n(kind: ClusterRole\n.*?)```", GUIDE.read_text(), flags=re.DOTALL)
RULES: list[dict[str, Any]] = yaml.safe_load(ROLE)["rules"]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def asked_by(mark: Mark, user: str) -> set[str]:
    """The verbs of an account's requests."""
    return {each.verb for each in events.read(mark.lines()) if each.account == user}


def written(cluster: ClusterHandle, folder: Path) -> Path:
    """A dump from the command in the guide."""
    command, _, name = COMMAND.partition(" > ")
    words = [str(binaries(["kubectl"])["kubectl"]), *command.split()[1:]]
    with (folder / name).open("wb") as file:
        subprocess.run(words, stdout=file, check=True, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})
    return folder / name


async def look(kubeconfig: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, dict[str, Any]]:
    arguments = evictor.parser("moorage evictor").parse_args(
        ["--kubeconfig", str(kubeconfig), "--once", "-o", "json", *flags]
    )
    code = await asyncio.to_thread(evictor.main, arguments)
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


async def test_reading_is_enough_and_a_right_that_is_missing_is_said(
    client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = Mark.now(cluster.audit_log)
    node = await client.create(resources.NODES, placeholder(f"once-{namespace}"))
    try:
        whole = account(cluster, namespace, f"once-{namespace}", tmp_path, everywhere=RULES, here=[])

        async def granted() -> dict[str, Any] | None:  # rights take a moment to count
            code, report = await look(whole, capsys)
            return report if code == 0 else None

        report = await eventually(granted, "a look that sees everything")
        assert node.metadata.name in {each["name"] for each in report["others"]}
        assert report["unseen"] == []

        folder = tmp_path / "fewer"
        folder.mkdir()
        rules = [rule for rule in RULES if rule["resources"] != ["poddisruptionbudgets"]]
        fewer = account(cluster, namespace, f"fewer-{namespace}", folder, everywhere=rules, here=[])

        async def nearly() -> list[dict[str, Any]] | None:
            code, report = await look(fewer, capsys)
            unseen: list[dict[str, Any]] = report.get("unseen", [])
            return unseen if code == looking.NOT_ALL_SEEN and len(unseen) == 1 else None

        (unseen,) = await eventually(nearly, "a look that misses one right")
        assert unseen["kind"] == "PodDisruptionBudget"
        assert unseen["reason"] == "may not list poddisruptionbudgets"
        for user in (f"once-{namespace}", f"fewer-{namespace}"):
            assert asked_by(mark, user) == {"get", "list"}
    finally:
        await client.delete(resources.NODES, node.metadata.name, uid=node.metadata.uid)


async def test_a_dump_by_the_command_that_people_are_told_shows_the_same(
    client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = await client.create(resources.NODES, placeholder(f"dump-{namespace}"))
    waiting = await unscheduled_pod(client, "waiting", namespace)
    try:
        path = written(cluster, tmp_path)
        code, report = await look(cluster.kubeconfig, capsys, "--from", str(path))
        assert (code, report["unseen"]) == (0, [])
        assert node.metadata.name in {each["name"] for each in report["others"]}
        assert abs(datetime.fromisoformat(report["when"]) - client.transport.clock.now()) < timedelta(minutes=5)
        explained = explain.parser("moorage explain").parse_args(["pod", waiting.key, "--from", str(path)])
        assert await asyncio.to_thread(explain.main, explained) == 0
        assert capsys.readouterr().out.startswith(f"Pod {waiting.key} has no node yet.")
    finally:
        await client.delete(resources.NODES, node.metadata.name, uid=node.metadata.uid)
