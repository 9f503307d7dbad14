"""How much the event recorder may write and remember."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

BURST, REFILL = 25, 1 / 300
"""New Events about one object: so many at once, then one in five minutes."""
MAX_REMEMBERED = 4096
"""Objects, and Events, of which the recorder knows the past."""

K = TypeVar("K")
V = TypeVar("V")


class Remembered(OrderedDict[K, V], Generic[K, V]):
    """A dictionary that forgets what was not used for longest."""

    def recall(self, key: K) -> V | None:
        """The value of a key, which counts as use, or None."""
        if key in self:
            self.move_to_end(key)
        return self.get(key)

    def remember(self, key: K, value: V) -> V:
        """Store and return a value."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > MAX_REMEMBERED:
            self.popitem(last=False)
        return value


@dataclass
class Bucket:
    """Tokens for new Events about one object.

    Attributes:
        since: moment (seconds) for which ``tokens`` holds.
        tokens: how many Events may be written at once.
    """

    since: float
    tokens: float = BURST

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        self.tokens = min(BURST, self.tokens + (now - self.since) * REFILL)
        self.since = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def cut(text: str, limit: int) -> str:
    """Shorten to so many bytes of UTF-8, never inside a character, and show that something is missing."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"
