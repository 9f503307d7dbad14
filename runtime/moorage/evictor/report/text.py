"""The report for terminals: a short table, and a wide one with every node, move and pod that holds its node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import display
from .columns import BOLD, DIM, GREEN, YELLOW, Paint, table
from .display import plain
from .model import Holding, NodeReport, Report, Why

_HEADER = ("NODE", "TYPE", "CPU", "MEMORY", "PODS", "PRICE")
_NUMBERS = (2, 3, 4, 5)
_MOST_CHOSEN, _MOST_HOLDERS = 30, 5
"""The wide text has all of them."""


def as_table(report: Report, colour: bool = False, width: int = 100) -> str:
    """Return what could go, and what holds the rest.

    Args:
        report: what is shown.
        colour: whether the terminal shows colours.
        width: how many columns it has.
    """
    paint = Paint(colour)
    parts = [[paint(display.headline(report), BOLD)]]
    if report.chosen:
        parts.append(_chosen(report, paint, width))
    parts += _held(report, paint, width)
    if report.holders:
        parts.append(_holders(report, paint, width))
    if notes := display.notes(report):
        parts.append([paint(line, YELLOW) for line in _wrapped(notes, width)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def as_wide(report: Report, colour: bool = False) -> str:
    """Return every node, every move and every pod that holds its node, in as many columns as it takes.

    Args:
        report: what is shown.
        colour: whether the terminal shows colours.
    """
    paint = Paint(colour)
    parts = [[paint(display.headline(report), BOLD), f"{plain(report.source)}, {report.when:%Y-%m-%d %H:%M:%S %Z}"]]
    if nodes := [*report.chosen, *report.others]:
        parts.append(_all(nodes, report.unit, paint))
    if report.moved:
        parts.append(_moves(report, paint))
    if any(node.holders for node in report.others):
        parts.append(_pods(report, paint))
    parts += _held(report, paint, 0)
    if report.holders:
        parts.append(_holders(report, paint, 0))
    if notes := display.notes(report):
        parts.append([paint(line, YELLOW) for line in notes])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _chosen(report: Report, paint: Paint, width: int) -> list[str]:
    rows = [
        (node.name, display.kind(node), *display.cells(node.usage), display.price(node.price, report.unit))
        for node in report.chosen[:_MOST_CHOSEN]
    ]
    lines = table(_HEADER, rows, paint, numbers=_NUMBERS, most=width, colours=(GREEN, *[""] * 5))
    return [*lines, *_more(len(report.chosen) - _MOST_CHOSEN)]


def _more(left: int) -> list[str]:
    return [f"and {left:,} more"] if left > 0 else []


def _held(report: Report, paint: Paint, width: int) -> Iterator[list[str]]:
    """What holds nodes that may not go, then why the others stay."""
    for title, holdings in display.held(report):
        yield [paint(f"{title} (ONLY: with no other reason)", BOLD), *_reasons_of(holdings, paint, width)]


def _reasons_of(holdings: Sequence[Holding], paint: Paint, width: int) -> Iterator[str]:
    """Two lines for each reason: its sentence, and an example."""
    columns = [("NODES", [each.nodes for each in holdings]), ("ONLY", [each.only for each in holdings])]
    wide = [max(len(head), *(len(f"{number:,}") for number in column)) for head, column in columns]
    yield paint("   ".join(head.rjust(size) for (head, _), size in zip(columns, wide, strict=True)), BOLD)
    blanks = " " * (sum(wide) + 6)
    for each in holdings:
        numbers = [f"{number:,}".rjust(size) for number, size in zip((each.nodes, each.only), wide, strict=True)]
        sentence = display.shortened(f": {each.sentence}", _left(width, len(blanks) + len(each.reason)))
        yield f"{'   '.join(numbers)}   {paint(each.reason, YELLOW)}{sentence}"
        one = display.shortened(f"for example {plain(example(each))}", _left(width, len(blanks)))
        yield blanks + paint(one, DIM)


def _left(width: int, taken: int) -> int:
    return max(width - taken, 20) if width else 10_000


def example(holding: Holding) -> str:
    """Return a node with the reason, and the particulars."""
    why = holding.example
    about = f": {why.pod}" if why.pod else ""
    return f"{holding.example_node}{about}" + (f" ({why.detail})" if why.detail else "")


def _holders(report: Report, paint: Paint, width: int) -> list[str]:
    most = _MOST_HOLDERS if width else len(report.holders)
    rows = [
        (f"{each.nodes:,}", f"{each.only:,}", f"{each.pods:,}", each.controller, ", ".join(each.reasons))
        for each in report.holders[:most]
    ]
    lines = table(("NODES", "ONLY", "PODS", "WHOSE", "REASONS"), rows, paint, numbers=(0, 1, 2), most=width)
    return [paint("Whose pods hold most", BOLD), *lines, *_more(len(report.holders) - most)]


def _all(nodes: Sequence[NodeReport], unit: str, paint: Paint) -> list[str]:
    header = ("NODE", "TYPE", "ZONE", "PRICE", "CPU", "MEMORY", "PODS", "ANSWER", "WHY")
    rows = [
        (
            node.name,
            display.kind(node),
            node.zone or "-",
            display.price(node.price, unit),
            *_changes(node),
            "goes" if node.chosen else "stays",
            _reasons(node),
        )
        for node in nodes
    ]
    return table(header, rows, paint, numbers=(3, 4, 5, 6))


def _changes(node: NodeReport) -> tuple[str, str, str]:
    """How full a node is before and after."""
    usage = node.usage
    if usage is None or node.chosen:
        return display.cells(usage)
    of, old, new = usage.allocatable, usage.before, usage.after
    return (
        display.arrow(display.share(old.cpu_millis, of.cpu_millis), display.share(new.cpu_millis, of.cpu_millis)),
        display.arrow(
            display.share(old.memory_bytes, of.memory_bytes), display.share(new.memory_bytes, of.memory_bytes)
        ),
        display.arrow(str(old.pods), str(new.pods)),
    )


def _reasons(node: NodeReport) -> str:
    """Every reason of a node; those of its pods by name only."""
    found = [_said(each) for each in (*node.reasons, *node.kept)]
    held = dict.fromkeys(each.reason for pod in node.holders for each in pod.reasons)
    if held:
        found.append(f"held by {display.count(len(node.holders), 'pod')} ({', '.join(held)})")
    return "; ".join(found)


def _said(why: Why) -> str:
    return f"{why.reason}: {why}" + (f" [{why.pod}]" if why.pod else "")


def _moves(report: Report, paint: Paint) -> list[str]:
    rows = [(move.pod, node.name, move.node) for node in report.chosen for move in node.moves]
    return table(("POD THAT MOVES", "FROM", "TO"), rows, paint)


def _pods(report: Report, paint: Paint) -> list[str]:
    rows = [
        (pod.pod, node.name, pod.controller or "-", "; ".join(_said(each) for each in pod.reasons))
        for node in report.others
        for pod in node.holders
    ]
    return table(("POD THAT HOLDS", "NODE", "OF", "WHY"), rows, paint)


def _wrapped(sentences: Sequence[str], width: int) -> Iterator[str]:
    """Sentences as lines of at most so many columns; continued lines are indented."""
    import textwrap

    for sentence in sentences:
        yield from textwrap.wrap(sentence, max(width, 40), subsequent_indent="  ", break_on_hyphens=False) or [""]
