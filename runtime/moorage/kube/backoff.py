"""Full-jitter exponential back-off: after an outage, clients reconnect at different times."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_chance = random.Random()  # noqa: S311 - spreads load, guards nothing; one for all: seeding costs more than a request


@dataclass
class Backoff:
    """Random delays between zero (or a part of the ceiling) and a ceiling that doubles with each failure.

    Attributes:
        base: first ceiling in seconds.
        cap: highest ceiling in seconds.
        least: the part of the ceiling that is the shortest delay (0 to 1).
    """

    base: float = 0.2
    cap: float = 30.0
    least: float = 0.0
    failures: int = field(default=0, init=False)
    _random: random.Random = field(default=_chance, repr=False)

    def next(self) -> float:
        """Count one more failure and return the delay in seconds."""
        ceiling = min(self.cap, self.base * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._random.uniform(self.least * ceiling, ceiling)

    def reset(self) -> None:
        """Reset the ceiling after a success."""
        self.failures = 0
