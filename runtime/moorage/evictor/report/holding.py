"""Adds up what holds nodes, by reason and by controller, so that people see what to change first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .model import About, Holder, Holding, NodeReport, Why


@dataclass(slots=True)
class _Count:
    nodes: int = 0
    only: int = 0
    pods: int = 0
    price: float = 0.0
    reasons: dict[str, None] = field(default_factory=dict)
    about: About = "node"
    example: tuple[str, Why] = ("", Why("", ""))


def reasons(others: Sequence[NodeReport]) -> tuple[Holding, ...]:
    """Return how many nodes each reason holds.

    Args:
        others: the nodes that stay.
    """
    counts: dict[str, _Count] = {}
    for node in others:
        found: dict[str, list[tuple[About, Why]]] = {}
        for about, each in _all(node):
            found.setdefault(each.reason, []).append((about, each))
        for reason, those in found.items():
            count = counts.setdefault(reason, _Count(about=those[0][0]))
            only = len(found) == 1
            if not count.nodes or (only and not count.only):
                count.example = (node.name, those[0][1])
            count.nodes += 1
            count.only += only
            count.price += node.price if only else 0.0
            count.pods += len({each.pod for _, each in those if each.pod})
    made = [_holding(reason, count) for reason, count in counts.items()]
    return tuple(sorted(made, key=lambda each: (-each.nodes, -each.only, each.reason)))


def controllers(others: Sequence[NodeReport]) -> tuple[Holder, ...]:
    """Return how many nodes the pods of each controller hold.

    Args:
        others: the nodes that stay.
    """
    counts: dict[str, _Count] = {}
    for node in others:
        by: dict[str, list[str]] = {}
        for held in node.holders:
            controller = held.controller or f"Pod {held.pod}"
            by.setdefault(controller, []).append(held.pod)
            counts.setdefault(controller, _Count()).reasons.update(dict.fromkeys(each.reason for each in held.reasons))
        for controller, pods in by.items():
            counts[controller].nodes += 1
            counts[controller].only += len(by) == 1 and not node.reasons
            counts[controller].pods += len(pods)
    made = [
        Holder(controller, each.nodes, each.only, each.pods, tuple(each.reasons)) for controller, each in counts.items()
    ]
    return tuple(sorted(made, key=lambda each: (-each.nodes, -each.only, each.controller)))


def first(node: NodeReport) -> Why:
    """Return the reason that a node is listed under: its own, else its pods', else that of the choice."""
    return next(each for _, each in _all(node))


def _all(node: NodeReport) -> Iterator[tuple[About, Why]]:
    yield from (("node", each) for each in node.reasons)
    yield from _of_pods(node)
    yield from (("choice", each) for each in node.kept)


def _of_pods(node: NodeReport) -> Iterable[tuple[About, Why]]:
    for held in node.holders:
        for each in held.reasons:
            yield "pod", Why(each.reason, each.sentence, each.detail, held.pod)


def _holding(reason: str, count: _Count) -> Holding:
    name, example = count.example
    return Holding(
        reason=reason,
        sentence=example.sentence,
        about=count.about,
        nodes=count.nodes,
        only=count.only,
        pods=count.pods,
        price=count.price,
        example=example,
        example_node=name,
    )
