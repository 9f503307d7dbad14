"""Draws the rebalancing for a terminal of 80 columns and 24 lines: a pure function of recorded events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moorage.cli.pictures.drawing import NODES
from tools.demo.common.pictures import POD_LEGEND, Sentences, bar, columns, rows, workload_lines, workload_table
from tools.demo.common.workloads import PodState
from tools.demo.evictor.view import ICONS

from .events import Coming, Going
from .state import NewNode, OldNode, State

COLUMNS = 4
"""Number of old nodes side by side."""
_WIDE = 32


def render(state: State, heading: str, now: float) -> RenderableType:
    """Draw the whole picture.

    Args:
        state: the events so far.
        heading: the first line.
        now: seconds since the start.
    """
    parts: list[RenderableType] = [Text.assemble((heading, "bold"), f"  {max(now, state.at):.1f} s")]
    taken = 2
    if state.leader:
        parts.append(Text.assemble(*_leader(state)))
        taken += 1
    used = state.cpu_on((*state.old, *state.new))
    if state.old:
        parts += [Text.assemble(*_counts(state)), _old(state, used)]
        taken += 1 + rows(len(state.old), COLUMNS)
    if state.new:
        parts.append(_new(state, used))
        taken += len(state.new)
    if state.old:
        parts.append(_legend())
        taken += 1
    if state.workloads:
        parts.append(workload_table(state))
        taken += workload_lines(state)
    return Group(*parts, Text(), Sentences(state.said, taken))


def _leader(state: State) -> Iterator[tuple[str, str]]:
    """The leader, and the replica whose webhook is registered."""
    dead = state.killed is not None and state.took_over is None
    yield "leader ", "bold"
    yield (f"{state.leader} is dead", "bold red") if dead else (state.leader, "green")
    yield ("   webhook ", "bold")
    yield (state.webhook, "bright_black" if dead else "green") if state.webhook else ("nobody", "bright_black")


def _counts(state: State) -> Iterator[tuple[str, str]]:
    """The states of the old nodes, and the number of filled slots of the new ones."""
    yield "old nodes ", "bold"
    for going in (Going.RUNNING, Going.CHOSEN, Going.DRAINING, Going.EMPTY):
        count = len(state.old_in(going))
        yield f"{count} {going.value}  ", (ICONS[going][1] or "green") if count else "bright_black"
    if not state.new:
        return
    nodes = list(state.new.values())
    yield " slots ", "bold"
    yield f"{sum(node.taken for node in nodes)} of {sum(node.slots for node in nodes)}", "green"


def _old(state: State, used: Mapping[str, Counter[PodState]]) -> Table:
    cells = [_going(number, state.old[name], used[name]) for number, name in enumerate(sorted(state.old), 1)]
    return columns(cells, COLUMNS)


def _going(number: int, node: OldNode, used: Mapping[PodState, int]) -> Text:
    icon, style = ICONS[node.state]
    return Text(f"{number:02} ").append(f"{icon} ", style).append_text(bar(node.cpu, used))


def _new(state: State, used: Mapping[str, Counter[PodState]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for node in state.new.values():
        icon, style = NODES[node.state]
        what = bar(node.cpu, used[node.name], _WIDE)
        table.add_row(node.name, Text(f"{icon} {node.state.value:<11}", style), what, _slots(node, state))
    return table


def _slots(node: NewNode, state: State) -> Text:
    """The filled slots, and the used devices."""
    text = Text(f"slots {node.taken}/{node.slots}", "green" if node.taken >= node.slots else "")
    if node.devices:
        named = sum(to == node.name for to in state.nominated.values())
        text.append(f"  GPU {named}/{node.devices}", "green" if node.state is Coming.READY else "yellow")
    return text


def _legend() -> Text:
    going = (
        (f"{ICONS[each][0]} {each.value} ", ICONS[each][1]) for each in (Going.CHOSEN, Going.DRAINING, Going.EMPTY)
    )
    return Text.assemble(*POD_LEGEND, *going, ("  * budget", "yellow"))
