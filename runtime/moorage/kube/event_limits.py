"""Limits of the event recorder: rate and memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

BURST, REFILL = 25, 1 / 300
"""New Events about one object: this many at once, then one every five minutes."""
MAX_REMEMBERED = 4096
"""Number of objects, and of Events, that the recorder remembers."""

K = TypeVar("K")
V = TypeVar("V")


class Remembered(OrderedDict[K, V], Generic[K, V]):
    """A dictionary that drops the entry that was not used for longest."""

    def recall(self, key: K) -> V | None:
        """The value of a key, or None. Marks the entry as used."""
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
    """Token bucket for new Events about one object.

    Attributes:
        since: the moment, in seconds, at which the bucket had ``tokens``.
        tokens: the number of Events that may be written at once.
    """

    since: float
    tokens: float = BURST

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.tokens = min(BURST, self.tokens + (now - self.since) * REFILL)
        self.since = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def cut(text: str, limit: int) -> str:
    """Cut a text to a number of UTF-8 bytes, never inside a character, and append an ellipsis."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"
