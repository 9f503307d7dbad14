"""Ports for servers: no other process chooses a port that one process has chosen."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tools.localcluster import ports

CHOOSER = """
import sys
from tools.localcluster.ports import free_ports
print(*free_ports(int(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def chosen_by(process: subprocess.Popen[str]) -> set[int]:
    assert process.stdout is not None
    return {int(port) for port in process.stdout.readline().split()}


def test_processes_that_choose_side_by_side_share_no_port() -> None:
    several = [
        subprocess.Popen(
            [sys.executable, "-c", CHOOSER, "80"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    try:
        found = [chosen_by(process) for process in several] + [set(ports.free_ports(40)) for _ in range(3)]
    finally:
        for process in several:
            process.kill()
            process.communicate()
    assert [len(each) for each in found] == [80, 80, 80, 40, 40, 40]
    assert len(found[0] | found[1] | found[2] | found[3] | found[4]) == sum(map(len, found[:5]))


def test_a_port_is_handed_out_again_only_after_all_others() -> None:
    block = ports.PortBlock()
    first, second = block.free(60, "127.0.0.1"), block.free(30, "127.0.0.1")
    assert not set(first) & set(second)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - what some servers listen on
def test_a_port_that_somebody_listens_on_is_passed_over(address: str) -> None:
    block = ports.PortBlock()
    (taken,) = block.free(1, "127.0.0.1")
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        server.listen()
        assert taken not in {port for _ in range(3) for port in block.free(90, address)}


def test_more_ports_than_a_block_has_come_from_another_one() -> None:
    found = ports.PortBlock().free(150, "127.0.0.1")
    assert len(set(found)) == 150
