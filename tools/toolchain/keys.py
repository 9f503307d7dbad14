"""Names of cache folders: a digest of all inputs of a build. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from tools.toolchain.manifest import Tool

_MAJOR = re.compile(r"v\d+\Z")


def ldflags(stamp: Mapping[str, str]) -> str:
    """The linker's flags: no symbol tables, and the version stamp.

    Args:
        stamp: Go variable (`package.name`) to text.

    Returns:
        The value for `go build -ldflags`, in a stable order.
    """
    return " ".join(["-s", "-w", *(f"-X {name}={stamp[name]}" for name in sorted(stamp))])


def folder_key(
    files: Mapping[str, bytes], stamp: Mapping[str, str], goos: str, goarch: str, flags: Iterable[str]
) -> str:
    """Compute the key of one folder's builds.

    Args:
        files: content by path relative to the folder: go.mod, go.sum, and the sources of our own programs.
        stamp: the folder's version stamp.
        goos: target system.
        goarch: target processor.
        flags: the other flags of `go build`.

    Returns:
        12 hexadecimal digits.
    """
    described = {
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "ldflags": ldflags(stamp),
        "target": [goos, goarch],
        "flags": list(flags),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def cache_name(folder: str, key: str) -> str:
    """The name of a build's cache folder.

    Args:
        folder: folder name, may hold slashes.
        key: from `folder_key`.

    Returns:
        One path component, for example `kubernetes-1f0c…`.
    """
    return f"{folder.replace('/', '-')}-{key}"


def is_source(path: str) -> bool:
    """Whether a file of a program of this repository belongs to its key.

    Args:
        path: path relative to the folder, with slashes.

    Returns:
        True for Go sources outside tests, vendored trees and hidden folders.
    """
    parts = path.split("/")
    hidden = any(part.startswith((".", "_")) or part in ("testdata", "vendor") for part in parts)
    return path.endswith(".go") and not path.endswith("_test.go") and not hidden


def built_as(tool: Tool) -> str:
    """The name of the file that `go build -o DIR/` writes for a package (last path element without major version).

    Args:
        tool: one with an import path as package.

    Returns:
        The file's name, for example `server` for `go.etcd.io/etcd/server/v3`.
    """
    parts = tool.package.rstrip("/").split("/")
    return parts[-2] if len(parts) > 1 and _MAJOR.match(parts[-1]) else parts[-1]
