"""Where a plugin's program is, and if it cannot be started, why.

Follows Go's os/exec LookPath (lp_unix.go), as client-go does: our own PATH counts, not that of the plugin's variables,
and nothing runs from the current folder unless it is named with a slash. We look ourselves because the system has one
error for two things: a folder of PATH that may not be searched, and a program that may not be run.
"""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

INSTALL = "Install it, or correct exec.command"
ALLOW = "Make it executable, or correct exec.command"
CORRECT = "Correct exec.command"


class NoProgram(Exception):
    """There is no program that could be started.

    Args:
        what: what is the matter, as the end of a sentence that begins with its name.
        way_out: what to do about it.
        absent: whether there is nothing of that name at all, so that a hint how to install it helps.
    """

    def __init__(self, what: str, way_out: str, *, absent: bool = False) -> None:
        super().__init__(what)
        self.what, self.way_out, self.absent = what, way_out, absent


class _Look(Enum):
    RUNS = auto()
    ABSENT = auto()
    FOLDER = auto()
    REFUSED = auto()
    HIDDEN = auto()
    """A folder above it may not be searched: it may be there or not."""


def find(command: str, path: str) -> str:
    """Find a program.

    Args:
        command: its name, or its path when it has a slash.
        path: the folders to look in, as $PATH has them; relative ones are left out.

    Returns:
        Its path.

    Raises:
        NoProgram: there is none that we may run.
        ValueError: the name holds a null character.
    """
    if "/" in command:
        look = _look(command)
        if look is _Look.RUNS:
            return command
        what, way_out = _FLAWS[look]
        raise NoProgram(what, way_out, absent=look is _Look.ABSENT)
    folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    looks = {folder: _look(os.path.join(folder, command)) for folder in folders}
    found = {look: os.path.join(folder, command) for folder, look in reversed(looks.items())}  # the first of each
    if _Look.RUNS in found:
        return found[_Look.RUNS]
    if _Look.REFUSED in found:
        raise NoProgram(f"was found as {found[_Look.REFUSED]}, which may not be run by us", ALLOW)
    hidden = ", ".join(folder for folder, look in looks.items() if look is _Look.HIDDEN)
    but = f" that we may search; we may not search {hidden}" if hidden else ""
    where = f"in any folder of PATH{but}" if folders else "because PATH names no folder"
    raise NoProgram(f"was not found {where}", INSTALL, absent=True)


_FLAWS = {
    _Look.ABSENT: ("was not found", INSTALL),
    _Look.FOLDER: ("is a folder", CORRECT),
    _Look.REFUSED: ("may not be run by us", ALLOW),
    _Look.HIDDEN: ("is in a folder that we may not search", "Allow that, or correct exec.command"),
}


def _look(path: str) -> _Look:
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return _Look.HIDDEN
    except OSError:
        return _Look.ABSENT
    if stat.S_ISDIR(mode):
        return _Look.FOLDER
    return _Look.RUNS if os.access(path, os.X_OK) else _Look.REFUSED
