"""Full-jitter exponential back-off: after an outage, clients come back spread out instead of all at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_chance = random.Random()  # noqa: S311 - spreads load, guards nothing; one for all: seeding costs more than a request


@dataclass
class Backoff:
    """Delays that grow with each failure and are drawn evenly, from zero or a part of it, up to the current ceiling.

    Attributes:
        base: first ceiling in seconds.
        cap: highest ceiling in seconds.
        least: the part of the ceiling that is waited at least (0 to 1).
    """

    base: float = 0.2
    cap: float = 30.0
    least: float = 0.0
    failures: int = field(default=0, init=False)
    _random: random.Random = field(default=_chance, repr=False)

    def next(self) -> float:
        """Count one more failure and draw the seconds to wait."""
        ceiling = min(self.cap, self.base * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._random.uniform(self.least * ceiling, ceiling)

    def reset(self) -> None:
        """Forget the failures, after something has worked."""
        self.failures = 0
