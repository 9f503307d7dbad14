"""Child processes that never outlive their owner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

_CHILD = Path(__file__).with_name("child.py")
_GO = ("GOGC", "GOMAXPROCS")


class _Spawner:
    """A thread that lives as long as this process and runs functions one after the other.

    The death signal fires when the *thread* that started a child ends, so this thread starts all children. It is not an
    executor: if Ctrl-C interrupts the start of an executor's thread, the executor has no record of it, and Python waits
    for its end for ever. After such an interruption there are two threads here, which take turns.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], None], Future[None]]] = SimpleQueue()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, task: Callable[[], None]) -> None:
        """Run a function after all earlier ones."""
        done: Future[None] = Future()
        self._tasks.put((task, done))
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="localcluster-spawner", daemon=True)
            thread.start()
            self._thread = thread
        done.result()

    def _work(self) -> None:
        while True:
            with self._turn:
                task, done = self._tasks.get()
                try:
                    task()
                except BaseException as error:
                    done.set_exception(error)
                else:
                    done.set_result(None)


_spawner = _Spawner()


class ManagedProcess:
    """A child: its command, its log file, and its current process, if any.

    Args:
        name: its name in messages.
        argv: program (absolute path) and arguments.
        log: file to which its output is appended.
        env: its whole environment.
        cwd: its working directory.
        keep_open: file descriptors it inherits.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self._env = dict(env)
        self._cwd = cwd
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process; does nothing while one is running."""
        # A Ctrl-C during this wait cannot lose the child, because the other thread records it.
        _spawner.do(self._spawn)

    def _spawn(self) -> None:
        if self.running:
            return
        command = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *self.argv]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,  # Ctrl-C in the terminal is for the owner, who stops them in order
                pass_fds=self._keep_open,
            )

    @property
    def pid(self) -> int | None:
        """Process id of the current or last process, None before the first start."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code of an ended process (minus the signal number if killed), else None."""
        return self._process.poll() if self._process else None

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL and waits for the end."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)

    @property
    def lost_its_port(self) -> bool:
        """Whether the process exited because its port was in use."""
        return not self.running and "address already in use" in tail(self.log, 200)


def go_settings() -> dict[str, str]:
    """The variables of our environment for Go's runtime, to pass on to Go programs. Tests use them to save work."""
    return {name: os.environ[name] for name in _GO if name in os.environ}


def stop_all(processes: Sequence[ManagedProcess], grace: float) -> None:
    """Ends processes: SIGTERM to all, SIGKILL to those that still run after `grace` seconds."""
    _spawner.do(lambda: None)  # after this, a start that Ctrl-C interrupted has finished
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + grace
    while any(process.running for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in processes:
        process.kill()


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file. Empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """The start time of a live process, in clock ticks since boot. None if there is none or it is a zombie.

    Together with the pid it identifies a process: a reused pid has another start time.
    """
    try:
        # The command name in parentheses may itself contain blanks and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started


def uptime(started: int) -> float:
    """Seconds since a process started, from its start time in clock ticks since boot."""
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return since_boot - started / os.sysconf("SC_CLK_TCK")


def signal_exactly(pid: int, started: int, number: int) -> bool:
    """Signals a process only if its start time still matches. Returns whether it did."""
    if start_time(pid) != started:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
