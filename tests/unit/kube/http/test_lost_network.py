"""A network that swallows everything without a word, between real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

from tests.containers import unable

LIMIT = 60.0
"""Seconds after which the test counts as hung."""


async def test_a_quiet_watch_whose_peer_is_gone_is_found_by_the_kernel_and_resumed_without_a_list() -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.unit.kube.http.lost_network"]
    if not all(shutil.which(each) for each in ("unshare", "ip")):
        unable("needs unshare and ip (util-linux, iproute2)")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0:  # noqa: ASYNC221
        unable("needs root, for a network namespace")
    child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    async with asyncio.timeout(LIMIT):
        output, _ = await child.communicate()
    assert output.decode().splitlines() == ["found", "watching lists=1"], output.decode()
