"""Real processes: none survives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.toolchain import guard
from tools.toolchain.cache import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals exist on Linux only")

# A command like a compiler: a process with a child of its own, both deaf to polite signals' shell handling.
TREE = ["sh", "-c", 'sleep 1000 & echo $$ $! > "$0.tmp"; mv "$0.tmp" "$0"; wait']


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"  # whoever adopted it has not looked yet, but it runs no more


def until(condition: object, what: str) -> None:
    assert callable(condition)
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"waited in vain: {what}")


def pids(path: Path) -> list[int]:
    until(path.exists, "the tree has started")
    return [int(word) for word in path.read_text().split()]


def test_return_code_and_output_are_the_commands(tmp_path: Path) -> None:
    process = guard.spawn(["sh", "-c", "echo out; echo err >&2; exit 7"], cwd=tmp_path, env=os.environ, stdout=-1)
    assert process.communicate()[0] == b"out\nerr\n"
    assert process.returncode == 7


def test_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = guard.spawn(["./nothing"], cwd=tmp_path, env=os.environ, stdout=-1)
    assert process.communicate()[0] == b"./nothing: No such file or directory\n"
    assert process.returncode == 127


def test_end_ends_the_whole_tree(tmp_path: Path) -> None:
    process = guard.spawn([*TREE, str(tmp_path / "pids")], cwd=tmp_path, env=os.environ, stdout=subprocess.DEVNULL)
    tree = pids(tmp_path / "pids")
    guard.end(process)
    assert process.returncode == 128 + signal.SIGTERM
    until(lambda: not any(map(alive, tree)), "the tree is gone")


def test_kill_9_of_the_parent_ends_the_whole_tree(tmp_path: Path) -> None:
    program = (
        "import os, sys, subprocess, pathlib; from tools.toolchain import guard\n"
        f"guard.spawn({[*TREE, str(tmp_path / 'pids')]!r}, cwd=pathlib.Path('.'), env=os.environ, stdout=-3).wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    tree = pids(tmp_path / "pids")
    parent.kill()
    parent.wait()
    until(lambda: not any(map(alive, tree)), "the tree is gone")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_signals_and_death_of_the_parent_interrupt(tmp_path: Path, how: signal.Signals) -> None:
    """SIGTERM comes directly; for SIGHUP the process in between is killed, as `task` would be."""
    program = (
        "import time, pathlib, os; from tools.toolchain import guard\n"
        "guard.interrupt_with_parent()\n"
        f"ready = pathlib.Path({str(tmp_path / 'pids')!r})\n"
        "ready.with_suffix('.tmp').write_text(str(os.getpid())); ready.with_suffix('.tmp').rename(ready)\n"
        "try:\n    time.sleep(1000)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(tmp_path / 'interrupted')!r}).touch()\n"
    )
    between = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"], cwd=ROOT
    )
    (pid,) = pids(tmp_path / "pids")
    try:
        if how is signal.SIGTERM:
            os.kill(pid, how)
        else:
            between.kill()
        until((tmp_path / "interrupted").exists, "it was interrupted")
        until(lambda: not alive(pid), "it is gone")
    finally:
        between.kill()
        between.wait()
