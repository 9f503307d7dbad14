"""How the measured `moorage` is run: from the image, as for users, or from this checkout.

The interpreter matters. The image has its distribution's Python, and the checkout has the developer's. A Python of
pyenv, built without optimisations, used a tenth more CPU per pod (docs/benchmarks-notes.md).
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
    """A way to run `moorage`."""

    @property
    def title(self) -> str:
        """Its name, for the middle of a sentence."""

    def path(self, file: Path) -> str:
        """The path of a file of the shared folder inside it."""

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """Start `moorage` with these arguments and its output to a file descriptor. Returns its guard's process."""


class Checkout:
    """This checkout, on the benchmark's Python.

    Args:
        profile: file for cProfile's figures of the pinner, or None.
    """

    def __init__(self, profile: Path | None = None) -> None:
        self.title = f"this checkout on Python {platform.python_version()}"
        self._profile = profile

    def path(self, file: Path) -> str:
        """The path itself."""
        return str(file)

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """See `Installation`."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/",  # no settings of the user, as in the image
            "PYTHONPATH": os.pathsep.join([str(ROOT / "runtime"), str(ROOT)]),
        }
        profiled = self._profile is not None and arguments[0] == "pod-pinner"
        module = ["tools.bench.pin.profiled", str(self._profile)] if profiled else ["moorage.cli"]
        return guard.spawn([sys.executable, "-m", *module, *arguments], cwd=ROOT, env=environment, stdout=log)


class Image:
    """The image, built from this checkout if it is not current.

    Args:
        folder: where it is unpacked. It must not outlive the benchmark.
        shared: the shared folder, read-only for the programs.

    Raises:
        BenchError: it cannot be built or does not run.
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
        """The path of the shared folder inside."""
        return f"{sandbox.SHARED}/{file.name}"

    def spawn(self, arguments: Sequence[str], log: int) -> subprocess.Popen[bytes]:
        """See `Installation`."""
        return self._sandbox.spawn(arguments, {}, self._shared, log)
