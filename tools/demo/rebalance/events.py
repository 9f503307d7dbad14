"""The events of the rebalancing demo, as recorded."""

from __future__ import annotations

from typing import TypeAlias

from tools.demo import events as pinner
from tools.demo.common.events import Event, Said
from tools.demo.common.workloads import BudgetSeen, PodSeen, Watched
from tools.demo.evictor import events as evictor

Going = evictor.NodeState
Coming = pinner.NodeState


class OldSeen(Event, frozen=True):
    """The current state of a node to be emptied, and its CPU for pods (milli-cores)."""

    node: str
    state: Going
    cpu: int
    ready: bool = True


class Planned(Event, frozen=True):
    """The plan promises a node with this CPU (milli-cores), these devices and these slots."""

    node: str
    cpu: int
    slots: int
    devices: int = 0


class NewSeen(Event, frozen=True):
    """The current state of a node of the plan."""

    node: str
    state: Coming


class SlotsSeen(Event, frozen=True):
    """The number of filled slots of a node: pinned or steered by the webhook, bound, or by the scheduler alone."""

    node: str
    webhook: int = 0
    steered: int = 0
    binding: int = 0
    scheduler: int = 0


class Nominated(Event, frozen=True):
    """A reservation records that the pinner has nominated a pod to its node."""

    pod: str
    node: str


class Failed(Event, frozen=True):
    """A pod is Failed, and still exists."""

    pod: str


class LeaderSeen(Event, frozen=True):
    """The replica of the pinner that holds the Lease. Empty: none."""

    replica: str


class WebhookSeen(Event, frozen=True):
    """The replica whose webhook is registered with the API server. Empty: none."""

    replica: str


class Killed(Event, frozen=True):
    """This replica was killed by SIGKILL."""

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
