"""What can be chosen about the pinner's work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Choices for one pinner; durations in seconds.

    Attributes:
        profile: the provider profile of promises that name none.
        destinations: how pods are put on nodes that run, where they are expected: ``hard``, ``soft`` or ``off``.
        writes_in_flight: how many requests may be under way at a time. More make each cheaper for the servers, and cost
            memory (docs/benchmarks-notes.md); an API server takes 200 writes at once by default.
        lease_interval: how often the Lease of a placeholder is renewed; node-lifecycle waits 40 at least.
        settle_delay: how long notes for people and for later leaders wait for more to come.
        most_ends: how many times the pins of one owner may come to nothing within ten minutes; then none of its pods is
            pinned for an hour.
        sweeps_per_hour: how many failed pods of one controller are deleted in an hour that the pinner did not pin.
        retry_base: first ceiling of the back-off of a node whose step failed.
        retry_cap: highest ceiling of that back-off.
        repeat_base: how long a step that was tried, and is still wanted, waits at first; half of it at least.
        repeat_cap: how long it waits at most.
    """

    profile: str = "generic"
    destinations: str = "hard"
    writes_in_flight: int = 96
    lease_interval: float = 20.0
    settle_delay: float = 1.0
    most_ends: int = 3
    sweeps_per_hour: int = 10
    retry_base: float = 0.2
    retry_cap: float = 30.0
    repeat_base: float = 0.5
    repeat_cap: float = 60.0
