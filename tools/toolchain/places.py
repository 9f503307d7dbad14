"""The folder in which `go` runs for a tool: its own, or that of a module with a graph of its own.

A module that needs a newer Go, or has replacements, cannot be a requirement of another one. It is built in the folder
into which Go unpacks it, with this repository's copy of its go.mod and go.sum.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tools.toolchain import golang
from tools.toolchain.cache import FLAGS
from tools.toolchain.errors import ToolError
from tools.toolchain.golang import Go
from tools.toolchain.manifest import Folder


class Place(NamedTuple):
    """A working folder, and its flags for `go list` and `go build`."""

    folder: Path
    flags: tuple[str, ...] = FLAGS


def place(go: Go, source: Path, folder: Folder, env: Mapping[str, str]) -> Place:
    """Find the working folder of a folder of the manifest. If it names a module, that is downloaded first.

    Args:
        go: the command.
        source: folder with our go.mod and go.sum.
        folder: one of the manifest.
        env: from `golang.environment`.

    Returns:
        The working folder and flags.

    Raises:
        ToolError: the module cannot be downloaded, or does not match our go.sum.
    """
    if not folder.inside:
        return Place(source)
    module = f"{folder.inside}@{folder.version}"
    answer = _download(go, source, module, env)
    if f"{folder.inside} {folder.version} {answer.get('Sum')}\n" not in (source / "go.sum").read_text():
        why = answer.get("Error") or f"its sum {answer.get('Sum')} is not in {source / 'go.sum'}"
        raise ToolError(f"{module} cannot be used: {why} (behind a proxy set HTTPS_PROXY or GOPROXY first)")
    # A Go that is older than the module requires unpacks it anyway, and prints an error instead of the folder.
    unpacked = golang.caches(go, env)[1] / module
    return Place(unpacked, (*FLAGS, f"-modfile={source / 'go.mod'}"))


def _download(go: Go, source: Path, module: str, env: Mapping[str, str]) -> dict[str, str]:
    """The output of `go mod download` for a module. Empty if there is none."""
    command = [str(go.path), "mod", "download", "-json", module]
    answer = subprocess.run(command, cwd=source, env=dict(env), capture_output=True, text=True, check=False)
    reply: dict[str, str] = json.loads(answer.stdout) if answer.stdout.startswith("{") else {"Error": answer.stderr}
    return reply
