"""Becomes another program that the kernel kills when its owner ends.

Run as `python -I -S child.py OWNER_PID PROGRAM ARGUMENTS…`. It is a separate program, because code between fork and
exec is not safe in an owner with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, death_signal: int) -> None:
    """Asks the kernel to send `death_signal` to this process when the thread that started it ends.

    Raises:
        OSError: the kernel refused.
        ProcessLookupError: the parent has already ended.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # If the parent has ended before the call above, no signal will ever come.
    if death_signal and os.getppid() != parent:
        raise ProcessLookupError(f"the owner {parent} is gone")


def main() -> None:
    """Ties this process to its owner, then becomes the program."""
    owner, *command = sys.argv[1:]
    try:
        die_with_parent(int(owner), signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores SIGPIPE, and the program would inherit that
        os.execv(command[0], command)  # noqa: S606 - a shell is what must not be here
    except OSError as error:
        sys.exit(f"{command[0]} not started: {error}")


if __name__ == "__main__":
    main()
