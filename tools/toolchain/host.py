"""This machine: processors, memory, disk, and the user's cache folder."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.toolchain.errors import ToolError

MIB = 1024 * 1024


def go_platform() -> tuple[str, str]:
    """This machine's platform, as Go names it.

    Returns:
        GOOS and GOARCH, for example `("linux", "amd64")`.
    """
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}.get(machine, machine)
    return platform.system().lower(), arch


def cores() -> int:
    """The number of processors that this process may use.

    Returns:
        At least 1. It respects the affinity mask, and a cgroup's CPU quota (rounded up).
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cpus(_read(Path("/sys/fs/cgroup/cpu.max")))
    return max(1, min(count, quota) if quota else count)


def cgroup_cpus(cpu_max: str) -> int | None:
    """Read a cgroup v2 `cpu.max`.

    Args:
        cpu_max: its text, `"200000 100000"` or `"max 100000"`; may be empty.

    Returns:
        Processors, rounded up. None if there is no limit.
    """
    parts = cpu_max.split()
    if len(parts) != 2 or not (parts[0].isdigit() and parts[1].isdigit()) or int(parts[1]) == 0:
        return None
    return max(1, -(-int(parts[0]) // int(parts[1])))


def memory_mib(meminfo: str | None = None) -> int | None:
    """The memory that is available without swapping.

    Args:
        meminfo: text of `/proc/meminfo`; None: read it.

    Returns:
        MemAvailable in MiB. None if the system does not show it.
    """
    for line in (_read(Path("/proc/meminfo")) if meminfo is None else meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None


def free_mib(path: Path) -> int:
    """The disk space that is free for this user at a path.

    Args:
        path: any path. Its nearest existing parent counts.

    Returns:
        MiB.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free // MIB


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for files that can be created again.

    Args:
        environ: the environment: XDG_CACHE_HOME, else HOME.

    Returns:
        `<user cache>/moorage`. This does not create it.

    Raises:
        ToolError: neither variable is set.
    """
    if base := environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "moorage"
    if home := environ.get("HOME"):
        return Path(home).absolute() / ".cache" / "moorage"
    raise ToolError(
        "neither HOME nor XDG_CACHE_HOME is set, so there is no cache folder; set one of them to a folder you can write"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
