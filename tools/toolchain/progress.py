"""Progress, duration and requirements of a build. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tools.toolchain.manifest import Cost

LINK_CPU_SECONDS = 6  # one large program, linked alone
MEMORY_PER_JOB_MIB = 2048


@dataclass(frozen=True)
class Needs:
    """The requirements of a build."""

    seconds: float
    disk_mib: int
    memory_mib: int


def needs(costs: Iterable[tuple[Cost, int | None, int]], jobs: int) -> Needs:
    """Estimate the builds of several folders, one after the other.

    Args:
        costs: per folder: its cost without cache, packages still to be compiled (None: unknown, so all), programs.
        jobs: compilations at a time.

    Returns:
        Sums of wall-clock seconds and disk, and the largest memory.
    """
    seconds, disk, memory = 0.0, 0, 0
    for cost, packages, programs in costs:
        share = 1.0 if packages is None else min(1.0, packages / cost.packages)
        seconds += (share * cost.cpu_seconds + programs * LINK_CPU_SECONDS) / jobs
        disk += int(share * cost.disk_mib) + programs * 100
        memory = max(memory, cost.memory_mib)
    return Needs(seconds, disk, memory)


def parallel(cores: int, memory_mib: int | None) -> int:
    """Choose the number of concurrent compilations.

    Args:
        cores: processors.
        memory_mib: free memory; None if unknown.

    Returns:
        At least 1, and fewer than `cores` if there is less than 2 GiB for each.
    """
    return cores if memory_mib is None else max(1, min(cores, memory_mib // MEMORY_PER_JOB_MIB))


def eta(elapsed: float, done: int, todo: int, expected: float) -> float:
    """Estimate the remaining seconds of a compilation.

    The first packages are small and many, so they say little. The measured speed replaces the expected duration
    gradually, in proportion to the progress.

    Args:
        elapsed: seconds since the start.
        done: packages compiled since then.
        todo: packages to be compiled at the start.
        expected: earlier estimate of the whole duration.

    Returns:
        Seconds, never negative.
    """
    if todo <= 0 or done >= todo:
        return 0.0
    share = done / todo
    left_expected = max(0.0, expected * (1 - share))
    if not done:
        return max(0.0, expected - elapsed)
    left_measured = elapsed * (todo - done) / done
    return (1 - share) * left_expected + share * left_measured


def duration(seconds: float) -> str:
    """Format a duration.

    Args:
        seconds: not negative.

    Returns:
        `45 s`, `2 min`, `1 h 10 min`; rounded up to 5 s below a minute and to minutes above.
    """
    if seconds < 60:
        return f"{max(5, -(-int(seconds) // 5) * 5)} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(mib: int) -> str:
    """Format an amount of memory or disk.

    Args:
        mib: MiB.

    Returns:
        `800 MiB` or `4.5 GiB`.
    """
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"
