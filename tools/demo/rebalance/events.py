"""What happens in the rebalancing's demo, as recorded."""

from __future__ import annotations

from typing import TypeAlias

from tools.demo import events as pinner
from tools.demo.common.events import Event, Said
from tools.demo.common.workloads import BudgetSeen, PodSeen, Watched
from tools.demo.evictor import events as evictor

Going = evictor.NodeState
Coming = pinner.NodeState


class OldSeen(Event, frozen=True):
    """A node that is to be emptied is in this state now; it has so much CPU (milli-cores) for pods."""

    node: str
    state: Going
    cpu: int
    ready: bool = True


class Planned(Event, frozen=True):
    """The plan promises a node of so much CPU (milli-cores) and so many devices, with so many slots."""

    node: str
    cpu: int
    slots: int
    devices: int = 0


class NewSeen(Event, frozen=True):
    """A node of the plan is in this state now."""

    node: str
    state: Coming


class SlotsSeen(Event, frozen=True):
    """So many slots of a node are filled: pinned or steered by the webhook, bound, or by the scheduler alone."""

    node: str
    webhook: int = 0
    steered: int = 0
    binding: int = 0
    scheduler: int = 0


class Nominated(Event, frozen=True):
    """A reservation says that the pinner has nominated a pod to its node."""

    pod: str
    node: str


class Failed(Event, frozen=True):
    """A pod is Failed, and nobody has deleted it."""

    pod: str


class LeaderSeen(Event, frozen=True):
    """This replica of the pinner holds the Lease now; empty: none does."""

    replica: str


class WebhookSeen(Event, frozen=True):
    """The API server is told to ask this replica about pods that are created; empty: it is to ask nobody."""

    replica: str


class Killed(Event, frozen=True):
    """This replica was ended by SIGKILL."""

    replica: str


AnyEvent: TypeAlias = (
    OldSeen
    | Planned
    | NewSeen
    | SlotsSeen
    | Nominated
    | Failed
    | LeaderSeen
    | WebhookSeen
    | Killed
    | PodSeen
    | Watched
    | BudgetSeen
    | Said
)
