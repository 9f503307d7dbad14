"""Reads and writes an image as one file: an OCI layout in a tar archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from tools.image.errors import ImageError

_EPOCH = 1_577_836_800
_WHITEOUT = ".wh."
_BASE = "org.opencontainers.image.base"


@dataclass(frozen=True)
class Archive:
    """An image in a file.

    Attributes:
        path: the tar archive.
        config: its configuration (OCI image-spec, config.md).
        manifest: its manifest.
        digest: the manifest's, as `sha256:…`.
        annotations: of the manifest, in the index.
    """

    path: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    digest: str
    annotations: dict[str, str]

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        labels: dict[str, str] = self.config["config"].get("Labels", {})
        return labels

    def layers(self) -> Iterator[bytes]:
        """Yield each layer as an uncompressed tar archive, the lowest first."""
        for layer in self.manifest["layers"]:
            blob = _blob(self.path, layer["digest"])
            yield gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob

    def file(self, name: str) -> bytes:
        """Read one file of the image, from the highest layer that has it.

        Args:
            name: its path without a leading slash.

        Raises:
            ImageError: no layer has it.
        """
        for layer in reversed(list(self.layers())):
            with tarfile.open(fileobj=io.BytesIO(layer)) as files:
                if name in files.getnames() and (found := files.extractfile(name)):
                    return found.read()
        raise ImageError(f"{self.path} has no {name}")

    def unpacked_size(self, layers: slice) -> int:
        """Size in bytes of the files in some layers."""
        total = 0
        for layer in list(self.layers())[layers]:
            with tarfile.open(fileobj=io.BytesIO(layer)) as files:
                total += sum(member.size for member in files if member.isreg())
        return total

    def compressed_size(self) -> int:
        """Size in bytes of all layers in a registry (gzip)."""
        return sum(len(gzip.compress(layer, 6)) for layer in self.layers())

    def unpack(self, folder: Path, layers: slice = slice(None)) -> None:
        """Write the image's files into a folder, whiteouts applied.

        Args:
            folder: empty or missing; needs root, because owners are kept.
            layers: only these layers, to inspect what they contribute.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for layer in list(self.layers())[layers]:
            with tarfile.open(fileobj=io.BytesIO(layer)) as files:
                kept = [member for member in files if not _whiteout(folder, member.name)]
                files.extraction_filter = lambda member, _folder: member  # keeps owners and modes
                files.extractall(folder, members=kept, numeric_owner=True)  # noqa: S202 - our own image


def read(path: Path) -> Archive:
    """Open an archive that holds one image.

    Args:
        path: the tar archive.

    Raises:
        ImageError: it is not such an archive.
    """
    try:
        index = json.loads(_member(path, "index.json"))
        (entry,) = index["manifests"]
        manifest = json.loads(_blob(path, entry["digest"]))
        config = json.loads(_blob(path, manifest["config"]["digest"]))
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ImageError(f"{path} is not an OCI archive of one image ({error}); run ./taskw image:build") from error
    return Archive(path, config, manifest, entry["digest"], entry.get("annotations", {}))


def write(layout: Path, target: Path, name: str, epoch: int = _EPOCH) -> None:
    """Pack an OCI layout in one step: the target is complete, or unchanged.

    Args:
        layout: folder with index.json and blobs; its index is amended.
        target: the archive.
        name: the image's whole name. containerd and Docker read it from an annotation of their own.
        epoch: seconds since 1970 at which the image says it was created. Equal layers then give an equal digest.
    """
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        _neutralize(layout, entry, epoch)
        entry["annotations"] = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
    (layout / "index.json").write_text(json.dumps(index))
    new = target.with_name(f".{target.name}.new")
    with tarfile.open(new, "w") as packed:
        for path in sorted(layout.rglob("*")):
            packed.add(path, path.relative_to(layout).as_posix(), recursive=False, filter=_neutral)
    new.replace(target)


def _neutralize(layout: Path, entry: dict[str, Any], epoch: int) -> None:
    """Take out of an image what only this build knows: times, and names of its steps and of its local base.

    Args:
        layout: of the image.
        entry: the image's in the index; amended.
        epoch: of the image and of every step of its history, in seconds since 1970.
    """
    moment = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest = json.loads(_blob_path(layout, entry["digest"]).read_bytes())
    config = json.loads(_blob_path(layout, manifest["config"]["digest"]).read_bytes())
    for step in (config, *config.get("history", ())):
        step["created"] = moment
        if step.get("comment", "").startswith("FROM "):  # buildah's number for the step before
            del step["comment"]
    if manifest.get("annotations", {}).get(f"{_BASE}.name", "").startswith("localhost/"):
        del manifest["annotations"][f"{_BASE}.name"], manifest["annotations"][f"{_BASE}.digest"]
    manifest["config"] |= _replace(layout, manifest["config"]["digest"], config)
    entry |= _replace(layout, entry["digest"], manifest)


def _replace(layout: Path, digest: str, content: dict[str, Any]) -> dict[str, Any]:
    """Put a blob in the place of another. Returns its digest and its size in bytes."""
    _blob_path(layout, digest).unlink()
    text = json.dumps(content, separators=(",", ":")).encode()
    new = f"sha256:{hashlib.sha256(text).hexdigest()}"
    _blob_path(layout, new).write_bytes(text)
    return {"digest": new, "size": len(text)}


def _blob_path(layout: Path, digest: str) -> Path:
    kind, _, value = digest.partition(":")
    return layout / "blobs" / kind / value


def _neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = _EPOCH
    return entry


def _member(path: Path, name: str) -> bytes:
    with tarfile.open(path, "r:") as packed:
        file = packed.extractfile(name)
        return file.read() if file else b""


def _blob(path: Path, digest: str) -> bytes:
    kind, _, value = digest.partition(":")
    blob = _member(path, f"blobs/{kind}/{value}")
    if hashlib.new(kind, blob).hexdigest() != value:
        raise ImageError(f"{path} is damaged: {digest} does not match; delete it and run ./taskw image:build")
    return blob


def _whiteout(folder: Path, name: str) -> bool:
    """Apply a whiteout entry; False for any other."""
    entry = PurePosixPath(name)
    if not entry.name.startswith(_WHITEOUT):
        return False
    parent = folder / entry.parent
    if entry.name == ".wh..wh..opq":
        hidden = list(parent.iterdir()) if parent.is_dir() else []
    else:
        hidden = [parent / entry.name.removeprefix(_WHITEOUT)]
    for path in hidden:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
    return True
