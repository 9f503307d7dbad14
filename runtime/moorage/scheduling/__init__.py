"""Does this pod fit there, and why not? Pure: objects in, verdicts out, no I/O.

The verdicts equal those of the default PreFilter and Filter plugins of kube-scheduler v1.36.3 with its default feature
gates. A verdict is "unknown" when it cannot be decided from a snapshot, or when an object that cannot be read could
change it.

Feed a ``Snapshot`` from a watch cache with ``apply``, ``delete`` and ``doubt``. Ask it with ``verdict``, ``fits``,
``fitting``, ``first_fit`` and ``best_fit``. Simulate between ``mark`` and ``rollback``, or in a ``trial``.
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

_MODULES = {
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
    """Import a name on first use: NumPy takes a tenth of a second to load, and few commands check fit."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
