"""The verdict about Deployments whose pods were moved: each kept its floor, and has all its pods in the end; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .workloads import Workloads


@dataclass(frozen=True)
class Floor:
    """One Deployment: pods it is to have, its floor, the fewest Ready pods ever seen, and those at the end."""

    replicas: int
    floor: int
    lowest: int
    ready: int

    @property
    def sentence(self) -> str:
        """For a line of its own."""
        return f"{self.replicas} replicas, floor {self.floor}, fewest Ready {self.lowest}"


def floors(state: Workloads) -> dict[str, Floor]:
    """Those of all Deployments that were watched, by name."""
    return {
        name: Floor(each.replicas, each.floor, each.lowest, state.ready(name)) for name, each in state.workloads.items()
    }


def floor_problems(state: Workloads) -> Iterator[str]:
    """What no Deployment may have met with, a sentence each; violations of budgets last."""
    for name, each in floors(state).items():
        if each.lowest < each.floor:
            yield f"Deployment {name} had {each.lowest} Ready pods, and its floor is {each.floor}"
        if each.ready != each.replicas:
            yield f"Deployment {name} has {each.ready} of {each.replicas} pods Ready in the end"
    yield from state.violations
