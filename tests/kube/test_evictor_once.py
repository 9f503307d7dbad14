"""``moorage evictor --once`` on a real API server, with the rights that the guide names and with one fewer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.cli import evictor, looking
from moorage.kube import resources
from moorage.kube.client import Client
from tests.auditing import events
from tests.kube import pinning
from tests.kube.accounts import account
from tests.kube.support import eventually, placeholder
from tools.auditlog import Mark
from tools.localcluster import ClusterHandle

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/evictor-report.md"
(ROLE,) = re.findall(r"```yaml\n(kind: ClusterRole\n.*?)```", GUIDE.read_text(), flags=re.DOTALL)
RULES: list[dict[str, Any]] = yaml.safe_load(ROLE)["rules"]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def asked_by(mark: Mark, user: str) -> set[str]:
    """The verbs of somebody's requests."""
    return {each.verb for each in events.read(mark.lines()) if each.account == user}


async def look(kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    arguments = evictor.parser("moorage evictor").parse_args(["--kubeconfig", str(kubeconfig), "--once", "-o", "json"])
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
