"""How far a build is, how long it will take, and what it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tools.toolchain.manifest import Cost

LINK_CPU_SECONDS = 6  # one large program, linked alone
MEMORY_PER_JOB_MIB = 2048


@dataclass(frozen=True)
class Needs:
    """What a build is going to take."""

    seconds: float
    disk_mib: int
    memory_mib: int


def needs(costs: Iterable[tuple[Cost, int | None, int]], jobs: int) -> Needs:
    """Estimate the builds of several folders, one after the other.

    Args:
        costs: per folder: its cost from cold, packages still to be compiled (None: not known, so all), programs.
        jobs: compilations at a time.

    Returns:
        Wall-clock seconds and disk added up, memory of the hungriest.
    """
    seconds, disk, memory = 0.0, 0, 0
    for cost, packages, programs in costs:
        share = 1.0 if packages is None else min(1.0, packages / cost.packages)
        seconds += (share * cost.cpu_seconds + programs * LINK_CPU_SECONDS) / jobs
        disk += int(share * cost.disk_mib) + programs * 100
        memory = max(memory, cost.memory_mib)
    return Needs(seconds, disk, memory)


def parallel(cores: int, memory_mib: int | None) -> int:
    """Choose how many compilations run at a time.

    Args:
        cores: processors.
        memory_mib: memory that is free, None when not known.

    Returns:
        At least 1; fewer than `cores` where there is less than 2 GiB for each.
    """
    return cores if memory_mib is None else max(1, min(cores, memory_mib // MEMORY_PER_JOB_MIB))


def eta(elapsed: float, done: int, todo: int, expected: float) -> float:
    """Estimate the seconds left of a compilation.

    The first packages are small and many, so the beginning says little: the measured speed replaces the expected
    duration gradually, in proportion to what is done.

    Args:
        elapsed: seconds since it began.
        done: packages compiled since then.
        todo: packages that were to be compiled when it began.
        expected: estimate of the whole duration, made before.

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
    """Say a duration the way people do.

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
    """Say an amount of memory or disk.

    Args:
        mib: MiB.

    Returns:
        `800 MiB` or `4.5 GiB`.
    """
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"
