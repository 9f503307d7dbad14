"""The inputs of the image, and a key that changes with any of them."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "ghcr.io/moorage/moorage"

# Sources of the image's files and of its build. Their last commit is the image's revision.
SOURCES = (
    "runtime",
    "requirements/image.txt",
    "requirements/image-build.txt",
    "tools/image/assemble.py",
    "tools/image/bill.py",
    "tools/image/elf.py",
    "LICENSE",
    ".dockerignore",
)
BASE_SOURCES = ("tools/image/debian.py",)
BUILD_SOURCES = ("runtime/Dockerfile", "tools/image/archive.py")


@functools.cache
def version() -> str:
    """The version of runtime/pyproject.toml, which is also the image's tag."""
    with (ROOT / "runtime/pyproject.toml").open("rb") as file:
        found: str = tomllib.load(file)["project"]["version"]
    return found


def name() -> str:
    """The image's whole name."""
    return f"{REPOSITORY}:{version()}"


def revision() -> str:
    """The last commit that changed a source, with `-dirty` if the checkout differs from it.

    Returns:
        A commit, or `unknown` outside a git checkout.
    """
    commit = _git("log", "-1", "--format=%H", "--", *SOURCES)
    if not commit:
        return "unknown"
    return commit + ("-dirty" if _git("status", "--porcelain", "--", *SOURCES) else "")


def epoch() -> int:
    """The time of the revision's commit in seconds since 1970; that of the image's files outside a git checkout."""
    return int(_git("log", "-1", "--format=%ct", "--", *SOURCES) or 1_577_836_800)


def key() -> str:
    """Digest of all inputs of the built image.

    Returns:
        Hexadecimal.
    """
    return _digest((*SOURCES, *BASE_SOURCES, *BUILD_SOURCES), base_key(), revision())


def base_key() -> str:
    """Digest of all inputs of the local bases: their build, and this machine's release and processor.

    Returns:
        Hexadecimal.
    """
    release = Path("/etc/os-release")
    return _digest(BASE_SOURCES, release.read_text() if release.exists() else "", platform.machine())


def _digest(sources: tuple[str, ...], *more: str) -> str:
    total = hashlib.sha256()
    for path in sorted(_files(sources)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    for text in more:
        total.update(f"{len(text)} {text}\n".encode())
    return total.hexdigest()


def _files(sources: tuple[str, ...]) -> Iterator[Path]:
    for source in sources:
        path = ROOT / source
        if path.is_dir():
            yield from (each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
        else:
            yield path


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
