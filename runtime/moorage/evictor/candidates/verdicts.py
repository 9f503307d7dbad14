"""The verdicts on pods and nodes."""

from __future__ import annotations

from typing import NamedTuple

from .reasons import NodeFinding, PodFinding, Stance


class PodVerdict(NamedTuple):
    """What a pod means for its node.

    Attributes:
        key: the pod, ``namespace/name``.
        stance: the answer.
        findings: every reason for it, the weightiest first.
    """

    key: str
    stance: Stance
    findings: tuple[PodFinding, ...]


class NodeVerdict(NamedTuple):
    """Whether a node may be emptied.

    Attributes:
        name: the node.
        findings: every reason against it that is not a pod's.
        pods: what its pods mean for it.
    """

    name: str
    findings: tuple[NodeFinding, ...]
    pods: tuple[PodVerdict, ...]

    @property
    def may_go(self) -> bool:
        """Whether it may be emptied and marked for removal; an empty node: whether it may be marked."""
        return not self.findings and not self.holders

    @property
    def holders(self) -> tuple[PodVerdict, ...]:
        """The pods that hold it."""
        return tuple(pod for pod in self.pods if pod.stance is Stance.HOLDS)

    @property
    def empty(self) -> bool:
        """Whether no pod would have to be moved."""
        return all(pod.stance is Stance.STAYS for pod in self.pods)

    @property
    def receives(self) -> bool:
        """Whether pods of other nodes may be moved to it, as far as its own state decides."""
        return all(finding.reason.receives for finding in self.findings)
