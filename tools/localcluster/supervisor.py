"""The process behind `task cluster:up`: it owns the cluster until `task cluster:down` ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tools.localcluster import host, real
from tools.localcluster.binaries import binaries
from tools.localcluster.child import die_with_parent
from tools.localcluster.cluster import ClusterHandle, attach
from tools.localcluster.errors import ClusterError
from tools.localcluster.options import ClusterOptions
from tools.localcluster.owner import LocalCluster
from tools.localcluster.process import signal_exactly
from tools.localcluster.state import ClusterState, cluster_dir, is_running, remove_stale

_REPOSITORY = Path(__file__).parents[2]
_LOOK_INTERVAL = 1.0
_STOP_TIMEOUT = 10.0


class _Ended(BaseException):
    """A signal tells the supervisor to end."""


def up(name: str, say: Callable[[str], None], real_nodes: int = 0, hollow_nodes: int = 0) -> ClusterHandle:
    """Starts a cluster that outlives this process. Until it is ready, it ends with this process.

    Args:
        name: name of the cluster.
        say: receives one line per step.
        real_nodes: number of its real nodes, which need root.
        hollow_nodes: number of its hollow nodes.

    Raises:
        ClusterError: it could not be started. The logs are kept, and the message names their folder.
    """
    if real_nodes:
        host.check("cluster")
    binaries(["demo", *(real.TOOLS if real_nodes else ())])  # here, so that the progress of a build is visible
    command = [sys.executable, "-m", "tools.localcluster", "supervise", name, "--parent", str(os.getpid())]
    command += ["--nodes", str(real_nodes), "--hollow", str(hollow_nodes)]
    supervisor = subprocess.Popen(
        command,
        cwd=_REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in supervisor.stdout or ():  # ends when the supervisor closes its output
            say(line.rstrip())
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    state = ClusterState.read(cluster_dir(name))
    if state is None or state.owner_pid != supervisor.pid:
        code = supervisor.wait()
        # The supervisor itself has printed the reason, unless it was killed.
        raise ClusterError(f"cluster {name} was not started (exit code of its supervisor {code})")
    return attach(name)


def supervise(name: str, parent: int, real_nodes: int, hollow_nodes: int) -> int:
    """Owns a cluster until a signal ends it. The exit code shows whether it ever became ready."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    cluster = LocalCluster(
        name,
        options=ClusterOptions(real=real_nodes),
        progress=lambda line: print(line, flush=True),
        kind="supervisor",
    )
    try:
        die_with_parent(parent, signal.SIGTERM)
        cluster.start()
        for node in (f"hollow-{index}" for index in range(1, hollow_nodes + 1)):
            cluster.start_hollow_kubelet(node)
            cluster.wait_node_ready(node)
        die_with_parent(parent, 0)
        _detach(cluster.logs / "supervisor.log")
        while True:
            for component in cluster.note_exits():
                print(f"{time.strftime('%FT%T')} {component} ended, see its log", flush=True)
            time.sleep(_LOOK_INTERVAL)
    except _Ended:
        cluster.stop()
        return 0
    except (ClusterError, OSError) as error:
        cluster.stop()
        print(error, file=sys.stderr)
        return 1


def _end(_number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the stop
    raise _Ended


def _detach(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def down(name: str) -> bool:
    """Ends a cluster that `up` started, and waits until nothing of it is left. Returns whether it ran.

    Raises:
        ClusterError: it belongs to a process that is not a supervisor, or it cannot be ended.
    """
    directory = cluster_dir(name)
    if not is_running(directory):
        remove_stale()
        return False
    state = ClusterState.read(directory)
    if state is None:
        raise ClusterError(f"cluster {name} is being started or stopped: try again in a moment")
    if state.kind != "supervisor":
        raise ClusterError(f"cluster {name} belongs to process {state.owner_pid}: it ends with that process")
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Owner and start time, so that a process with the same pid later is not signalled.
        signal_exactly(state.owner_pid, state.owner_start_time, number)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while is_running(directory) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not is_running(directory):
            remove_stale()
            return True
    raise ClusterError(f"cluster {name} does not end: something still holds {directory / 'lock'}")
