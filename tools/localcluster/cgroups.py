"""The control groups of a cluster's containers: only they remain when the processes end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_BUSY_SECONDS = 5.0


def digest(directory: Path) -> str:
    """A short name for a cluster's folder. It is the same in every process."""
    return hashlib.sha256(str(directory).encode()).hexdigest()[:10]


def parent(directory: Path) -> str:
    """Control group, as a path from the root of each hierarchy, of a cluster's containers."""
    return f"/moorage-{digest(directory)}"


def create(group: str) -> None:
    """Creates a group in every hierarchy: a kubelet refuses to start below a group that does not exist."""
    for hierarchy in _hierarchies():
        folder = hierarchy / group.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        if hierarchy.name == "cpuset":
            _inherit_cpuset(hierarchy, folder)


def _inherit_cpuset(hierarchy: Path, folder: Path) -> None:
    # A new group of cgroup v1 accepts no process until its processors and memory nodes are set.
    inner = hierarchy
    for name in folder.relative_to(hierarchy).parts:
        outer, inner = inner, inner / name
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not (inner / file).read_text().strip():
                (inner / file).write_text((outer / file).read_text())


def remove(group: str) -> None:
    """Removes a group and its children from every hierarchy. Their processes have ended or are about to.

    Raises:
        OSError: a process is still in one after some seconds.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    for hierarchy in _hierarchies():
        top = hierarchy / group.lstrip("/")
        while top.is_dir():
            try:
                for folder in [*sorted(top.rglob("*/"), reverse=True), top]:
                    folder.rmdir()
            except FileNotFoundError:
                continue  # another process removes it, too
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _hierarchies() -> Iterator[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        yield _ROOT  # version 2
    elif _ROOT.is_dir():
        for path in _ROOT.iterdir():
            if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists():
                yield path
