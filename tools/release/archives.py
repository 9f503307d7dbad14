"""Archives and checksums that are equal byte for byte whenever their contents are."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.release.errors import ReleaseError

SUMS = "SHA256SUMS"


def pack(folder: Path, target: Path, prefix: str, epoch: int) -> Path:
    """Write the files of a folder to a gzipped tar archive.

    Args:
        folder: its files get into the archive, in order of their paths.
        target: the archive.
        prefix: folder inside the archive that holds everything.
        epoch: time of every file, in seconds since 1970.

    Returns:
        The archive.
    """
    paths = (each for each in folder.rglob("*") if each.is_file())
    _write({f"{prefix}/{each.relative_to(folder).as_posix()}": each.read_bytes() for each in paths}, target, epoch)
    return target


def sort(archive: Path, epoch: int) -> None:
    """Put the files of a gzipped tar archive in order: Helm 4.3 packs an umbrella's parts in any order."""
    with tarfile.open(archive) as packed:
        files = {each.name: file.read() for each in packed if (file := packed.extractfile(each)) is not None}
    _write(files, archive, epoch)


def _write(files: Mapping[str, bytes], target: Path, epoch: int) -> None:
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as packed,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), epoch, 0o644
            packed.addfile(entry, io.BytesIO(files[name]))


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(paths: Iterable[Path], target: Path) -> None:
    """Write what `sha256sum --check` reads."""
    target.write_text("".join(f"{digest(each)}  {each.name}\n" for each in sorted(paths)), "utf-8")


def read_sums(folder: Path) -> Mapping[str, str]:
    """Digests by name of file, from the folder's list.

    Raises:
        ReleaseError: there is no list, or a line of it cannot be read.
    """
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
        return {name: value for value, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{folder / SUMS} cannot be read ({error}); run ./taskw release:package") from error
