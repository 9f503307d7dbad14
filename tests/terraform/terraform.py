"""Terraform as users run it, on a copy of this checkout's modules, with the provider from tools."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e.helm.shell import Done
from tools.toolchain import ensure
from tools.toolchain.manifest import load

ROOT = Path(__file__).parents[2]
PATIENCE = 240.0  # a test that takes longer than 300 s ends its whole process
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PROVIDER = "terraform-provider-helm"


@dataclass(frozen=True)
class Said(Done):
    """What Terraform says with -json: one object a line."""

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """All of it."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def diagnostics(self) -> list[dict[str, Any]]:
        """Errors and warnings."""
        return [each["diagnostic"] for each in self.events if each["type"] == "diagnostic"]

    @property
    def errors(self) -> str:
        """What the errors say."""
        return "\n".join(
            f"{each['summary']}: {each['detail']}" for each in self.diagnostics if each["severity"] == "error"
        )


class Terraform:
    """A folder to run Terraform in, and a home of its own: no credentials, and no network but what a test gives it.

    Args:
        home: an empty folder; gets the copies, the mirror with the provider, and the root modules of tests.
        kubeconfig: of the cluster, or None.
    """

    def __init__(self, home: Path, kubeconfig: Path | None = None) -> None:
        self.home = home
        for name in ("terraform", "charts"):
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        settings = home / "cli.tfrc"
        settings.write_text(
            "disable_checkpoint = true\n"
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{_mirror(home / "mirror")}"\n  }}\n}}\n'
        )
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            # Short programs: what they leave to the collector late, they need not collect at all.
            "GOGC": "400",
            "GOMEMLIMIT": "1GiB",
            # The provider of version 1 knows it by this name, those of 2 and 3 by the other.
            **({"KUBE_CONFIG": str(kubeconfig), "KUBE_CONFIG_PATH": str(kubeconfig)} if kubeconfig else {}),
        }

    def root(self, name: str, content: object) -> Path:
        """Write a root module, as JSON."""
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps(content, indent=1))
        return folder

    def run(self, folder: Path, *arguments: str) -> Done:
        """Run a command and wait for its end, whatever that is."""
        return self.end(self.start(folder, *arguments), arguments)

    def __call__(self, folder: Path, *arguments: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(folder, *arguments)
        assert done.code == 0, str(done)
        return done

    def said(self, folder: Path, *arguments: str) -> Said:
        """Run plan or apply with -json."""
        done = self.run(folder, arguments[0], "-json", "-input=false", *arguments[1:])
        return Said(done.command, done.code, done.out, done.err)

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command, in a process group of its own."""
        return subprocess.Popen(
            ["terraform", *arguments],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str], arguments: tuple[str, ...] = ()) -> Done:
        """Wait for a command that has begun."""
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return Done(f"terraform {' '.join(arguments)}", process.returncode, out, err)


def literal(value: Any) -> Any:
    """A value as Terraform's JSON files have it: texts there are templates."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {literal(key): literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


def unavailable() -> str | None:
    """Why these tests cannot run here."""
    if shutil.which("terraform") is None:
        return "there is no terraform on PATH; install Terraform 1.9 or newer"
    shown = subprocess.run(["terraform", "version", "-json"], capture_output=True, text=True, env=_quiet())
    found = re.search(r'"terraform_version": "(\d+)\.(\d+)', shown.stdout)
    if found is None or tuple(map(int, found.groups())) < (1, 9):
        return f"terraform on PATH is not 1.9 or newer: {shown.stdout[:80]}"
    return None


def _quiet() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "CHECKPOINT_DISABLE": "1"}


def _mirror(folder: Path) -> Path:
    """A folder in which Terraform finds the provider that tools have built."""
    program = ensure([_PROVIDER])[_PROVIDER]
    version = load(ROOT / "tools" / "tools.yaml").tools[_PROVIDER].folder.version.removeprefix("v")
    place = folder / f"registry.terraform.io/hashicorp/helm/{version}/linux_{_ARCHITECTURES[platform.machine()]}"
    place.mkdir(parents=True)
    (place / f"{_PROVIDER}_v{version}").symlink_to(program)
    return folder
