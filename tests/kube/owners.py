"""Processes that own clusters, for tests that kill them, and their remains."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.localcluster.process import start_time
from tools.localcluster.state import is_running

REPOSITORY = Path(__file__).parents[2]
HANG = 60.0  # seconds after which a wait gives up; nothing is judged by how long it took

# Starts a cluster with a hollow kubelet, says so, and lives until its input ends.
OWNER = """
import sys
from tools.localcluster import LocalCluster

with LocalCluster(sys.argv[1], progress=lambda line: print(line, flush=True)) as cluster:
    cluster.start_hollow_kubelet("hollow")
    cluster.wait_node_ready("hollow")
    print("RUNNING", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(
    arguments: Sequence[str], environment: Mapping[str, str], *, user: int | None = None, python: str = sys.executable
) -> Iterator[subprocess.Popen[str]]:
    """Runs Python with these arguments in a session of its own and ends it with the block."""
    process = subprocess.Popen(
        [python, *arguments],
        cwd=REPOSITORY,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], word: str) -> None:
    """Reads a process's output up to a line with this word; fails with the output when it ends before."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if word in line:
            return
    raise AssertionError(f"{process.args!r} ended with {process.wait()} before {word!r}:\n{''.join(seen)}")


def processes_below(directory: Path) -> dict[int, str]:
    """Command lines, by pid, of live processes that name this folder or work in it."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            works_in = os.readlink(entry / "cwd")
            if (str(directory) in command or works_in.startswith(str(directory))) and start_time(int(entry.name)):
                found[int(entry.name)] = command
    return found


def wait_gone(directory: Path) -> None:
    """Waits until no process of a cluster is left; fails with those that stay."""
    deadline = time.monotonic() + HANG
    while (left := processes_below(directory)) or is_running(directory):
        assert time.monotonic() < deadline, f"still there: {left}, lock held: {is_running(directory)}"
        time.sleep(0.05)


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """Sends a signal and returns the exit code. Remaining output is read and dropped."""
    process.send_signal(number)
    process.communicate(timeout=HANG)
    return process.returncode


def unprivileged(home: Path, tools: Mapping[str, str]) -> tuple[str, int | None, dict[str, str]]:
    """A Python, a user id and an environment for an owner without any rights.

    Args:
        home: empty folder that becomes its home.
        tools: paths of the programs it will need, in the toolchain's cache.

    Returns:
        Python, user id (None when this process itself has no rights) and environment.
    """
    packages = sysconfig.get_path("purelib")
    cache = Path(next(iter(tools.values()))).parents[2]
    path = f"{REPOSITORY}:{REPOSITORY}/runtime:{packages}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path}
    if os.getuid() != 0:
        return sys.executable, None, {**environment, "MOORAGE_TOOLS_DIR": str(cache)}
    nobody = 65534
    # Root's own cache is closed to others: link (else copy) what is needed to where it can be read.
    copies = home / "tools"
    for tool in map(Path, tools.values()):
        target = copies / tool.relative_to(cache)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(tool)
        except OSError:
            shutil.copy2(tool, target)
    for folder in [home, *(path for path in copies.rglob("*") if path.is_dir()), copies]:
        os.chown(folder, nobody, nobody)
    environment["MOORAGE_TOOLS_DIR"] = str(copies)
    return _python_for(nobody, environment), nobody, environment


def _python_for(user: int, environment: Mapping[str, str]) -> str:
    """A Python with our packages that this user can run: the test's own may be in root's home."""
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    for python in filter(None, (sys.executable, system)):
        with contextlib.suppress(PermissionError):
            probe = subprocess.run(
                [python, "-c", "import tools.localcluster"],
                cwd=REPOSITORY,
                env=environment,
                user=user,
                group=user,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            if probe.returncode == 0:
                return python
    raise AssertionError(
        f"user {user} can run neither {sys.executable} nor {system} with the packages of this environment: "
        "run the tests as an unprivileged user, or give that user a Python of this version"
    )
