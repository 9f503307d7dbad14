"""One look at a cluster: who may go, and which of them go; the same whether the objects come from an API or a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .candidates import judge
from .compaction import Cluster, History, Plan, Stopped, choose, never
from .configuration import Configuration
from .inventory import Inventory


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes:
        inventory: what was looked at.
        configuration: what was in force.
        cluster: the same as what is chosen from: snapshot, view, verdicts.
        plan: what was chosen, and for each other node why not.
    """

    inventory: Inventory
    configuration: Configuration
    cluster: Cluster
    plan: Plan


def look(
    inventory: Inventory, configuration: Configuration, history: History, stopped: Callable[[], bool] = never
) -> Look:
    """Look at a cluster; takes seconds for a thousand nodes, and changes nothing that it is given.

    Args:
        inventory: all objects.
        configuration: settings and rules.
        history: the evictions of late.
        stopped: asked now and then whether nobody wants the answer any more.

    Returns:
        The verdicts and the plan; the same for the same input.

    Raises:
        Stopped: nobody does.
    """
    snapshot, inventory = inventory.counted()
    if stopped():
        raise Stopped
    view = inventory.view()
    verdicts = judge(view, configuration.policy)
    cluster = Cluster(snapshot, view, verdicts, inventory.templates())
    return Look(inventory, configuration, cluster, choose(cluster, configuration.choice, history, stopped))
