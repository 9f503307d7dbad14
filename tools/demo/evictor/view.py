"""Draws the evictor's state for a terminal of 80 columns and 24 lines: a pure function of recorded events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.demo.common.pictures import (
    BAR,
    POD_LEGEND,
    Sentences,
    bar,
    columns,
    rows,
    workload_lines,
    workload_table,
)
from tools.demo.common.workloads import PodState

from .events import NodeState
from .state import NodeView, State

COLUMNS = 4
"""Number of nodes side by side."""

ICONS = {
    NodeState.RUNNING: (" ", ""),
    NodeState.CHOSEN: ("○", "yellow"),
    NodeState.DRAINING: ("◐", "yellow"),
    NodeState.EMPTY: ("◌", "cyan"),
    NodeState.DELETED: ("✘", "bright_black"),
}
_KEPT = ("■", "magenta")
"""How a node looks that the report keeps."""


def render(state: State, heading: str, now: float) -> RenderableType:
    """Draw the whole picture.

    Args:
        state: the events so far.
        heading: the first line.
        now: seconds since the start.
    """
    parts: list[RenderableType] = [Text.assemble((heading, "bold"), f"   {max(now, state.at):5.1f} s", *_cost(state))]
    taken = 2
    if state.nodes:
        parts += [Text.assemble(*_counts(state)), _nodes(state), _legend()]
        taken += 2 + rows(len(state.nodes), COLUMNS)
    if state.workloads:
        parts.append(workload_table(state))
        taken += workload_lines(state)
    return Group(*parts, Text(), Sentences(state.said, taken))


def _counts(state: State) -> Iterator[tuple[str, str]]:
    """Number of nodes in each state, and the use of the existing nodes."""
    yield "nodes ", "bold"
    yield f"{len(state.standing)}  ", "green"
    styles = {NodeState.CHOSEN: "yellow", NodeState.DRAINING: "yellow", NodeState.EMPTY: "cyan"}
    for node_state, style in styles.items():
        count = len(state.in_state(node_state))
        yield f"{count} {node_state.value}  ", style if count else "bright_black"
    deleted, promised = len(state.deleted), len(state.promised)
    yield f"{deleted} deleted", "bold green" if deleted else "bright_black"
    yield f" of {promised} promised" if promised else "", ""
    yield f"   {100 * state.use:.0f} % used", ""


def _cost(state: State) -> Iterator[tuple[str, str]]:
    """The price of the existing nodes and of the deleted ones."""
    before, now = state.cost_before, state.cost
    if before:
        yield "   cost ", "bold"
        yield f"{now:.2f} an hour", "green" if now < before else ""
    if now < before:
        yield f" of {before:.2f}: {100 * (before - now) / before:.0f} % less", "green"


def _nodes(state: State) -> Table:
    """All nodes from top to bottom, several side by side, numbered by name."""
    named = [state.nodes[name] for name in sorted(state.nodes)]
    used = state.cpu()
    return columns([_node(number, node, used[node.name]) for number, node in enumerate(named, 1)], COLUMNS)


def _node(number: int, node: NodeView, used: Mapping[PodState, int]) -> Text:
    icon, style = _KEPT if node.why and node.state is NodeState.RUNNING else ICONS[node.state]
    cell = Text(f"{number:02} ", "bright_black" if node.state is NodeState.DELETED else "")
    cell.append(f"{icon} ", style)
    if node.state is NodeState.DELETED:
        return cell.append("deleted".ljust(BAR), style)
    return cell.append_text(bar(node.cpu, used))


def _legend() -> Text:
    return Text.assemble(
        *POD_LEGEND,
        ("○ chosen ", "yellow"),
        ("◐ draining ", "yellow"),
        ("◌ empty ", "cyan"),
        ("■ kept", "magenta"),
        ("  * budget", "yellow"),
    )
