"""Does this pod fit there, and why not? Pure: objects in, verdicts out, no I/O.

Equal to the default PreFilter and Filter plugins of kube-scheduler v1.36.3 with its default feature gates; what those
cannot decide from a snapshot is "unknown". Feed a ``Snapshot`` from the watch cache with ``apply`` and ``delete``,
ask it with ``verdict``, ``fits``, ``fitting`` and ``first_fit``, try things out between ``mark`` and ``rollback`` (or
in a ``trial``).
"""

from .admission import stored
from .fit import Snapshot
from .reasons import Finding, Fit, Reason, Verdict
from .snapshot import SnapshotError

__all__ = ["Finding", "Fit", "Reason", "Snapshot", "SnapshotError", "Verdict", "stored"]
