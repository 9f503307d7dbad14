"""Parts of pictures for a terminal: bars of nodes, Deployments beside their floors, and the last sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from .events import Said
from .sentences import line
from .workloads import PodState, Workload, Workloads

BAR = 11
FLOOR_BAR = 9
LEAST_LINES = 4
"""So many lines of sentences are shown on a terminal of 24 lines, more on a higher one."""
_INDENT = 11
"""What stands before a sentence."""
_HEAD = "Deployment         Ready  floor lowest"
POD_LEGEND = (("█ Ready ", "green"), ("▓ starts ", "cyan"), ("▒ leaves ", "yellow"), ("· free  ", "bright_black"))


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
        """Draw them, long ones on several lines; a sentence that does not fit as a whole is left out."""
        room = max(LEAST_LINES, console.height - 1 - self._taken)
        lines: list[Text] = []
        for said in reversed(self._said):
            first, *rest = line(said).wrap(console, options.max_width - _INDENT)
            if lines and len(lines) + 1 + len(rest) > room:
                break
            lines = [first, *(Text(" " * _INDENT).append_text(each) for each in rest), *lines]
        yield from lines[-room:]


def rows(count: int, columns: int) -> int:
    """How many rows so many cells take."""
    return -(-count // columns)


def columns(cells: Sequence[Text], count: int, head: Text | None = None) -> Table:
    """Cells from top to bottom, several side by side.

    Args:
        cells: all of them.
        count: how many side by side.
        head: what stands above each column.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(count):
        table.add_column(no_wrap=True)
    if head is not None:
        table.add_row(*(head for _ in range(count)))
    each = rows(len(cells), count)
    for row in range(each):
        table.add_row(*cells[row::each])
    return table


def bar(cpu: int, used: Mapping[PodState, int], width: int = BAR) -> Text:
    """What pods request of a node that are Ready, that start, and that leave; and what is free; to scale.

    Args:
        cpu: what the node has, in milli-cores.
        used: what is requested, in milli-cores.
        width: in characters.
    """
    edges: Sequence[tuple[PodState, str, str]] = (
        (PodState.READY, "█", "green"),
        (PodState.STARTING, "▓", "cyan"),
        (PodState.LEAVING, "▒", "yellow"),
    )
    whole = max(cpu, sum(used.values()), 1)
    drawn, until, text = 0, 0, Text()
    for pod_state, cell, style in edges:
        until += used.get(pod_state, 0)
        end = round(width * until / whole)
        text.append(cell * (end - drawn), style)
        drawn = max(drawn, end)
    return text.append("·" * (width - drawn), "bright_black")


def workload_table(state: Workloads) -> Table:
    """Each Deployment's Ready pods beside its floor, two side by side."""
    return columns(list(_floors(state)), 2, Text(_HEAD, "bright_black"))


def workload_lines(state: Workloads) -> int:
    """How many lines that table takes."""
    return rows(len(state.workloads), 2) + 1


def _floors(state: Workloads) -> Iterator[Text]:
    for each in state.workloads.values():
        ready = state.ready(each.name)
        cell = Text(f"{each.name:<7.7} ")
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
