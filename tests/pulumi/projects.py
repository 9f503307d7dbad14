"""Pulumi projects as users have them, run by the real engine with a state file and a home of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tools.toolchain import ensure

ROOT = Path(__file__).parents[2]
PATIENCE = 240.0
REAL = os.environ.get("MOORAGE_PULUMI_KUBERNETES") == "real"
"""Whether the Kubernetes provider is the real one, installed in PULUMI_HOME, and not tests/pulumi/double.py."""
STACK = "test"
DOUBLE = f'cd {ROOT}\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.pulumi.double "$@"'
_LIST = ("-m", "pip", "list", "-v", "--format", "json")
"""How the language host asks for the packages that programs have."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    command: str
    code: int
    text: str

    def __str__(self) -> str:
        return f"$ {self.command}\n(exit code {self.code})\n{self.text}"

    @property
    def counts(self) -> dict[str, int]:
        """The number of created, updated and other resources in the last summary."""
        summary = self.text.rpartition("Resources:")[2]
        words = "created|updated|deleted|replaced|unchanged|imported"
        return {name: int(count) for count, name in re.findall(rf"(\d+) ({words})", summary)}


class Project:
    """A folder with a program, and its stack.

    Args:
        folder: empty, or created for the program.
        kubeconfig: of the cluster.
        program: the text of `__main__.py`; None when the folder has one.
        attach: the port of a Kubernetes provider that runs; None when the engine is to start one.
    """

    def __init__(self, folder: Path, kubeconfig: Path, program: str | None = None, attach: int | None = None) -> None:
        self.folder = folder
        self._home = folder / ".home"
        self._kubeconfig = kubeconfig
        tools = ensure(["pulumi", "pulumi-language-python", "helm"])
        programs = self._home / "bin"
        programs.mkdir(parents=True)
        host = tools["pulumi-language-python"]
        for name, target in {
            "pulumi": tools["pulumi"],
            "pulumi-language-python": host,
            "pulumi-language-python-exec": host.with_name("pulumi-language-python-exec"),
        }.items():
            (programs / name).symlink_to(target)
        if not REAL:
            self.plugin("kubernetes", DOUBLE)
        path = [str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        self.environment = {
            "PATH": os.pathsep.join(path),
            "HOME": str(self._home),
            "HELM": str(tools["helm"]),
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "pulumi"),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
            "PULUMI_HOME": os.environ["PULUMI_HOME"] if REAL else str(self._home / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self._home}",
            "PULUMI_CONFIG_PASSPHRASE": "only for tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        if attach is not None:
            self.environment["PULUMI_DEBUG_PROVIDERS"] = f"kubernetes:{attach}"
        if program is not None:
            self.environment["PULUMI_PYTHON_CMD"] = str(self._python_that_knows_its_packages())
            (folder / "Pulumi.yaml").write_text("name: project\nruntime: python\n")
            self.write(program)
        self("stack", "init", STACK)

    def write(self, program: str) -> None:
        """Change the program."""
        head = "import pulumi\nimport pulumi_moorage as moorage\n\n"
        (self.folder / "__main__.py").write_text(head + program)

    def plugin(self, name: str, commands: str) -> None:
        """Put a provider on the engine's PATH that is started by these commands of a shell."""
        script = self._home / "bin" / f"pulumi-resource-{name}"
        script.write_text(f"#!/bin/sh\n{commands}\n")
        script.chmod(0o755)

    def with_a_provider_of_its_own(self) -> None:
        """From now on the engine starts the Kubernetes provider, which then ends with it."""
        self.environment.pop("PULUMI_DEBUG_PROVIDERS", None)

    def _python_that_knows_its_packages(self) -> Path:
        """Python, but the language host's queries for plugins before each program are answered at once."""
        answer, python = self._home / "packages.json", self._home / "bin" / "python-with-packages"
        answer.write_text(_packages())
        asked = f'if [ "$*" = "{" ".join(_LIST)}" ]; then exec cat {answer}; fi'
        python.write_text(f'#!/bin/sh\n{asked}\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        return python

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command, in a process group of its own as a shell's jobs are."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, *arguments: str) -> Done:
        """Run a command to its end, whatever that is."""
        return self.end(self.start(*arguments), *arguments)

    def end(self, started: subprocess.Popen[str], *arguments: str) -> Done:
        """Wait for the started operations."""
        try:
            text, _ = started.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            raise
        return Done(f"pulumi {' '.join(arguments)}", started.returncode, text)

    def __call__(self, *arguments: str) -> Done:
        """Run a command and expect it to succeed."""
        done = self.run(*arguments)
        assert done.code == 0, str(done)
        return done

    def fails(self, *arguments: str) -> str:
        """Run a command that must fail, and return its output."""
        done = self.run(*arguments)
        assert done.code != 0, f"should have failed:\n{done}"
        return done.text

    def up(self) -> Done:
        """Bring the stack up."""
        return self("up", "--yes", "--skip-preview")

    def releases(self) -> list[tuple[str, str, int]]:
        """Name, state and revision of the releases that helm knows."""
        found = json.loads(self.helm("list", "--all-namespaces", "--output=json"))
        return [(each["name"], each["status"], int(each["revision"])) for each in found]

    def uninstall(self) -> None:
        """Take away every release, and the language hosts of engines that were killed."""
        for pid in self._left_behind():
            os.kill(pid, signal.SIGKILL)
        for each in json.loads(self.helm("list", "--all-namespaces", "--output=json")):
            self.helm("uninstall", each["name"], f"--namespace={each['namespace']}", "--wait")

    def _left_behind(self) -> Iterator[int]:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                if path.read_bytes().startswith(bytes(self._home)):
                    yield int(path.parent.name)

    def helm(self, *arguments: str) -> str:
        """Run helm, which must succeed."""
        command = [self.environment["HELM"], *arguments, f"--kubeconfig={self._kubeconfig}"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    @property
    def state(self) -> dict[str, Any]:
        """The stack's state, secrets encrypted."""
        found: dict[str, Any] = json.loads(self("stack", "export").text)["deployment"]
        return found

    def resources(self) -> dict[str, dict[str, Any]]:
        """What the state has, by type."""
        return {each["type"]: each for each in self.state.get("resources", ())}


@cache
def _packages() -> str:
    """pip's answer, queried once: it takes longer than a program and is always the same."""
    return subprocess.run([sys.executable, *_LIST], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def provider(kubeconfig: Path, home: Path) -> Iterator[int | None]:
    """The double as a process of its own to which engines attach, because its start takes longer than its work.

    Args:
        kubeconfig: of the cluster.
        home: an empty folder.

    Yields:
        The port; None where the real provider is used.
    """
    if REAL:
        yield None
        return
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "HELM": str(ensure(["helm"])["helm"]),
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
    }
    command = [sys.executable, "-m", "tests.pulumi.double", "no engine yet"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield int(started.stdout.readline())
        finally:
            started.terminate()


def until(probe: Callable[[], object], what: str) -> None:
    """Wait until the answer is neither None nor False nor empty."""
    end = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.1)


def config(project: Project, values: Mapping[str, str]) -> None:
    """Set a key of the program's configuration."""
    for name, value in values.items():
        project("config", "set", name, value)
