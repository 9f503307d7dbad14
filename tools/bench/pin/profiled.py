"""Runs the command `moorage` under cProfile: `python -m tools.bench.pin.profiled FILE ARGUMENTS…`.

It counts the CPU time of the event loop's thread. On a busy machine wall time would mostly show other processes.
"""

from __future__ import annotations

import cProfile
import runpy
import sys
import time


def main() -> None:
    """Run the command, and write the figures when it exits."""
    _, file, *arguments = sys.argv
    sys.argv = ["moorage", *arguments]
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.enable()
        runpy.run_module("moorage.cli", run_name="__main__")
    finally:
        profile.disable()
        profile.dump_stats(file)


if __name__ == "__main__":
    main()
