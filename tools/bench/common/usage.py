"""CPU and memory of other processes, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bench.common.errors import BenchError

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of a process so far: CPU seconds of all its threads, current and peak resident MiB."""

    cpu_s: float
    rss_mib: float
    peak_mib: float


def usage(pid: int) -> Usage:
    """Read the use of a process.

    Raises:
        BenchError: the process has exited.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise BenchError(f"process {pid} has ended while it was measured") from error
    memory = {
        name: int(rest.split()[0]) / 1024
        for name, _, rest in (line.partition(":") for line in status.splitlines())
        if name in ("VmRSS", "VmHWM")
    }
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, memory["VmRSS"], memory["VmHWM"])


class Window:
    """The CPU that some processes use from now on, and that all others use together.

    Args:
        pids: the processes of the measurement, by name. This process is always one of them.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = {**pids, "bench": os.getpid()}
        self._before = self._now()
        self._began = time.monotonic()

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by name. "others" is the number of cores that other processes or the hypervisor used."""
        elapsed = time.monotonic() - self._began
        spent = {name: now - self._before[name] for name, now in self._now().items()}
        machine = spent.pop("machine")
        return spent | {"others": max(0.0, machine - sum(spent.values())) / elapsed}

    def _now(self) -> dict[str, float]:
        fields = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
        user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
        busy = (user + nice + system + irq + softirq + steal) / _TICKS
        return {name: usage(pid).cpu_s for name, pid in self._pids.items()} | {"machine": busy}
