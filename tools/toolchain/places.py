"""Where `go` is run for a folder: in it, or in the module whose own graph it is.

A module that asks for a newer Go than ours, or has replacements, cannot be required by another one. It is built in the
folder into which Go unpacks it, with our copy of its go.mod and go.sum.
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
    """A working folder, and the flags that `go list` and `go build` need in it."""

    folder: Path
    flags: tuple[str, ...] = FLAGS


def place(go: Go, source: Path, folder: Folder, env: Mapping[str, str]) -> Place:
    """Find the place of a folder; its module is downloaded first when it has one.

    Args:
        go: the command.
        source: where our go.mod and go.sum lie.
        folder: one of the manifest.
        env: from `golang.environment`.

    Returns:
        Where to run `go`, and how.

    Raises:
        ToolError: the module cannot be downloaded, or is not what our go.sum says.
    """
    if not folder.inside:
        return Place(source)
    module = f"{folder.inside}@{folder.version}"
    answer = _download(go, source, module, env)
    if f"{folder.inside} {folder.version} {answer.get('Sum')}\n" not in (source / "go.sum").read_text():
        why = answer.get("Error") or f"its sum {answer.get('Sum')} is not in {source / 'go.sum'}"
        raise ToolError(f"{module} cannot be used: {why} (behind a proxy set HTTPS_PROXY or GOPROXY first)")
    # A Go that is older than the module asks for unpacks it all the same, and says an error instead of where.
    unpacked = golang.caches(go, env)[1] / module
    return Place(unpacked, (*FLAGS, f"-modfile={source / 'go.mod'}"))


def _download(go: Go, source: Path, module: str, env: Mapping[str, str]) -> dict[str, str]:
    """What `go mod download` says of a module; empty when it says nothing."""
    command = [str(go.path), "mod", "download", "-json", module]
    answer = subprocess.run(command, cwd=source, env=dict(env), capture_output=True, text=True, check=False)
    said: dict[str, str] = json.loads(answer.stdout) if answer.stdout.startswith("{") else {"Error": answer.stderr}
    return said
