"""What tells of a kubelet that has not reported for its Node yet: its Lease and its CSINode come about when it starts.

``kubeletVersion`` lags behind a kubelet that has just joined. So nothing is destroyed that such a kubelet may hold, as
long as anything tells of one: no pod is deleted without grace, and no Node while the kubelet seems to live. Pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from moorage.objects import Lease
from moorage.reservations import moment

from ..names import RENEWED_ANNOTATION

QUIET = timedelta(seconds=40)
"""A Lease that nobody has renewed for so long tells of no living kubelet: it renews every ten seconds."""


class Signs(NamedTuple):
    """What tells of a kubelet.

    Attributes:
        text: a sentence; empty when nothing does.
        alive: whether it tells of one that runs now.
    """

    text: str = ""
    alive: bool = False


NONE = Signs()
UNKNOWN = Signs("nobody has looked for a kubelet")


def is_ours(lease: Lease) -> bool:
    """Whether nobody but us has renewed a Lease since we did.

    A kubelet that finds one keeps our annotation and writes its own renewTime (k8s.io/component-helpers, newLease).
    """
    renewed = moment(lease.spec.renew_time or "")
    return renewed is None or renewed == moment(lease.metadata.annotations.get(RENEWED_ANNOTATION, ""))
