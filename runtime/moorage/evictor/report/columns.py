"""Columns and colours for terminals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from . import display

BOLD, DIM, GREEN, YELLOW, RED = "1", "2", "32", "33", "31"
_GAP = "   "
_LEAST = 12
"""Columns are not made narrower than this."""


class Paint:
    """Colours texts, or leaves them as they are.

    Args:
        colour: whether there are any.
    """

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, code: str) -> str:
        """Return the text in a colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    paint: Paint,
    *,
    numbers: Collection[int] = (),
    most: int = 0,
    colours: Sequence[str] = (),
) -> list[str]:
    """Return the lines of a table.

    Args:
        header: one word per column.
        rows: as many cells each.
        paint: for the header, which is bold, and the cells.
        numbers: the columns that are aligned to the right.
        most: how wide the table may be, 0 for any width; the widest columns are shortened first.
        colours: a colour code for each column, empty for none.
    """
    shown = [header, *([display.plain(cell) for cell in row] for row in rows)]
    widths = [max(display.width(row[column]) for row in shown) for column in range(len(header))]
    _narrow(widths, most - len(_GAP) * (len(header) - 1) if most else 0)
    lines = []
    for number, row in enumerate(shown):
        cells = [
            display.padded(display.shortened(cell, widths[column]), widths[column], right=column in numbers)
            for column, cell in enumerate(row)
        ]
        cells[-1] = cells[-1].rstrip()
        codes = [BOLD] * len(cells) if number == 0 else list(colours) or [""] * len(cells)
        painted = [paint(cell, code) if code else cell for cell, code in zip(cells, codes, strict=True)]
        lines.append(_GAP.join(painted).rstrip())
    return lines


def _narrow(widths: list[int], most: int) -> None:
    """Make the widest columns narrower until the table fits."""
    while most and sum(widths) > most:
        column = max(range(len(widths)), key=lambda each: widths[each])
        if widths[column] <= _LEAST:
            return
        second = max((each for each in widths if each < widths[column]), default=_LEAST)
        widths[column] = max(second, _LEAST, widths[column] - (sum(widths) - most))
        if widths[column] == second and sum(widths) > most:
            widths[column] -= 1
