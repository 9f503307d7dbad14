"""The state as a picture for a terminal: a pure function of recorded events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from moorage.cli.pictures import drawing
from moorage.cli.pictures.drawing import QUIET, Colours
from moorage.cli.pictures.scene import Block, Row, Scene

from .common.pictures import Sentences
from .events import PodSeen, PodState
from .scenario import APPS
from .state import NodeView, State

AS_BOUGHT, ELSEWHERE = "▮", "○"
"""A pod on a node that was bought for it, and one on another node."""
_SHOWN = (PodState.RUNNING, PodState.PINNED)
_LINES = 7
"""What stands above and below the nodes, apart from the last sentences."""
_CELLS = 10
"""Room for the blocks of one node in the comparison."""
_SIDE = _CELLS + 9 + 9 + 6
"""Width of what one of the two has made of a node: blocks, pods as bought, CPU, and the blanks between."""


def render(state: State, *, heading: str = "Moorage", now: float | None = None) -> RenderableType:
    """Draw the whole picture.

    Args:
        state: the events so far.
        heading: what stands at the top (``recording`` for one).
        now: seconds since the start; the last event's by default.
    """
    elapsed = state.at if now is None else max(now, state.at)
    parts: list[RenderableType] = [Text.assemble((heading, "bold"), f"   {elapsed:5.1f} s"), _caption(state)]
    if state.pinned is None:
        parts += [drawing.counters(scene(state)), drawing.legend(_colours(), _SHOWN), _Nodes(scene(state))]
    else:
        parts += [*_score(state, state.pinned), _compared(state, state.pinned)]
    return Group(*parts, Sentences(state.said, _LINES + len(state.nodes)))


def scene(state: State) -> Scene:
    """The state as a scene: the nodes of the plan, in its order."""
    pending = tuple(_block(pod) for pod in state.pods.values() if not pod.node)
    return Scene(tuple(_row(node, state) for node in state.nodes.values()), pending)


def _row(node: NodeView, state: State) -> Row:
    pods = state.on(node.name)
    come = Counter(pod.app for pod in pods)
    promised = tuple((app, left) for app, count in node.apps.items() if (left := count - come[app]) > 0)
    return Row(node.name, node.state, node.capacity, tuple(_block(pod) for pod in pods), promised)


def _block(pod: PodSeen) -> Block:
    return Block(pod.app, pod.state, pod.cpu)


def _colours() -> Colours:
    return Colours(app.name for app in APPS)


def _caption(state: State) -> Text:
    """The caption of the present part of the story."""
    phase = state.phase
    if phase is None:
        return Text()
    return Text.assemble((f"{phase.number} of {phase.parts}  ", QUIET), (phase.caption, "bold bright_white"))


class _Nodes:
    """The table of the nodes, as wide as there is room."""

    def __init__(self, found: Scene) -> None:
        self._scene = found

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        if self._scene.rows:
            yield drawing.node_table(self._scene.rows, _colours(), options.max_width)


# --- beside kube-scheduler alone ---


def _score(state: State, pinned: Mapping[str, PodSeen]) -> Iterator[Text]:
    """How many pods are on the node that was bought for them, and what the signs mean."""
    total = len(pinned)
    ours, alone = state.as_bought(pinned), state.as_bought(state.pods)
    yield Text.assemble(
        ("on the node bought for them:  ", "bold"),
        (f"Moorage {ours} of {total}", "bold green"),
        "   ",
        (f"kube-scheduler alone {alone} of {total}", "bold yellow"),
    )
    signs = f"{AS_BOUGHT} on a node bought for it  {ELSEWHERE} on another node"
    yield Text.assemble(("one block a pod:  ", QUIET), signs)
    text = Text("its colour:      ", QUIET)
    for app in APPS:
        text.append(f" {AS_BOUGHT} {app.name} ", _colours().of(app.name))
    yield text
    blanks = " " * (_SIDE - len("Moorage"))
    yield Text.assemble(" " * 10, ("Moorage", "bold"), blanks, ("kube-scheduler alone", "bold"))


def _compared(state: State, pinned: Mapping[str, PodSeen]) -> Table:
    """Each node with what Moorage has put on it, and beside that what kube-scheduler has."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=8)
    for _ in range(2):
        table.add_column(no_wrap=True, width=_CELLS)
        table.add_column(no_wrap=True, width=9)
        table.add_column(no_wrap=True, width=9, justify="right")
    table.add_row(*(Text(head, QUIET) for head in ("node", *("pods", "as bought", "CPU") * 2)))
    for node in state.nodes.values():
        here = [pod for pod in pinned.values() if pod.node == node.name]
        table.add_row(node.name, *_against(node, here), *_against(node, state.on(node.name)))
    return table


def _against(node: NodeView, pods: Sequence[PodSeen]) -> tuple[Text, str, str]:
    """The pods on a node beside those that it was bought for, and the CPU that they request."""
    left, text, fit, order = Counter(node.apps), Text(), 0, [app.name for app in APPS]
    for pod in sorted(pods, key=lambda each: order.index(each.app) if each.app in order else len(order)):
        bought = left[pod.app] > 0
        left[pod.app] -= 1
        fit += bought
        text.append(AS_BOUGHT if bought else ELSEWHERE, _colours().of(pod.app))
    requested = sum(pod.cpu for pod in pods)
    return text, f"{fit} of {node.promised_pods}", f"{drawing.cpu(requested)} of {drawing.cpu(node.capacity)}"
