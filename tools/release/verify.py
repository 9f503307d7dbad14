"""Checks a folder of a release: checksums, provenance, and signatures against a public key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from tools.release import archives, images, signing
from tools.release.errors import ReleaseError
from tools.release.packages import ENVELOPE, RECORD, SIGNATURE, STATEMENT


@dataclass(frozen=True)
class Release:
    """A release whose files are as they were made.

    Attributes:
        folder: with the files.
        version: of the release.
        epoch: time of the commit, in seconds since 1970.
        name: the image's name with its tag.
        image: the image.
        charts: the archives of the charts.
    """

    folder: Path
    version: str
    epoch: int
    name: str
    image: images.Image
    charts: tuple[Path, ...]


def verify(folder: Path, key: EllipticCurvePublicKey | None = None) -> Release:
    """Check every file of a release.

    Args:
        folder: that `release:package` has made.
        key: whose signatures there must be; None checks no signature.

    Raises:
        ReleaseError: a file is missing, changed, or not signed by the key.
    """
    if key is not None:
        signed = _read(folder / SIGNATURE)
        signing.verify(key, _read(folder / archives.SUMS).encode(), signed, archives.SUMS)
        if signing.opened(key, _read(folder / ENVELOPE), ENVELOPE) != _read(folder / STATEMENT).encode():
            raise ReleaseError(f"{folder / ENVELOPE} holds another statement than {STATEMENT}; do not use it")
    sums = archives.read_sums(folder)
    for name, value in sums.items():
        if not (folder / name).is_file():
            raise ReleaseError(f"{folder / name} is missing; package the release again")
        if archives.digest(folder / name) != value:
            raise ReleaseError(f"{folder / name} is not the file that was packaged; package the release again")
    record = json.loads(_read(folder / RECORD))
    image = images.read(folder / f"moorage-{record['version']}.oci.tar")
    subjects = {each["name"]: each["digest"]["sha256"] for each in json.loads(_read(folder / STATEMENT))["subject"]}
    described = {name: value for name, value in sums.items() if name != STATEMENT}
    if subjects != {**described, record["image"]: image.digest.removeprefix("sha256:")}:
        raise ReleaseError(
            f"{folder / STATEMENT} describes other files than {archives.SUMS}; package the release again"
        )
    charts = tuple(sorted(folder.glob("*.tgz")))
    return Release(folder, record["version"], record["epoch"], record["image"], image, charts)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}; is it a release, and is it signed?") from error
