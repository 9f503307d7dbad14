"""The folders of built tools: `<base>/<folder>-<key>/bin/<tool>`. An old or incomplete folder has another name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from tools.toolchain import host, keys, manifest
from tools.toolchain.manifest import Folder, Tool

FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false")
ROOT = Path(__file__).resolve().parents[2]


class Cache:
    """The user's cache of built tools for one checkout.

    Args:
        root: the checkout.
        environ: MOORAGE_TOOLS_DIR, else XDG_CACHE_HOME, else HOME define its place.
    """

    def __init__(self, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> None:
        self.root = root
        override = environ.get("MOORAGE_TOOLS_DIR")
        self.base = Path(override).absolute() if override else host.cache_dir(environ) / "tools"
        self._keys: dict[str, str] = {}

    @cached_property
    def manifest(self) -> manifest.Manifest:
        """The checkout's tools.yaml."""
        return manifest.load(self.root / "tools" / "tools.yaml")

    def source(self, folder: Folder) -> Path:
        """The path of a folder's go.mod.

        Args:
            folder: one of the manifest.

        Returns:
            Its path in the checkout.
        """
        return self.root / "tools" / folder.name

    def folder(self, folder: Folder) -> Path:
        """The cache folder of a folder's builds.

        Args:
            folder: one of the manifest.

        Returns:
            The cache folder for the current key. It may not exist.

        Raises:
            OSError: its go.mod or go.sum cannot be read.
        """
        if folder.name not in self._keys:
            goos, goarch = host.go_platform()
            files = dict(self._inputs(folder))
            self._keys[folder.name] = keys.folder_key(files, folder.stamp, goos, goarch, FLAGS)
        return self.base / keys.cache_name(folder.name, self._keys[folder.name])

    def path(self, tool: Tool) -> Path:
        """The path of a tool's executable, built or not.

        Args:
            tool: one of the manifest.

        Returns:
            Its path in the cache.
        """
        return self.folder(tool.folder) / "bin" / tool.name

    def has(self, tool: Tool) -> bool:
        """Whether a tool has been built. A file in `bin` is complete, because it is moved there in one step.

        Args:
            tool: one of the manifest.

        Returns:
            True if it can be run.
        """
        return os.access(self.path(tool), os.X_OK)

    def outdated(self) -> list[Path]:
        """List the folders that no current key names: builds of other versions, and remains of killed runs.

        Returns:
            Folders directly below the base.
        """
        current = {self.folder(tool.folder).name for tool in self.manifest.tools.values()}
        prefixes = (*(f"{name.rsplit('-', 1)[0]}-" for name in current), "tmp-")
        if not self.base.is_dir():
            return []
        folders = (path for path in sorted(self.base.iterdir()) if path.is_dir() and path.name not in current)
        return [path for path in folders if path.name.startswith(prefixes)]

    def _inputs(self, folder: Folder) -> Iterator[tuple[str, bytes]]:
        source = self.source(folder)
        for name in ("go.mod", "go.sum"):
            path = source / name
            if name == "go.mod" or path.exists():  # a module without dependencies has no go.sum
                yield name, path.read_bytes()
        if any(tool.local for tool in self.manifest.folder_tools(folder)):
            for path in sorted(source.rglob("*.go")):
                relative = path.relative_to(source).as_posix()
                if keys.is_source(relative):
                    yield relative, path.read_bytes()


def remove(folder: Path) -> int:
    """Delete a folder of the cache. Go's read-only module folders become writable first.

    Args:
        folder: below the cache's base.

    Returns:
        MiB freed.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        os.chmod(parent, 0o700)
        total += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)
    shutil.rmtree(folder)
    return total // host.MIB
