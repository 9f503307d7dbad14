"""Runs the image's programs as in a pod, without a container runtime: read-only root, uid 65532, /tmp in memory.

It uses this machine's network. It needs root (mounts in a namespace of their own, chroot).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.image.archive import Archive
from tools.toolchain import guard

USER = 65532
SHARED = "/run/shared"  # the path of a sandbox's shared folder inside

# Arguments: root, shared folder, user, command.
_ENTER = f"""\
set -e
root=$1 shared=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -t proc -o ro proc "$root/proc"
mount -t tmpfs -o mode=1777,size=16m tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755,size=1m tmpfs "$root/run"
mkdir "$root{SHARED}"
mount --bind "$shared" "$root{SHARED}"
mount -t tmpfs -o mode=0755,size=1m tmpfs "$root/dev"
for device in null zero urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,bind,ro "$root{SHARED}"
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user:$user" --groups= "$root" "$@"
"""


class Sandbox:
    """An unpacked image.

    Args:
        archive: the image.
        folder: for the unpacked files, unless it has them already.
    """

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.root = folder
        self._config = archive.config["config"]
        if not folder.exists():
            new = folder.with_name(f".{folder.name}.new")
            archive.unpack(new)
            new.rename(folder)

    def spawn(
        self, arguments: Sequence[str], environ: Mapping[str, str], shared: Path, output: int
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends when this process ends, also after kill -9.

        Args:
            arguments: what follows the image's entry point, or a command that begins with a slash.
            environ: variables, over the image's own.
            shared: folder that appears read-only at SHARED.
            output: a file descriptor for standard output and error.

        Returns:
            The process of its guard: end it with `guard.end`. `guard.program` is the pid of the program itself.
        """
        return guard.spawn(self._command(arguments, shared), cwd=Path("/"), env=self._environ(environ), stdout=output)

    def run(
        self, *arguments: str, environ: Mapping[str, str] | None = None, shared: Path = Path("/var/empty")
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, at most a minute.

        Args:
            arguments: what follows the image's entry point, or a command that begins with a slash.
            environ: variables, over the image's own.
            shared: folder that appears read-only at SHARED.

        Returns:
            Exit code and what it wrote.
        """
        shared = shared if shared.is_dir() else self.root / "boot"
        return subprocess.run(
            self._command(arguments, shared),
            env=self._environ(environ or {}),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _command(self, arguments: Sequence[str], shared: Path) -> list[str]:
        inside = list(arguments)
        if not (inside and inside[0].startswith("/")):
            inside = [*self._config["Entrypoint"], *inside]
        enter = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _ENTER, "enter"]
        return [*enter, str(self.root), str(shared), str(USER), *inside]

    def _environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        own = dict(variable.partition("=")[::2] for variable in self._config["Env"])
        return {**own, "HOME": "/", "HOSTNAME": os.uname().nodename, **environ}
