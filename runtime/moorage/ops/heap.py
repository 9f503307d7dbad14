"""Keeps garbage collections short: what lives long is left out of them.

A full collection walks over every object that may be part of a cycle. With the caches of 10,000 pods and what is
counted of them that stops the process for 0.1 s and more, whenever enough other objects have come.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pauses = 0


def keep() -> None:
    """Leave everything that is there out of later collections; call it when much was made that lives long.

    Nothing is collected before, because that would walk over all of it. Garbage of this moment stays until ``renew``.
    """
    gc.freeze()


def renew() -> None:
    """Collect everything once, and leave out the rest; call it when much of what was kept has gone."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """No collection in this block, in which much is made that ends with it or lives on: each would walk over all of it.

    A collection holds every thread. So work in a thread does not block the event loop only if there is none.
    """
    global _pauses
    with _lock:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses:
                gc.enable()
