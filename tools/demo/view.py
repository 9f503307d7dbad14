"""The state as a picture for a terminal: a pure function of recorded events."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .common.sentences import line
from .events import NodeState, PodState
from .state import NodeView, State

BAR = 32
LINES = 5

NODE_STYLE = {
    NodeState.PLANNED: ("○", "bright_black"),
    NodeState.PLACEHOLDER: ("◌", "yellow"),
    NodeState.JOINING: ("◐", "cyan"),
    NodeState.READY: ("●", "green"),
    NodeState.GONE: ("✘", "red"),
}
_POD_STYLE = {
    PodState.PENDING: "bright_black",
    PodState.PINNED: "yellow",
    PodState.RUNNING: "green",
    PodState.FAILED: "red",
}


def render(state: State, *, heading: str = "Moorage", now: float | None = None) -> RenderableType:
    """Draw the whole picture.

    Args:
        state: the events so far.
        heading: what stands at the top (``recording`` for one).
        now: seconds since the start; the last event's by default.
    """
    elapsed = state.at if now is None else max(now, state.at)
    top = Text.assemble((heading, "bold"), f"   {elapsed:5.1f} s")
    parts: list[RenderableType] = [top, Text.assemble(*_counts(state)), Text()]
    if state.nodes:
        parts += [_nodes(state), _legend(), Text()]
    parts += [line(said) for said in state.said[-LINES:]]
    return Group(*parts)


def _counts(state: State) -> list[tuple[str, str]]:
    """How many pods and nodes are in which state."""
    pieces: list[tuple[str, str]] = [("pods ", "bold")]
    for pod_state, style in _POD_STYLE.items():
        count = state.pods_in(pod_state)
        if pod_state is not PodState.FAILED or count:
            pieces.append((f"{count} {pod_state.value}  ", style if count else "bright_black"))
    pieces.append((" nodes ", "bold"))
    for node_state in (NodeState.PLACEHOLDER, NodeState.JOINING, NodeState.READY):
        count = state.nodes_in(node_state)
        pieces.append((f"{count} {node_state.value}  ", NODE_STYLE[node_state][1] if count else "bright_black"))
    return pieces


def _nodes(state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=13)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    for node in state.nodes.values():
        icon, style = NODE_STYLE[node.state]
        bound = len(state.on(node.name))
        table.add_row(
            node.name,
            Text(f"{icon} {node.state.value}", style),
            _bar(node, state),
            f"{bound}/{node.promised_pods} pods",
            Text(f"{node.promised}m of {node.capacity}m", "bright_black"),
        )
    return table


def _bar(node: NodeView, state: State) -> Text:
    """Used by running pods, held by pinned ones, promised but not bound, free; to scale."""
    cpu = state.cpu(node.name)
    running, failed = cpu[PodState.RUNNING], cpu[PodState.FAILED]
    bound = running + failed + cpu[PodState.PINNED] + cpu[PodState.PENDING]
    edges = [
        (running, "█", "green"),
        (running + failed, "█", "red"),
        (bound, "▓", "yellow"),
        (max(node.promised, bound), "░", "yellow"),
        (max(node.capacity, node.promised, bound), "·", "bright_black"),
    ]
    whole = max(node.capacity, node.promised, bound, 1)
    bar, drawn = Text(), 0
    for until, cell, style in edges:
        end = round(BAR * until / whole)
        bar.append(cell * (end - drawn), style)
        drawn = max(drawn, end)
    return bar


def _legend() -> Text:
    return Text.assemble(
        ("█ used  ", "green"), ("▓ pinned  ", "yellow"), ("░ promised  ", "yellow"), ("· free", "bright_black")
    )
