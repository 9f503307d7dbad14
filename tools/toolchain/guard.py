"""Child processes that never outlive their parent, also after Ctrl-C or kill -9.

`python -P guard.py PARENT -- COMMAND…` runs COMMAND in a process group of its own. When its parent dies, the kernel
signals the guard, and the guard ends the whole group. A parent-death signal for the command alone would leave its own
children running, for example those of a compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

_PR_SET_PDEATHSIG = 1
_PARENT_DIED = signal.SIGUSR2
_GRACE_SECONDS = 3.0


def on_parent_death(signum: int) -> None:
    """Ask the kernel for a signal when the parent dies. Does nothing on systems without prctl.

    Args:
        signum: the signal.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


def interrupt_with_parent() -> None:
    """Turn SIGTERM, SIGHUP and the death of the parent into KeyboardInterrupt, so that there is one way to stop."""
    parent = os.getppid()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def parent_signal(_signum: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:  # else only the thread that started this process ended; the kernel signals that, too
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    signal.signal(_PARENT_DIED, parent_signal)
    on_parent_death(_PARENT_DIED)


def spawn(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes] | int,
    stderr: int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """Start a command that ends when this process ends, also by SIGKILL.

    Args:
        command: program and arguments.
        cwd: its working folder.
        env: its whole environment.
        stdout: a file, or `subprocess.PIPE`.
        stderr: merged into standard output unless `subprocess.PIPE`.

    Returns:
        The guard's process. Terminating it ends the command's whole process group. Its return code is the
        command's.
    """
    guard = [sys.executable, "-I", "-S", __file__, str(os.getpid()), "--", *command]
    return subprocess.Popen(
        guard,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # only this process gets Ctrl-C, and it ends the command in order
    )


def program(process: subprocess.Popen[bytes]) -> int:
    """The pid of a command started by `spawn`, once it has written a line. It stays the same after an exec."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command started by `spawn`, and wait until its whole group has ended.

    Args:
        process: the result of `spawn`. It may have exited.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS + 2)
        if process.poll() is None:
            process.kill()
            process.wait()


def _guard(parent: int, command: Sequence[str]) -> int:
    """Run the command in a process group of its own. End the group when the parent asks for it or dies."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGTERM or os.getppid() != parent:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # only once: the end must not be interrupted
            raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(_PARENT_DIED, stop)
    on_parent_death(_PARENT_DIED)
    if os.getppid() != parent:  # the parent died before the request
        return 128 + signal.SIGTERM
    try:
        child = subprocess.Popen(command, process_group=0, preexec_fn=_die_with_guard)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    try:
        code = child.wait()
    except SystemExit:
        _end_group(child)
        raise
    return code if code >= 0 else 128 - code


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _die_with_guard() -> None:
    on_parent_death(signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(_guard(int(sys.argv[1]), sys.argv[3:]))
