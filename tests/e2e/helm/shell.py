"""Runs command lines as a user types them, with separate Helm, kubectl and home folder."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.localcluster.process import go_settings
from tools.toolchain import ensure

PATIENCE = 180.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    command: str
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"$ {self.command}\n(exit code {self.code})\n{self.out}{self.err}"

    def row(self, name: str) -> list[str]:
        """The words of the line of a table that begins with this name."""
        rows = [line.split() for line in self.out.splitlines() if line.split()[:1] == [name]]
        assert len(rows) == 1, f"{len(rows)} lines for {name}:\n{self}"
        return rows[0]


class Shell:
    """A user's shell on one cluster.

    Args:
        home: empty folder of its own: no repositories, no credentials of anybody.
        kubeconfig: of the cluster.
        helm: the tool that is called `helm` there: `helm` (4) or `helm3`.
    """

    def __init__(self, home: Path, kubeconfig: Path, helm: str = "helm") -> None:
        tools = ensure([helm, "kubectl"])
        programs = home / "bin"
        programs.mkdir(parents=True)
        (programs / "helm").symlink_to(tools[helm])
        (programs / "kubectl").symlink_to(tools["kubectl"])
        self._folder = home
        self._environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            **go_settings(),
        }

    def run(self, command: str) -> Done:
        """Run it and wait for its end, whatever that is."""
        done = subprocess.run(
            shlex.split(command),
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Done(command, done.returncode, done.stdout, done.stderr)

    def __call__(self, command: str) -> Done:
        """Run it and expect it to succeed."""
        done = self.run(command)
        assert done.code == 0, str(done)
        return done

    def fails(self, command: str) -> str:
        """Run a command that must fail, and return its output."""
        done = self.run(command)
        assert done.code != 0, f"should have failed:\n{done}"
        assert "panic" not in done.err, str(done)
        return done.err
