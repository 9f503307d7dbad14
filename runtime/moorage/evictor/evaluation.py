"""Evaluates a cluster: which nodes may be emptied, and which are chosen. The source of the objects does not matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .candidates import judge
from .compaction import Cluster, History, Plan, Stopped, choose, never
from .configuration import Configuration
from .inventory import Inventory


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result.

    Attributes:
        inventory: the input.
        configuration: the configuration.
        cluster: the same as what is chosen from: snapshot, view, verdicts.
        plan: what was chosen, and for each other node why not.
    """

    inventory: Inventory
    configuration: Configuration
    cluster: Cluster
    plan: Plan


def evaluate(
    inventory: Inventory, configuration: Configuration, history: History, stopped: Callable[[], bool] = never
) -> Evaluation:
    """Evaluate a cluster. It takes seconds for a thousand nodes, and changes no argument.

    Args:
        inventory: all objects.
        configuration: settings and rules.
        history: the recent evictions.
        stopped: returns True when the caller does not need the answer any more.

    Returns:
        The verdicts and the plan; the same for the same input.

    Raises:
        Stopped: the caller does not need the answer any more.
    """
    snapshot, inventory = inventory.counted()
    if stopped():
        raise Stopped
    view = inventory.view()
    verdicts = judge(view, configuration.policy)
    cluster = Cluster(snapshot, view, verdicts, inventory.templates())
    return Evaluation(inventory, configuration, cluster, choose(cluster, configuration.choice, history, stopped))
