"""The folder of a cluster, its lock, and the description for other processes.

The owner holds the lock, and so does every child, through an inherited descriptor. A process that can take it knows
that nothing of that cluster runs and that the folder is stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.localcluster.errors import ClusterError
from tools.localcluster.leftovers import remove_leftovers
from tools.localcluster.pki import write_private

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_FAILED = "failed"
_FAILED_KEPT = 5
_TRASH = ".trash-"


def clusters_root() -> Path:
    """Folder of all clusters: MOORAGE_CLUSTERS_DIR, else moorage/clusters in the user's cache folder."""
    override = os.environ.get("MOORAGE_CLUSTERS_DIR")
    if override:
        return Path(override).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "moorage" / "clusters"


def cluster_dir(name: str) -> Path:
    """Folder of one cluster.

    Raises:
        ClusterError: the name is not valid for a cluster.
    """
    if not _NAME.fullmatch(name) or name == _FAILED:
        raise ClusterError(
            f"{name!r} cannot name a cluster: use up to 40 small letters, digits and '-', not '{_FAILED}'"
        )
    return clusters_root() / name


@dataclass
class ComponentState:
    """A component as other processes see it. `exit_code` is None while its owner sees it running."""

    pid: int
    start_time: int
    port: int
    log: str
    exit_code: int | None = None


@dataclass
class ClusterState:
    """The content of cluster.json. Times are clock ticks since boot."""

    name: str
    kind: str  # "supervisor" (runs until `down`) or "library" (lives as long as the process that uses it)
    owner_pid: int
    owner_start_time: int
    server: str = ""
    admin_token: str = ""
    ready: bool = False
    default_options: bool = True
    real: int = 0  # number of real nodes at the start
    network: dict[str, str] = field(default_factory=dict)  # of real nodes; empty without them
    tools: dict[str, str] = field(default_factory=dict)
    components: dict[str, ComponentState] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Writes cluster.json (0600) in one step, so that a reader sees the old or the new one."""
        draft = directory / ".cluster.json"
        write_private(draft, json.dumps(asdict(self), indent=1).encode())
        draft.replace(directory / "cluster.json")

    @classmethod
    def read(cls, directory: Path) -> ClusterState | None:
        """Reads cluster.json. None if it does not exist or another version of this code wrote it."""
        try:
            data: dict[str, Any] = json.loads((directory / "cluster.json").read_bytes())
            components = {name: ComponentState(**state) for name, state in data.pop("components").items()}
            return cls(**data, components=components)
        except (OSError, ValueError, TypeError, KeyError):
            return None


class Lock:
    """The lock of a cluster's folder, as held by its owner."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self.descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> Lock | None:
        """Takes the lock, and creates the folder if needed. None while a process of the cluster still runs."""
        attempts = 5
        while attempts:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # its owner is removing the folder
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(descriptor, directory / "lock"):
                    return cls(directory, descriptor)
            except BlockingIOError:
                attempts -= 1  # another process that only checks (`is_running`) holds it for a moment
                time.sleep(0.02)
            os.close(descriptor)  # of a folder that has been removed, or its owner holds it
        return None

    @classmethod
    def take_empty(cls, directory: Path) -> Lock | None:
        """Takes the lock of an empty folder. The remains of a dead owner are removed first."""
        while (lock := cls.take(directory)) is not None:
            if [path.name for path in directory.iterdir()] == ["lock"]:
                return lock
            remove_leftovers(directory)
            lock.remove_directory()
        return None

    def remove_directory(self) -> None:
        """Removes the folder, then releases the lock."""
        # Rename first, so that a process that creates a folder of this name never sees a half-removed one.
        trash = self.directory.with_name(f"{_TRASH}{secrets.token_hex(6)}")
        with contextlib.suppress(FileNotFoundError):
            self.directory.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Releases the lock. Children that inherited it keep it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def is_running(directory: Path) -> bool:
    """Whether any process of the cluster of this folder still runs."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_stale() -> list[str]:
    """Removes the folders of clusters whose owners have ended, and returns their names."""
    removed = []
    root = clusters_root()
    for directory in sorted(root.iterdir()) if root.is_dir() else ():
        if directory.name.startswith(_TRASH) and not is_running(directory):
            shutil.rmtree(directory, ignore_errors=True)
        elif _NAME.fullmatch(directory.name) and directory.name != _FAILED and directory.is_dir():
            lock = Lock.take(directory)
            if lock is not None:
                remove_leftovers(directory)
                lock.remove_directory()
                removed.append(directory.name)
    return removed


def keep_failed_logs(directory: Path) -> Path:
    """Moves the logs of a failed cluster to failed/NAME-TIME, and deletes all but the last five.

    Returns:
        New folder of the logs.
    """
    failed = clusters_root() / _FAILED
    failed.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    target = failed / f"{directory.name}-{stamp}"
    while target.exists():
        target = failed / f"{directory.name}-{stamp}-{secrets.token_hex(2)}"
    (directory / "logs").rename(target)
    kept = sorted(failed.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in kept[:-_FAILED_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
