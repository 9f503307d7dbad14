"""Does this pod fit there, and why not? Pure: objects in, verdicts out, no I/O.

Equal to the default PreFilter and Filter plugins of kube-scheduler v1.36.3 with its default feature gates; what those
cannot decide from a snapshot is "unknown", and so is what an object could change that cannot be read. Feed a
``Snapshot`` from the watch cache with ``apply``, ``delete`` and ``doubt``, ask it with ``verdict``, ``fits``,
``fitting``, ``first_fit`` and ``best_fit``, try things out between ``mark`` and ``rollback`` (or in a ``trial``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .admission import stored
    from .reasons import Finding, Fit, Reason, Verdict
    from .snapshot import Snapshot
    from .state import SnapshotError
    from .unread import Unread

__all__ = ["Finding", "Fit", "Reason", "Snapshot", "SnapshotError", "Unread", "Verdict", "stored"]

_HOMES = {
    "Finding": "reasons",
    "Fit": "reasons",
    "Reason": "reasons",
    "Snapshot": "snapshot",
    "SnapshotError": "state",
    "Unread": "unread",
    "Verdict": "reasons",
    "stored": "admission",
}


def __getattr__(name: str) -> object:
    """Load what is asked for when it is: numpy costs a tenth of a second, and few commands check fit."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
