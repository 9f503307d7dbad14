"""The image of a release: an OCI archive of one image, or of one index of images for several processors."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError


@dataclass(frozen=True)
class Image:
    """An image in a file.

    Attributes:
        archive: an OCI layout in a tar archive.
        digest: of its only manifest or index, `sha256:…`. A push keeps it.
        several: True for an index.
    """

    archive: Path
    digest: str
    several: bool


def read(archive: Path) -> Image:
    """Look into an archive.

    Raises:
        ReleaseError: it is not an OCI archive, or has not exactly one image.
    """
    try:
        with tarfile.open(archive) as packed:
            file = packed.extractfile("index.json")
            entries = json.loads(file.read() if file else b"")["manifests"]
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ReleaseError(
            f"{archive} is not an OCI archive ({error}); ./taskw image:build writes one, and so does "
            "docker buildx build --output type=oci,dest=FILE"
        ) from error
    if len(entries) != 1:
        raise ReleaseError(f"{archive} holds {len(entries)} images; put those of all processors into one index")
    return Image(archive, entries[0]["digest"], entries[0].get("mediaType", "").endswith("index.v1+json"))


def unpack(image: Image, folder: Path) -> Path:
    """Write the layout into an empty folder, which is returned."""
    with tarfile.open(image.archive) as packed:
        for member in packed:  # by hand: Python 3.11.2 cannot filter what it extracts
            path = (folder / member.name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise ReleaseError(f"{image.archive} holds {member.name}, which is outside of its folder")
            if file := packed.extractfile(member):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
    return folder
