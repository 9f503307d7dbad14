"""The report of an evaluation as plain data, for people and programs.

The JSON form has the same fields, in lowerCamelCase. ``VERSION`` grows when a field changes its meaning or goes away;
new ones may come at any time. ``docs/reference/evictor-report.md`` is made from the descriptions here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

VERSION = 1

About = Literal["node", "pod", "choice"]


class Data(msgspec.Struct, frozen=True, rename="camel"):
    """Plain data with a JSON form."""


class Configured(Data, frozen=True):
    """The effective settings, by the names of the chart's values.

    Attributes:
        enabled: whether the evictor does anything.
        aggressive_mode: whether single replicas and Jobs may go, too.
        scoped_mode: whether only nodes with a certain label may go.
        node_grace_period_minutes: how long a node must exist.
        drain_timeout_seconds: how long emptying a node may take.
        windows: whether Windows nodes may go.
        rules: how many advanced rules there are.
        max_target_nodes_per_cycle: at most so many nodes go in a cycle; null: no bound.
        min_target_nodes_per_cycle: at least so many are considered.
        target_node_percentage: of the nodes that may be emptied, so many in a hundred go in a cycle.
        limit: the number of nodes that these three settings allow.
        target_utilization: how full CPU and memory of a node may get by what is moved to it, in percent.
        quiet_period_seconds: how long no node is emptied after a node was created.
        owner_window_seconds: within which time an owner sees at most max(1, replicas) evictions.
        allow_spot: whether pods of on-demand nodes may be moved to spot nodes.
        arm64_supported: whether pods may be moved to arm64 nodes.
    """

    enabled: bool
    aggressive_mode: bool
    scoped_mode: bool
    node_grace_period_minutes: float
    drain_timeout_seconds: float
    windows: bool
    rules: int
    max_target_nodes_per_cycle: int | None
    min_target_nodes_per_cycle: int
    target_node_percentage: int
    limit: int
    target_utilization: float
    quiet_period_seconds: float
    owner_window_seconds: float
    allow_spot: bool
    arm64_supported: bool


class Amounts(Data, frozen=True):
    """Amounts of requests.

    Attributes:
        cpu_millis: thousandths of a core.
        memory_bytes: bytes.
        pods: how many pods.
    """

    cpu_millis: int
    memory_bytes: int
    pods: int


class Usage(Data, frozen=True):
    """The allocatable resources of a node, and the requests of its pods.

    Attributes:
        allocatable: what it has for pods; 0 of what cannot be read.
        before: the requests now.
        after: what would be once the plan is carried out; of a chosen node what goes with it.
    """

    allocatable: Amounts
    before: Amounts
    after: Amounts


class Why(Data, frozen=True):
    """A reason.

    Attributes:
        reason: its name, which never changes.
        sentence: the same for people.
        detail: its particulars, for example the budget; may be empty.
        pod: the pod it is about, where a node has it because of one; may be empty.
    """

    reason: str
    sentence: str
    detail: str = ""
    pod: str = ""

    def __str__(self) -> str:
        """Return the sentence with its particulars."""
        return f"{self.sentence} ({self.detail})" if self.detail else self.sentence


class Movement(Data, frozen=True):
    """A pod that would be evicted.

    Attributes:
        pod: ``namespace/name``.
        node: where its replacement would go.
    """

    pod: str
    node: str


class Held(Data, frozen=True):
    """A pod that holds its node.

    Attributes:
        pod: ``namespace/name``.
        controller: the topmost controller that is known of it; empty when it has none.
        reasons: all, the weightiest first.
    """

    pod: str
    controller: str
    reasons: tuple[Why, ...]


class NodeReport(Data, frozen=True):
    """One node.

    Attributes:
        name: the node.
        instance_type: by its label; empty when it has none.
        zone: by its label; empty when it has none.
        capacity_type: ``spot`` or ``on-demand``; whatever is not known to be spot counts as on-demand.
        price: in the report's unit.
        usage: null when the fit check does not know the node.
        may_go: whether the rules allow to empty it.
        chosen: whether it could go, together with all others that are chosen.
        moves: where the pods of a chosen node would go, in the order in which they fit.
        reasons: what about the node itself speaks against emptying it.
        holders: the pods that hold it.
        kept: why it was not chosen although it may go.
    """

    name: str
    instance_type: str
    zone: str
    capacity_type: str
    price: float
    usage: Usage | None
    may_go: bool
    chosen: bool
    moves: tuple[Movement, ...] = ()
    reasons: tuple[Why, ...] = ()
    holders: tuple[Held, ...] = ()
    kept: tuple[Why, ...] = ()


class Holding(Data, frozen=True):
    """How much one reason holds.

    Attributes:
        reason: its name.
        sentence: the same for people.
        about: whether it is about the ``node``, a ``pod`` of it, or the ``choice`` among the nodes that may go.
        nodes: how many nodes have it, perhaps with others.
        only: how many have no other: without this reason nothing would hold them. Whether they would be chosen then is
            another question.
        pods: how many pods have it.
        price: what the nodes with no other cost.
        example: of a node with it, and no other if there is one; with the pod and the detail.
        example_node: that node.
    """

    reason: str
    sentence: str
    about: About
    nodes: int
    only: int
    pods: int
    price: float
    example: Why
    example_node: str


class Holder(Data, frozen=True):
    """How much the pods of one controller hold.

    Attributes:
        controller: for example ``Deployment shop/web``; a pod where it has no controller.
        nodes: how many nodes they hold, perhaps with others.
        only: how many of these nothing else holds.
        pods: how many pods.
        reasons: the names of all reasons.
    """

    controller: str
    nodes: int
    only: int
    pods: int
    reasons: tuple[str, ...]


class Unseen(Data, frozen=True):
    """A kind that could not be listed.

    Attributes:
        kind: for example ``Job``.
        reason: why not.
        hides: what is unknown because of it.
    """

    kind: str
    reason: str
    hides: str


class Unread(Data, frozen=True):
    """An object of which not all can be read.

    Attributes:
        kind: for example ``Pod``.
        key: ``namespace/name``, or the name alone.
        reason: the field, and the problem.
    """

    kind: str
    key: str
    reason: str


class Report(Data, frozen=True):
    """The report of an evaluation.

    Attributes:
        version: of this form.
        when: the time at which the cluster was so.
        source: the source of the objects.
        configuration: what was in force.
        unit: ``units`` of the pricing model, or ``money`` per hour, in whatever currency prices were stated.
        total: what all nodes cost.
        freed: what the chosen ones cost.
        part: the second by the first.
        nodes: how many there are.
        may_go: how many of them may go by the rules.
        pods: how many there are, in all states.
        moved: how many would be moved.
        steps: how many steps choosing took.
        cut_off: whether steps ran out: then more nodes might go.
        chosen: the nodes that could go, in the order in which they would.
        others: all others, by name.
        holding: how much each reason holds, that which holds most first.
        holders: the controllers whose pods hold most.
        unpriced: the nodes without a price, for which prices are in units.
        unplaced: pods without a node that fit nowhere now.
        unseen: the kinds that could not be listed.
        unread: objects of which not all can be read.
    """

    version: int
    when: datetime
    source: str
    configuration: Configured
    unit: str
    total: float
    freed: float
    part: float
    nodes: int
    may_go: int
    pods: int
    moved: int
    steps: int
    cut_off: bool
    chosen: tuple[NodeReport, ...]
    others: tuple[NodeReport, ...]
    holding: tuple[Holding, ...]
    holders: tuple[Holder, ...]
    unpriced: tuple[str, ...]
    unplaced: tuple[str, ...]
    unseen: tuple[Unseen, ...]
    unread: tuple[Unread, ...]
