"""Image archives: written from files without a registry, and read for their image names."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster.errors import ClusterError
from tools.toolchain import host

_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_MEDIA = "application/vnd.oci.image"


def write_archive(
    target: Path, name: str, files: Mapping[str, Path], entrypoint: Sequence[str], user: str = "65532:65532"
) -> Path:
    """Writes an OCI archive with one layer. Equal files give equal bytes.

    Args:
        target: the path of the archive.
        name: full name with tag, for example "localhost/probe:1".
        files: executables by path in the image, without a leading slash.
        entrypoint: the command.
        user: its uid and gid.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, source in sorted(files.items()):
            _add(tar, path, source.read_bytes(), 0o755)
    content = layer.getvalue()
    config = _json(
        {
            "architecture": host.go_platform()[1],
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _describe(f"{_MEDIA}.config.v1+json", config),
            "layers": [_describe(f"{_MEDIA}.layer.v1.tar", content)],
        }
    )
    entry = _describe(f"{_MEDIA}.manifest.v1+json", manifest) | {"annotations": {_NAME: name, _REF_NAME: name}}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (config, manifest, content):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
    return target


def names(archive: Path) -> list[str]:
    """The full names of the images in an OCI or Docker archive.

    Raises:
        ClusterError: it cannot be read, or names no image.
    """
    try:
        with tarfile.open(archive) as tar:
            members = set(tar.getnames())
            found = _docker_names(tar) if "manifest.json" in members else _oci_names(tar)
    except (OSError, tarfile.TarError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ClusterError(f"{archive} is not an image archive: {error}") from error
    full = [name for name in found if "/" in name and ":" in name.rpartition("/")[2]]
    if not full:
        names = f"only {', '.join(found)}" if found else "none"
        raise ClusterError(f"{archive} names no image in full ({names}); write it as oci-archive:FILE:HOST/NAME:TAG")
    return full


def _oci_names(tar: tarfile.TarFile) -> list[str]:
    found = []
    for manifest in _load(tar, "index.json")["manifests"]:
        annotations = manifest.get("annotations", {})
        if name := annotations.get(_NAME) or annotations.get(_REF_NAME):
            found.append(str(name))
    return found


def _docker_names(tar: tarfile.TarFile) -> list[str]:
    return [str(name) for image in _load(tar, "manifest.json") for name in image.get("RepoTags") or ()]


def _load(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise ValueError(f"{name} is no file")
    return json.load(member)


def _describe(media: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)  # owner 0, time 0: nothing depends on this machine
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
