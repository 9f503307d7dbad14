"""A benchmark's figures as a table on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

MISSED = "MISSED"
_WIDTH = 100
"""Width when standard output is not a terminal: a file needs whole lines."""


def show(title: str, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print a table. Missed targets are red.

    Args:
        title: of the table.
        columns: their titles. Figures are aligned to the right, targets and columns without a title to the left.
        lines: the cells of each line. The last cell may be MISSED.
    """
    table = Table(title=title, box=box.SIMPLE)
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "target") else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line, style="red" if line[-1] == MISSED else None)
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
