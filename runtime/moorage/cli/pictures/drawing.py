"""Draws a scene for a terminal: one block for each pod in the colour of its Deployment; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from moorage.wording import counted

from .scene import Block, NodeState, PodState, Row, Scene

QUIET = "bright_black"
NODES: Mapping[NodeState, tuple[str, str]] = {
    NodeState.PLANNED: ("○", QUIET),
    NodeState.PLACEHOLDER: ("◌", "yellow"),
    NodeState.JOINING: ("◐", "cyan"),
    NodeState.READY: ("●", "green"),
    NodeState.NOT_READY: ("◍", "red"),
    NodeState.GONE: ("✘", "red"),
}
"""How a state of a node is drawn: a sign and a colour."""
PODS: Mapping[PodState, str] = {
    PodState.RUNNING: "▮",
    PodState.PINNED: "▯",
    PodState.STARTING: "◇",
    PodState.FAILED: "✘",
}
"""How a pod on a node is drawn: a sign; its colour is its owner's."""
PROMISED = "·"
_ALWAYS = (PodState.PENDING, PodState.PINNED, PodState.RUNNING)
"""States that are counted even when no pod is in them."""
_PALETTE = ("bright_blue", "bright_magenta", "bright_yellow", "bright_cyan", "blue", "magenta", "yellow", "cyan")
_NAMED = 6
"""So many owners are named in the legend."""
_STATE, _COUNT, _CPU = 13, 7, 12
"""Widths of the columns beside the name and the blocks."""
_LEAST_CELLS, _MOST_CELLS = 8, 40
_LONGEST_NAME = 28
_FIRST = (NodeState.NOT_READY, NodeState.PLANNED, NodeState.PLACEHOLDER, NodeState.JOINING)
"""States of nodes that are shown before others."""


class Colours:
    """The colour of each owner. An owner keeps its colour while the picture is shown."""

    def __init__(self, owners: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        self.add(owners)

    def add(self, owners: Iterable[str]) -> None:
        """Give a colour to each owner who has none, while there are any."""
        for owner in owners:
            if owner not in self._known and len(self._known) < len(_PALETTE):
                self._known[owner] = _PALETTE[len(self._known)]

    def of(self, owner: str) -> str:
        """The colour of an owner. Owners beyond the palette share one."""
        return self._known.get(owner, "white")

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)


def counters(scene: Scene) -> Text:
    """How many pods and nodes are in which state, in the words of the legend."""
    pods, nodes = scene.pods(), scene.nodes()
    text = Text.assemble((f"pods {pods.total():,}  ", "bold"))
    for pod_state in PodState:
        if count := pods[pod_state]:
            style = "bold red" if pod_state is PodState.FAILED else "bold" if pod_state in _ALWAYS else ""
            text.append(f"{count:,} {pod_state.value}  ", style)
        elif pod_state in _ALWAYS:
            text.append(f"0 {pod_state.value}  ", QUIET)
    if to_come := scene.to_come():
        text.append(f"({to_come:,} promised a node)", QUIET)
    text.append(f"\nnodes {len(scene.rows):,}  ", "bold")
    for node_state in (NodeState.PLANNED, NodeState.PLACEHOLDER, NodeState.JOINING, NodeState.READY):
        text.append(*_counted(nodes, node_state))
    if nodes[NodeState.NOT_READY]:
        text.append(*_counted(nodes, NodeState.NOT_READY))
    return text


def _counted(nodes: Counter[NodeState], state: NodeState) -> tuple[str, str]:
    sign, style = NODES[state]
    count = nodes[state]
    return f"{sign} {count:,} {state.value}  ", style if count else QUIET


def legend(colours: Colours, states: Iterable[PodState] = PODS) -> Text:
    """What a block means: its sign the state of a pod, its colour the owner.

    Args:
        colours: of the owners; a namespace is left out where all have the same.
        states: those that are shown.
    """
    text = Text("one block a pod: ", QUIET, no_wrap=True, overflow="ellipsis")
    for state in states:
        text.append(f" {PODS[state]} {state.value} ")
    text.append(f" {PROMISED} promised")
    named = list(colours)[:_NAMED]
    if named:
        text.append("\nits colour:      ", QUIET)
    alike = len({owner.rpartition("/")[0] for owner in named}) == 1
    for owner in named:
        text.append(f" ▮ {owner.rpartition('/')[2] if alike else owner} ", colours.of(owner))
    if len(list(colours)) > _NAMED:
        text.append(" and others", QUIET)
    return text


def blocks(row: Row, colours: Colours, cells: int) -> Text:
    """One sign for each pod of a node, and for each that is still to come; those without room are counted.

    Args:
        row: the node.
        colours: of the owners.
        cells: how many signs there is room for.
    """
    order = {owner: number for number, owner in enumerate(colours)}
    result = sorted(row.blocks, key=lambda block: (order.get(block.owner, len(order)), block.owner))
    signs = [_sign(block, colours) for block in result]
    signs += [(PROMISED, colours.of(owner)) for owner, count in row.promised for _ in range(count)]
    text = Text()
    room = cells if len(signs) <= cells else cells - len(f"+{len(signs):,}")
    for sign, style in signs[:room]:
        text.append(sign, style)
    if len(signs) > room:
        text.append(f"+{len(signs) - room:,}", QUIET)
    return text


