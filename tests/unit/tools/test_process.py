"""Starting child processes from one thread, whatever interrupts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.localcluster import process

_HANG = 60.0
_INTERRUPTED = """
import threading
from tools.localcluster import process

start = threading.Thread.start
def interrupted(thread):
    threading.Thread.start = start
    {early}
    start(thread)
    raise KeyboardInterrupt
threading.Thread.start = interrupted

done = []
try:
    process._spawner.do(lambda: done.append("first"))
except KeyboardInterrupt:
    process._spawner.do(lambda: done.append("second"))
print(*done)
"""


@pytest.mark.parametrize("early", ["pass", "raise KeyboardInterrupt"], ids=["after", "before"])
def test_ctrl_c_while_its_thread_is_started_neither_loses_a_task_nor_keeps_the_process(early: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED.format(early=early)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=_HANG,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "first second\n", "")


def test_what_goes_wrong_is_told_to_who_asked() -> None:
    def fail() -> None:
        raise OSError("no such program")

    with pytest.raises(OSError, match="no such program"):
        process._spawner.do(fail)
    process._spawner.do(lambda: None)
