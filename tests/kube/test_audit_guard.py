"""The guard of audit logs on a real API server: a run of green tests fails if its pinner repeats requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.auditlog import KEEP

ROOT = Path(__file__).parents[2]
RUN = '''\
"""A cluster of its own, and a pinner that asks for one object again and again."""

import asyncio

from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tests.kube import identity, pinning
from tools.localcluster import LocalCluster


async def ask(cluster, name, times):
    async with Transport(credentials.load(identity.pinner(cluster))) as transport:
        for _ in range(times):
            try:
                await Client(transport).get(resources.NODES, name)
            except errors.NotFound:
                pass


def test_asks_too_often():
    with LocalCluster() as cluster:
        asyncio.run(ask(cluster, "wanted", 11))
        asyncio.run(ask(cluster, "allowed", 10))


def test_other():
    pass
'''


@pytest.mark.parametrize("chosen", ["too_often", "other"])
def test_a_pinner_that_asks_eleven_times_fails_the_run(chosen: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure\n")
    path = tmp_path / "test_run.py"
    path.write_text(RUN)
    environment = {name: value for name, value in os.environ.items() if name != KEEP and not name.startswith("PYTEST_")}
    environment["TMPDIR"] = str(tmp_path)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"]
    command += ["-p", "no:cacheprovider", "-k", chosen, str(path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    if chosen == "other":
        assert done.returncode == pytest.ExitCode.OK
        assert list(tmp_path.glob("moorage-audit-*")) == []
        return
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "requests repeated for nothing" in done.stdout
    assert "11 times (11 in 10 s)  get nodes 'wanted'" in done.stdout
    assert "by system:serviceaccount:tests-of-pod-pinner:asks-too-often-" in done.stdout
    assert "HTTP 404 11 times" in done.stdout
    assert "allowed" not in done.stdout
