"""Files and control groups that killed processes of a cluster leave outside its folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from pathlib import Path

from tools.localcluster import cgroups

# kubemark always uses this folder.
_TMP = Path("/tmp")  # noqa: S108 - fixed in kubemark
_ROOT_FOLDER = re.compile(r"Using (/tmp/hollow-kubelet\.\d+) as root dir")


def remove_leftovers(directory: Path) -> None:
    """Removes everything that an ended cluster has left outside its folder.

    Raises:
        OSError: a control group cannot be removed, because a process is still in it.
    """
    remove_kubelet_leftovers(*directory.glob("logs/node-*.log"))
    cgroups.remove(cgroups.parent(directory))


def remove_kubelet_leftovers(*logs: Path) -> None:
    """Removes the root folders that the logs of ended hollow kubelets name, and unused sockets."""
    for log in logs:
        with contextlib.suppress(FileNotFoundError), log.open(errors="replace") as lines:
            for line in lines:
                if match := _ROOT_FOLDER.search(line):
                    shutil.rmtree(match[1], ignore_errors=True)
    # The name of a socket is in no log. A socket that refuses connections is unused, because kubemark
    # listens before it gives the socket this name.
    for path in _TMP.glob("kubelet_remote_*.sock"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and not _is_served(path):
                path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True
