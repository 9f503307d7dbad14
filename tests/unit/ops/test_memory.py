"""Freed memory goes back to the system, also after large blocks were freed."""

from __future__ import annotations

import platform
import subprocess
import sys

from tests import containers

PROGRAM = """
import os, sys
from moorage.ops import memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1:] == ["give back"]:
    memory.give_back()
bytes(30 << 20)  # glibc's thresholds are as large as this block from now on
before = resident()
blocks = [bytearray(b"x" * (1 << 20)) for _ in range(30)]
last = bytearray(b"x" * (1 << 20))
del blocks
print((resident() - before) >> 20)
"""


def test_large_blocks_are_given_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        containers.unable("the C library is not glibc, which alone keeps such blocks and has a setting for it")
    kept = {
        argument: int(subprocess.run([sys.executable, "-c", PROGRAM, argument], check=True, capture_output=True).stdout)
        for argument in ("", "give back")
    }
    assert kept["give back"] < 5
    assert kept["give back"] < kept[""], "the test shows the difference"
