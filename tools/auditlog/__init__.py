"""Reads an API server's audit log from a position, and keeps the log when its cluster is removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

KEEP = "MOORAGE_KEEP_AUDIT"
"""Environment variable: a folder where each cluster that is stopped leaves its audit log."""


class AuditLost(Exception):
    """The log was rotated so often that the file with the position no longer exists."""


def files(log: Path) -> list[Path]:
    """All files of a log, the oldest first. A rotated file has its time in its name."""
    rotated = sorted(log.parent.glob(f"{log.stem}-*{log.suffix}"))
    return [*rotated, *([log] if log.exists() else [])]


@dataclass(frozen=True)
class Mark:
    """A position in a log. It stays valid when the log is rotated."""

    log: Path
    inode: int
    offset: int

    @classmethod
    def now(cls, log: Path) -> Self:
        """The position after the last complete line."""
        with log.open("rb") as file:
            offset = sum(len(line) for line in file if line.endswith(b"\n"))
            return cls(log, os.fstat(file.fileno()).st_ino, offset)

    def lines(self) -> Iterator[bytes]:
        """The complete lines since the position.

        Raises:
            AuditLost: a file with a part of them no longer exists.
        """
        found = files(self.log)
        inodes = [path.stat().st_ino for path in found]
        if self.inode not in inodes:
            raise AuditLost(f"{self.log} was rotated too often: its file with this position no longer exists")
        offset = self.offset
        for path in found[inodes.index(self.inode) :]:
            with path.open("rb") as file:
                file.seek(offset)
                yield from file
            offset = 0


def hand_over(log: Path, name: str) -> None:
    """Move the log of a stopped cluster to a new folder below the one that `KEEP` names, if it names one."""
    folder = os.environ.get(KEEP)
    found = files(log)
    if not folder or not found or not Path(folder).is_dir():
        return
    own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
    for path in found:
        try:
            os.link(path, own / path.name)
        except OSError:  # on another file system
            shutil.copyfile(path, own / path.name)
