"""The plan as a table on a terminal: what needs attention first."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from moorage.protocol import Ack, Instruction

from . import outcomes
from .instruction_store import Board
from .plan import Plan
from .stage import Stage

_ORDER = {"trouble": 0, "working": 1, "waiting": 2, "done": 3}
_STYLES = {"trouble": "bold red", "working": "yellow", "waiting": "dim", "done": "green"}
_FRAME = 8  # lines that are not rows


def render(board: Board, pinners: list[str], note: str, height: int, *, stage: str = "") -> RenderableType:
    """The whole picture; a pure function of what is known.

    Args:
        board: the plan and its answers.
        pinners: who is connected, as ``cluster/replica``.
        note: what else a person should know; may be empty.
        height: lines of the terminal.
        stage: how far a rebalancing is; empty when there is none.
    """
    rows = sorted(outcomes.rows(board), key=lambda row: _ORDER[row.state])
    several = len(board.clusters) > 1
    table = Table(box=None, pad_edge=False)
    for title in ("NODE", *(["CLUSTER"] if several else []), "STATE", "PLACEHOLDER", "PINNED", "WHY"):
        table.add_column(title, overflow="ellipsis", no_wrap=title != "WHY")
    shown = rows[: max(3, height - _FRAME - bool(stage))]
    for row in shown:
        pinned = f"{row.pinned}/{row.pods}" if row.pods else "–"
        cells = [row.node, *([row.cluster] if several else [])]
        state = Text(row.state, style=_STYLES[row.state])
        table.add_row(*cells, state, row.placeholder or "–", pinned, row.trouble[0] if row.trouble else "")
    found = outcomes.counts(board)
    who = ", ".join(pinners) or "nobody yet"
    head = Text.assemble((f"plan {board.plan}", "bold"), f"   served to {who}")
    foot = Text(
        f"{found.instructions} instructions: {found.applied} applied, {found.open} open, "
        f"{found.rejected} rejected, {found.failed} failed"
    )
    parts: list[RenderableType] = [head, *([Text(f"rebalancing {stage}")] if stage else []), table]
    if len(rows) > len(shown):
        parts.append(Text(f"… and {len(rows) - len(shown)} more nodes", style="dim"))
    parts.append(foot)
    if note:
        parts.append(Text(note, style="bold red"))
    return Group(*parts)


class TableView:
    """Keeps the picture on the terminal.

    Args:
        board: what is shown.
        pinners: who is connected now.
        console: the terminal; for tests.
    """

    def __init__(self, board: Board, pinners: Callable[[], list[str]], console: Console | None = None) -> None:
        self._board = board
        self._pinners = pinners
        self._console = console or Console()
        self._note = self._stage = ""
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._started = False

    def serving(self, plan: Plan) -> None:  # noqa: ARG002 - the board knows it
        """A plan is served; an earlier complaint about the file is over."""
        self._note = self._stage = ""
        if not self._started:
            self._live.start()
            self._started = True
        self.refresh()

    def rebalancing(self, stage: Stage, why: str) -> None:
        """Shown above the table."""
        self._stage = f"{stage.value}: {why}"
        self.refresh()

    def broken(self, error: str) -> None:
        """Shown until the file is right again."""
        self._note = f"{error}\nThe plan before this change is served on."
        self.refresh()

    def acknowledged(self, cluster: str, instruction: Instruction, ack: Ack) -> None:
        """Seen at the next refresh."""

    def refresh(self) -> None:
        """Draw it as it is now."""
        height = self._console.size.height
        picture = render(self._board, self._pinners(), self._note, height, stage=self._stage)
        self._live.update(picture, refresh=True)

    def close(self, summary: list[str] | None) -> None:
        """Leave the last picture, then what went wrong."""
        if self._started:
            self.refresh()
            self._live.stop()
        for sentence in summary or ():
            self._console.print(Text(f"not done: {sentence}", style="red"))
