"""The evictor's state as a picture for a terminal of 80 columns and 24 lines: a pure function of recorded events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tools.demo.common.sentences import line

from .events import NodeState, PodState
from .state import NodeView, State, Workload

COLUMNS = 4
"""Nodes side by side."""
BAR = 11
FLOOR_BAR = 9
LINES = 4

_ICONS = {
    NodeState.RUNNING: (" ", ""),
    NodeState.CHOSEN: ("○", "yellow"),
    NodeState.DRAINING: ("◐", "yellow"),
    NodeState.EMPTY: ("◌", "cyan"),
    NodeState.DELETED: ("✘", "bright_black"),
}
_KEPT = ("■", "magenta")
"""What the report says may not go."""


def render(state: State, heading: str, now: float) -> RenderableType:
    """Draw the whole picture.

    Args:
        state: the events so far.
        heading: what stands at the top.
        now: seconds since the start.
    """
    top = Text.assemble((heading, "bold"), f"   {max(now, state.at):5.1f} s")
    parts: list[RenderableType] = [top]
    if state.nodes:
        parts += [Text.assemble(*_counts(state)), Text.assemble(*_cost(state)), _nodes(state), _legend()]
    if state.workloads:
        parts += [Text(), _workloads(state)]
    parts += [Text(), *(line(said) for said in state.said[-LINES:])]
    return Group(*parts)


def _counts(state: State) -> Iterator[tuple[str, str]]:
    """How many nodes are how far, and how full those are that there are."""
    yield "nodes ", "bold"
    yield f"{len(state.standing)}  ", "green"
    styles = {
        NodeState.CHOSEN: "yellow",
        NodeState.DRAINING: "yellow",
        NodeState.EMPTY: "cyan",
        NodeState.DELETED: "green",
    }
    for node_state, style in styles.items():
        count = len(state.in_state(node_state))
        yield f"{count} {node_state.value}  ", style if count else "bright_black"
    yield f" {100 * state.use:.0f} % of the CPU is used", ""


def _cost(state: State) -> Iterator[tuple[str, str]]:
    """What the nodes cost that there are, and what those are worth that are gone."""
    before, now = state.cost_before, state.cost
    yield "cost  ", "bold"
    yield f"{now:.2f} an hour", "green" if now < before else ""
    if now < before:
        yield f" of {before:.2f}: {100 * (before - now) / before:.0f} % less", "green"


def _nodes(state: State) -> Table:
    """All nodes, from top to bottom, several side by side; their numbers are their places by name."""
    named = [state.nodes[name] for name in sorted(state.nodes)]
    used = state.cpu()
    rows = -(-len(named) // COLUMNS)
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(COLUMNS):
        table.add_column(no_wrap=True)
    cells = [_node(number, node, used[node.name]) for number, node in enumerate(named, 1)]
    for row in range(rows):
        table.add_row(*(cells[place] for place in range(row, len(cells), rows)))
    return table


def _node(number: int, node: NodeView, used: Mapping[PodState, int]) -> Text:
    icon, style = _KEPT if node.why and node.state is NodeState.RUNNING else _ICONS[node.state]
    cell = Text(f"{number:02} ", "bright_black" if node.state is NodeState.DELETED else "")
    cell.append(f"{icon} ", style)
    if node.state is NodeState.DELETED:
        return cell.append("deleted".ljust(BAR), style)
    return cell.append_text(bar(node, used))


def bar(node: NodeView, used: Mapping[PodState, int]) -> Text:
    """What pods request of a node that are Ready, that start, and that leave; and what is free; to scale."""
    edges: Sequence[tuple[PodState, str, str]] = (
        (PodState.READY, "█", "green"),
        (PodState.STARTING, "▓", "cyan"),
        (PodState.LEAVING, "▒", "yellow"),
    )
    whole = max(node.cpu, sum(used.values()), 1)
    drawn, until, text = 0, 0, Text()
    for pod_state, cell, style in edges:
        until += used.get(pod_state, 0)
        end = round(BAR * until / whole)
        text.append(cell * (end - drawn), style)
        drawn = max(drawn, end)
    return text.append("·" * (BAR - drawn), "bright_black")


def _legend() -> Text:
    return Text.assemble(
        ("█ Ready ", "green"),
        ("▓ starts ", "cyan"),
        ("▒ leaves ", "yellow"),
        ("· free  ", "bright_black"),
        ("○ chosen ", "yellow"),
        ("◐ draining ", "yellow"),
        ("◌ empty ", "cyan"),
        ("■ kept, see report", "magenta"),
    )


def _workloads(state: State) -> Table:
    """Each Deployment's Ready pods beside its floor, two side by side."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    cells = [Text("Deployment        Ready  floor lowest", "bright_black"), *_floors(state)]
    half = -(-len(cells) // 2)
    for row in range(half):
        table.add_row(*cells[row::half])
    return table


def _floors(state: State) -> Iterator[Text]:
    for each in state.workloads.values():
        ready = state.ready(each.name)
        cell = Text(f"{each.name:<7.7}")
        cell.append_text(floor_bar(each, ready))
        cell.append(f" {ready:>3}/{each.replicas:<3} ")
        cell.append(f"{each.floor:>4}{'ᵇ' if each.budget else ' '}", "yellow")
        yield cell.append(f"{each.lowest:>5}", "bold red" if each.lowest < each.floor else "green")


def floor_bar(workload: Workload, ready: int) -> Text:
    """The Ready pods of all, with a line where its floor is."""
    whole = max(workload.replicas, ready, 1)
    end, floor = round(FLOOR_BAR * ready / whole), round(FLOOR_BAR * workload.floor / whole)
    style = "green" if ready >= workload.floor else "red"
    text = Text("█" * min(end, floor), style)
    text.append("·" * (floor - len(text)), "bright_black")
    text.append("│", "yellow")
    text.append("█" * max(0, end - floor), style)
    return text.append("·" * (FLOOR_BAR + 1 - len(text)), "bright_black")
