"""The plan as a table on a terminal. Rows with problems come first."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from moorage.protocol import Ack, Instruction
from moorage.wording import counted

from . import outcomes
from .instruction_store import InstructionStore
from .plan import Plan
from .stage import Stage

_ORDER = {"trouble": 0, "working": 1, "waiting": 2, "done": 3}
_STYLES = {"trouble": "bold red", "working": "yellow", "waiting": "dim", "done": "green"}
_FRAME = 8  # lines that are not rows


def render(store: InstructionStore, pinners: list[str], note: str, height: int, *, stage: str = "") -> RenderableType:
    """The whole picture. Pure.

    Args:
        store: the instructions and acknowledgements.
        pinners: the connected pinners, as ``cluster/replica``.
        note: a note for the user; may be empty.
        height: lines of the terminal.
        stage: the stage of a rebalancing; empty when there is none.
    """
    rows = sorted(outcomes.rows(store), key=lambda row: _ORDER[row.state])
    several = len(store.clusters) > 1
    table = Table(box=None, pad_edge=False)
    for title in ("NODE", *(["CLUSTER"] if several else []), "STATE", "PLACEHOLDER", "PINNED", "WHY"):
        table.add_column(title, overflow="ellipsis", no_wrap=title != "WHY")
    shown = rows[: max(3, height - _FRAME - bool(stage))]
    for row in shown:
        pinned = f"{row.pinned}/{row.pods}" if row.pods else "–"
        cells = [row.node, *([row.cluster] if several else [])]
        state = Text(row.state, style=_STYLES[row.state])
        table.add_row(*cells, state, row.placeholder or "–", pinned, row.trouble[0] if row.trouble else "")
    counts = outcomes.counts(store)
    who = ", ".join(pinners) or "nobody yet"
    head = Text.assemble((f"plan {store.plan}", "bold"), f"   served to {who}")
    foot = Text(
        f"{counted(counts.instructions, 'instruction')}: {counts.applied} applied, {counts.open} open, "
        f"{counts.rejected} rejected, {counts.failed} failed"
    )
    parts: list[RenderableType] = [head, *([Text(f"rebalancing {stage}")] if stage else []), table]
    if len(rows) > len(shown):
        parts.append(Text(f"… and {counted(len(rows) - len(shown), 'more node')}", style="dim"))
    parts.append(foot)
    if note:
        parts.append(Text(note, style="bold red"))
    return Group(*parts)


class TableView:
    """Keeps the picture on the terminal up to date.

    Args:
        store: the instructions and acknowledgements.
        pinners: returns the connected pinners.
        console: the terminal; for tests.
    """

    live = True

    def __init__(
        self, store: InstructionStore, pinners: Callable[[], list[str]], console: Console | None = None
    ) -> None:
        self._store = store
        self._pinners = pinners
        self._console = console or Console()
        self._note = self._stage = ""
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._started = False

    def serving(self, plan: Plan) -> None:  # noqa: ARG002 - the store knows it
        """A plan is served. An earlier note about the file is removed."""
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
        """Shown until the file is valid again."""
        self._note = f"{error}\nThe plan before this change is still served."
        self.refresh()

    def acknowledged(self, cluster: str, instruction: Instruction, ack: Ack) -> None:
        """Shown at the next refresh."""

    def refresh(self) -> None:
        """Draw the current state."""
        height = self._console.size.height
        picture = render(self._store, self._pinners(), self._note, height, stage=self._stage)
        self._live.update(picture, refresh=True)

    def close(self, summary: list[str] | None) -> None:
        """Draw the final state, then list the problems."""
        if self._started:
            self.refresh()
            self._live.stop()
        for sentence in summary or ():
            self._console.print(Text(f"not done: {sentence}", style="red"))
