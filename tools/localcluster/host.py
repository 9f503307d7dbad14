"""The requirements of real nodes on this machine: root, and a few Debian packages."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.localcluster.errors import ClusterError

_LIST = Path(__file__).parents[2] / "requirements" / "debian.txt"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"  # users' PATHs often lack the last one
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS = 1024

_INSTALL = "`./taskw cluster:install` as root installs them"


@dataclass(frozen=True)
class Package:
    """A Debian package, its purpose (cluster or image), and a program or file that shows that it is installed."""

    name: str
    purpose: str
    proof: str

    @property
    def installed(self) -> bool:
        """Whether its program or file exists, whatever installed it."""
        return (
            Path(self.proof).exists()
            if self.proof.startswith("/")
            else shutil.which(self.proof, path=_PATH) is not None
        )


def packages() -> list[Package]:
    """The repository's list of Debian packages."""
    lines = (line.partition("#")[0].split() for line in _LIST.read_text().splitlines())
    return [Package(*fields) for fields in lines if fields]


def missing(purpose: str) -> str | None:
    """The reason why this machine cannot run something, as a sentence with the way out. None if it can.

    Args:
        purpose: "cluster" (real nodes) or "image" (building images).
    """
    if sys.platform != "linux":
        return "real containers need Linux"
    if os.geteuid() != 0:
        return "real containers need root"
    absent = [package.name for package in packages() if package.purpose == purpose and not package.installed]
    if absent:
        return f"Debian packages are missing: {', '.join(absent)}; {_INSTALL}"
    return _refused_namespaces() if purpose == "cluster" else None


def _refused_namespaces() -> str | None:
    command = [program("unshare"), "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return None
    return (
        f"root must not create namespaces here: {answer.stderr.strip()}; a container needs CAP_SYS_ADMIN (--privileged)"
    )


def check(purpose: str) -> None:
    """Raises an error if `missing` returns a reason.

    Raises:
        ClusterError: a requirement is missing.
    """
    if reason := missing(purpose):
        raise ClusterError(f"real nodes cannot run on this machine: {reason}")


def program(name: str) -> str:
    """Path of a program of the system.

    Raises:
        ClusterError: it is not installed.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise ClusterError(f"{name} is not installed; {_INSTALL}")
    return found


def search_path() -> str:
    """PATH for programs on real nodes, which run other programs of the system."""
    return _PATH


def install(say: Callable[[str], None]) -> None:
    """Installs the missing packages of the list, and raises the inotify limit until the next start of the machine.

    Raises:
        ClusterError: not root, no apt-get, or apt-get failed.
    """
    _allow_watching(say)
    absent = [package.name for package in packages() if not package.installed]
    if not absent:
        say("all Debian packages are installed")
        return
    if os.geteuid() != 0 or shutil.which("apt-get", path=_PATH) is None:
        raise ClusterError(f"missing: {', '.join(absent)}; run this as root on Debian, or install equivalents yourself")
    say(f"installing {' '.join(absent)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": _PATH}
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]  # another apt may be running
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *absent]):
        answer = subprocess.run(
            [program("apt-get"), *options, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            output = f"{answer.stdout}{answer.stderr}".strip()
            raise ClusterError(f"apt-get {arguments[0]} failed with exit code {answer.returncode}:\n{output[-2000:]}")
    say("installed")


def _allow_watching(say: Callable[[str], None]) -> None:
    """Raise the limit of inotify instances: kubelets and containerds of several clusters need more than 128."""
    try:
        if int(_INOTIFY.read_text()) < WATCHERS:
            _INOTIFY.write_text(str(WATCHERS))
            say(f"inotify instances of a user: {WATCHERS} from now on")
    except OSError as error:
        say(f"inotify instances of a user could not be raised to {WATCHERS}: {error.strerror}")


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """A lock for all processes of this machine, whatever cluster folder they use."""
    # A name that only the kernel has: it disappears with its holder.
    with socket.socket(socket.AF_UNIX) as claim:
        while True:
            try:
                claim.bind(f"\0moorage-{what}")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                time.sleep(0.02)
        yield