def _sign(block: Block, colours: Colours) -> tuple[str, str]:
    failed = block.state is PodState.FAILED
    return PODS.get(block.state, "?"), "bold red" if failed else colours.of(block.owner)


def cpu(milli: int) -> str:
    """Milli-cores as CPU: ``0.85``, ``12``."""
    return f"{milli / 1000:,.2f}".rstrip("0").rstrip(".")


def node_state(state: NodeState) -> Text:
    """A state of a node as a sign and a word."""
    sign, style = NODES[state]
    return Text(f"{sign} {state.value}", style)


def node_table(rows: Sequence[Row], colours: Colours, width: int) -> Table:
    """A line for each node.

    Args:
        rows: the nodes, in the order in which they are shown.
        colours: of the owners.
        width: of the whole table, in characters.
    """
    name = min(max((len(row.name) for row in rows), default=4), max(12, min(_LONGEST_NAME, width // 4)))
    room = max(_LEAST_CELLS, min(_MOST_CELLS, width - name - _STATE - _COUNT - _CPU - 8))
    cells = min(room, max([_LEAST_CELLS, *(len(row.blocks) + row.to_come for row in rows)]))
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in (name, _STATE, cells):
        table.add_column(no_wrap=True, overflow="ellipsis", width=column)
    table.add_column(no_wrap=True, justify="right", width=_COUNT)
    table.add_column(no_wrap=True, justify="right", width=_CPU)
    table.add_row(*(Text(head, QUIET) for head in ("node", "state", "", "pods", "CPU")))
    for row in rows:
        whole = len(row.blocks) + row.to_come
        table.add_row(
            Text(row.name),
            node_state(row.state),
            blocks(row, colours, cells),
            f"{len(row.blocks)}/{whole}" if row.to_come else f"{whole}",
            f"{cpu(row.requested)} of {cpu(row.cpu)}",
        )
    return table


class Frame:
    """A whole cluster on one screen: nodes that need attention come first, nodes without room are summed up.

    Args:
        scene: what is shown.
        colours: of the owners.
        heading: what stands at the top.
        notes: lines above the nodes, such as what cannot be seen.
        whole: show every node, whatever the height of the screen.
    """

    def __init__(
        self, scene: Scene, colours: Colours, heading: str, notes: Sequence[str] = (), *, whole: bool = False
    ) -> None:
        self._scene, self._colours, self._heading, self._notes = scene, colours, heading, notes
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as much as there is room for."""
        width = options.max_width
        top: list[RenderableType] = [
            Text(self._heading, "bold", no_wrap=True, overflow="ellipsis"),
            counters(self._scene),
            legend(self._colours),
            *(Text(note, "yellow", no_wrap=True, overflow="ellipsis") for note in self._notes),
        ]
        taken = len(self._notes) + 5 + 2  # heading, counters and legend; the head of the table, the sum
        lines = 2 * len(self._scene.rows) if self._whole else console.height - 1 - taken
        shown, rest = chosen(self._scene.rows, lines)
        yield Group(*top)
        if shown:
            yield _with_reasons(shown, self._colours, width)
        if rest:
            yield summed(rest)


def chosen(rows: Sequence[Row], lines: int) -> tuple[list[Row], list[Row]]:
    """The nodes that are shown one by one, those first that need attention, and the rest.

    Args:
        rows: all nodes.
        lines: how many lines there are for them.
    """
    ranks = {state: rank for rank, state in enumerate(_FIRST)}
    ordered = sorted(rows, key=lambda row: (not row.why, ranks.get(row.state, len(ranks)), not row.to_come, row.name))
    taken = 0
    for number, row in enumerate(ordered):
        taken += 2 if row.why else 1
        if taken > max(1, lines):
            return ordered[:number], ordered[number:]
    return ordered, []


def summed(rows: Sequence[Row]) -> Text:
    """States, pods and CPU of the nodes that have no line of their own."""
    states = Counter(row.state for row in rows)
    said = ", ".join(f"{states[state]:,} {state.value}" for state in NodeState if states[state])
    pods, used, whole = (
        sum(len(row.blocks) for row in rows),
        sum(row.requested for row in rows),
        sum(r.cpu for r in rows),
    )
    text = f"and {counted(len(rows), 'more node')}: {said}; {counted(pods, 'pod')}, CPU {cpu(used)} of {cpu(whole)}"
    wanting = sum(1 for row in rows if row.why)
    more = f"; {wanting:,} of them need attention" if wanting else ""
    return Text(f"{text}{more}", "red" if wanting else QUIET, no_wrap=True, overflow="ellipsis")


def _with_reasons(rows: Sequence[Row], colours: Colours, width: int) -> RenderableType:
    """A line for each node that needs attention, with the reason, and below them the table."""
    parts: list[RenderableType] = []
    wanting = [row for row in rows if row.why]
    parts += [Text(f"! {row.name}: {row.why}", "red", no_wrap=True, overflow="ellipsis") for row in wanting]
    return Group(*parts, node_table(rows, colours, width))
