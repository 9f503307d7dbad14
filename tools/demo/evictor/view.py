"""The evictor's state as a picture for a terminal of 80 columns and 24 lines: a pure function of recorded events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tools.demo.common.events import Said
from tools.demo.common.sentences import line

from .events import NodeState, PodState
from .state import NodeView, State, Workload

COLUMNS = 4
"""Nodes side by side."""
BAR = 11
FLOOR_BAR = 9
LEAST_LINES = 4
"""So many lines of sentences are shown on a terminal of 24 lines, more on a higher one."""
_INDENT = 11
"""What stands before a sentence."""
_HEAD = "Deployment        Ready  floor lowest"

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
    parts: list[RenderableType] = [Text.assemble((heading, "bold"), f"   {max(now, state.at):5.1f} s", *_cost(state))]
    taken = 2
    if state.nodes:
        parts += [Text.assemble(*_counts(state)), _nodes(state), _legend()]
        taken += 2 + _rows(len(state.nodes))
    if state.workloads:
        parts.append(_workloads(state))
        taken += _rows(len(state.workloads), 2) + 1
    return Group(*parts, Text(), Sentences(state.said, taken))


class Sentences:
    """The last sentences, as many as a terminal has room for.

    Args:
        said: all of them.
        taken: how many lines stand above.
    """

    def __init__(self, said: Sequence[Said], taken: int) -> None:
        self._said = said
        self._taken = taken

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them, long ones on several lines."""
        room = max(LEAST_LINES, console.height - 1 - self._taken)
        lines: list[Text] = []
        for said in reversed(self._said):
            first, *rest = line(said).wrap(console, options.max_width - _INDENT)
            lines = [first, *(Text(" " * _INDENT).append_text(each) for each in rest), *lines]
            if len(lines) >= room:
                break
        yield from lines[-room:]


def _rows(count: int, columns: int = COLUMNS) -> int:
    return -(-count // columns)


def _counts(state: State) -> Iterator[tuple[str, str]]:
    """How many nodes are how far, and how full those are that there are."""
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
    """What the nodes cost that there are, and what those are worth that are gone."""
    before, now = state.cost_before, state.cost
    if before:
        yield "   cost ", "bold"
        yield f"{now:.2f} an hour", "green" if now < before else ""
    if now < before:
        yield f" of {before:.2f}: {100 * (before - now) / before:.0f} % less", "green"


def _nodes(state: State) -> Table:
    """All nodes, from top to bottom, several side by side; their numbers are their places by name."""
    named = [state.nodes[name] for name in sorted(state.nodes)]
    used = state.cpu()
    rows = _rows(len(named))
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
        ("■ kept", "magenta"),
        ("  * budget", "yellow"),
    )


def _workloads(state: State) -> Table:
    """Each Deployment's Ready pods beside its floor, two side by side."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_row(*(Text(_HEAD, "bright_black") for _ in range(2)))
    cells = list(_floors(state))
    rows = _rows(len(cells), 2)
    for row in range(rows):
        table.add_row(*cells[row::rows])
    return table


def _floors(state: State) -> Iterator[Text]:
    for each in state.workloads.values():
        ready = state.ready(each.name)
        cell = Text(f"{each.name:<7.7}")
        cell.append_text(floor_bar(each, ready))
        cell.append(f" {ready:>3}/{each.replicas:<3} ")
        cell.append(f"{each.floor:>4}{'*' if each.budget else ' '}", "yellow")
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
