"""Where the measured `moorage` comes from: the image, as users run it, or this checkout.

The interpreter makes the difference: the image has its distribution's, the checkout whatever a developer has. One of
pyenv, configured without optimisations, took a tenth more CPU for a pod (docs/benchmarks-notes.md).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import tools.image as image
from tools.bench.common.errors import BenchError
from tools.image import archive, sandbox
from tools.image.inputs import ROOT
from tools.toolchain import guard


class Installation(Protocol):
    """Something that `moorage` can be run from."""

    @property
    def title(self) -> str:
        """What it is, for people: in the middle of a sentence."""

    def path(self, file: Path) -> str:
        """How its programs see a file of the shared folder."""

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """Start `moorage` with these arguments, its output to a file descriptor; returns the process of its guard."""


class Checkout:
    """This checkout, on the Python that runs the benchmark.

    Args:
        profile: where cProfile's figures of the pinner are written to, None for none.
    """

    def __init__(self, profile: Path | None = None) -> None:
        self.title = f"this checkout on Python {platform.python_version()}"
        self._profile = profile

    def path(self, file: Path) -> str:
        """As it is."""
        return str(file)

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """See `Installation`."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/",  # nothing of the user's, as in the image
            "PYTHONPATH": os.pathsep.join([str(ROOT / "runtime"), str(ROOT)]),
        }
        profiled = self._profile is not None and arguments[0] == "pod-pinner"
        module = ["tools.bench.pin.profiled", str(self._profile)] if profiled else ["moorage.cli"]
        return guard.spawn([sys.executable, "-m", *module, *arguments], cwd=ROOT, env=environment, stdout=log)


class Image:
    """The image, built from this checkout when it is not current.

    Args:
        folder: where it is unpacked; must not outlive the benchmark.
        shared: the shared folder, which the programs only read.

    Raises:
        BenchError: it could not be built, or does not run.
    """

    def __init__(self, folder: Path, shared: Path) -> None:
        try:
            self._sandbox = sandbox.Sandbox(archive.read(image.ensure()), folder)
        except image.ImageError as error:
            raise BenchError(f"the image: {error}") from error
        self._shared = shared
        said = self._sandbox.run("version", "--output=json")
        if said.returncode:
            raise BenchError(f"the image does not run: {said.stderr[-500:]}")
        self.title = f"the image with Python {json.loads(said.stdout)['python']}"

    def path(self, file: Path) -> str:
        """Where the shared folder is inside."""
        return f"{sandbox.SHARED}/{file.name}"

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """See `Installation`."""
        return self._sandbox.spawn(arguments, {}, self._shared, log)
