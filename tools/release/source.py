"""What a release is made of: the tracked files of one commit, and its time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError
from tools.release.versions import ROOT


@dataclass(frozen=True)
class Source:
    """The commit that is packaged.

    Attributes:
        commit: its whole name.
        epoch: its time in seconds since 1970; every archive has it (https://reproducible-builds.org/specs/source-date-epoch).
        changed: files that differ from the commit.
    """

    commit: str
    epoch: int
    changed: tuple[str, ...]

    @property
    def revision(self) -> str:
        """The commit, with `-dirty` if files differ from it."""
        return self.commit + ("-dirty" if self.changed else "")


def read(root: Path = ROOT) -> Source:
    """The checked out commit.

    Raises:
        ReleaseError: the folder is no git checkout.
    """
    commit, epoch = _git(root, "log", "-1", "--format=%H %ct").split()
    changed = _git(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    return Source(commit, int(epoch), tuple(sorted(line[3:] for line in changed)))


def copy(folders: Sequence[str], target: Path, root: Path = ROOT) -> None:
    """Copy tracked files, so that nothing that a test or an editor has left gets into an archive.

    Args:
        folders: paths from the root; their files keep these paths. Links to folders are followed.
        target: an existing folder.
        root: of the checkout.
    """
    for name in sorted(_git(root, "ls-files", "-z", "--", *folders).split("\0")):
        path = root / name
        if not name or not path.exists():
            continue
        if path.is_dir():  # the umbrella's parts are links to the charts beside it
            copy([path.resolve().relative_to(root.resolve()).as_posix()], target, root)
            shutil.copytree(target / path.resolve().relative_to(root.resolve()), target / name, dirs_exist_ok=True)
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ReleaseError(f"git cannot run: {error}; install git") from error
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]}: {done.stderr.strip()}; make a release from a git checkout")
    return done.stdout if "-z" in arguments or "--porcelain" in arguments else done.stdout.strip()
