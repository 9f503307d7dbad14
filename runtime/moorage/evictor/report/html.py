"""The report as one HTML page, in light and dark; it loads no file, has no script, and escapes all names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from . import display, holding
from .model import Amounts, Held, Holder, Holding, NodeReport, Report, Why
from .style import POLICY, STYLE
from .text import example

_BAR, _HIGH = 96, 9
_MOST_CHOSEN = 25
_MOST_HOLDERS = 20
_FEW, _SHORT = 12, 3
"""Groups of more nodes, and lists of more pods, are folded."""
_LEGEND = {"now": "asked for now", "comes": "comes with the plan", "goes": "goes elsewhere"}


def as_html(report: Report) -> str:
    """Return the report as one page.

    Args:
        report: what is shown.
    """
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>What the evictor sees: {_e(report.source)}</title>"
    yield f"<style>{STYLE}</style></head><body>"
    yield from _head(report)
    yield "<main>"
    if report.chosen:
        yield from _chosen(report)
    if report.others:
        yield from _held(report)
        yield from _others(report)
    yield from _configuration(report)
    yield "</main></body></html>"


def _e(text: str) -> str:
    return escape(display.plain(text))


# --- the head ---


def _head(report: Report) -> Iterator[str]:
    headline, _, rest = display.headline(report).partition(": ")
    yield f"<header><h1>{_e(headline)}</h1>"
    if rest:
        yield f"<p>{_e(rest[0].upper() + rest[1:])}</p>"
    yield f'<p class="faint">{_e(report.source)}, {_e(f"{report.when:%Y-%m-%d %H:%M:%S %Z}")}</p>'
    yield '<dl class="tiles">'
    for name, value, more in _tiles(report):
        yield f"<div><dt>{_e(name)}</dt><dd>{_e(value)}<span>{_e(more)}</span></dd></div>"
    yield "</dl>"
    if notes := display.notes(report):
        yield '<ul class="notes">'
        yield from (f"<li>{_e(note)}</li>" for note in notes)
        yield "</ul>"
    yield "</header>"


def _tiles(report: Report) -> Iterator[tuple[str, str, str]]:
    stays = report.nodes - len(report.chosen)
    kept = sum(node.may_go for node in report.others)
    held = f"{report.nodes - report.may_go:,} are held, {kept:,} may go and stay"
    yield "Nodes", f"{report.nodes:,} → {stays:,}", held
    left = display.price(report.total - report.freed, report.unit)
    saved = f"{display.price(report.total, report.unit)} → {left}"
    yield f"Cost, {display.unit(report.unit)}", saved, f"{display.percent(report.part)} less"
    yield "Pods that move", f"{report.moved:,}", f"of {display.count(report.pods, 'pod')}"
    cpu, memory = _levels(report)
    yield "CPU asked for", cpu, "of what nodes have"
    yield "Memory asked for", memory, "of what nodes have"


def _levels(report: Report) -> tuple[str, str]:
    """How full all nodes together are, before and after."""
    every = [node.usage for node in (*report.chosen, *report.others) if node.usage is not None]
    rest = [node.usage for node in report.others if node.usage is not None]
    has, has_then = _sum(each.allocatable for each in every), _sum(each.allocatable for each in rest)
    now, then = _sum(each.before for each in every), _sum(each.after for each in rest)
    return (
        f"{display.share(now.cpu_millis, has.cpu_millis)} → {display.share(then.cpu_millis, has_then.cpu_millis)}",
        f"{display.share(now.memory_bytes, has.memory_bytes)} → "
        f"{display.share(then.memory_bytes, has_then.memory_bytes)}",
    )


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    cpu = memory = pods = 0
    for each in amounts:
        cpu, memory, pods = cpu + each.cpu_millis, memory + each.memory_bytes, pods + each.pods
    return Amounts(cpu, memory, pods)


# --- the nodes ---


def _chosen(report: Report) -> Iterator[str]:
    yield "<section><h2>What could go</h2>"
    yield "<p>All of these at the same time, in this order. Their pods fit elsewhere, each where it says.</p>"
    yield _legend("goes")
    first, rest = report.chosen[:_MOST_CHOSEN], report.chosen[_MOST_CHOSEN:]
    yield from _nodes(first, report.unit, "The nodes that could go", "Where its pods would go")
    if rest:
        yield f'<details class="group"><summary>and {_e(display.count(len(rest), "more node"))}</summary>'
        yield from _nodes(rest, report.unit, "More nodes that could go", "Where its pods would go")
        yield "</details>"
    yield "</section>"


def _others(report: Report) -> Iterator[str]:
    groups: dict[str, list[NodeReport]] = {}
    for node in report.others:
        groups.setdefault(holding.first(node).reason, []).append(node)
    yield "<section><h2>Every other node</h2>"
    yield "<p>Grouped by what weighs most.</p>"
    yield _legend("now", "comes")
    for reason, nodes in sorted(groups.items(), key=lambda each: (-len(each[1]), each[0])):
        sentence = holding.first(nodes[0]).sentence
        shown = " open" if len(nodes) <= _FEW else ""
        count = display.count(len(nodes), "node")
        yield f'<details class="group"{shown}><summary>{_e(count)}: {_e(sentence)} <span>{_e(reason)}</span></summary>'
        yield from _nodes(nodes, report.unit, f"Nodes with {reason}", "Why it stays")
        yield "</details>"
    yield "</section>"


def _legend(*kinds: str) -> str:
    shown = (f"<span>{_svg(((kind, 0, 12),), 12)}{_e(_LEGEND[kind])}</span>" for kind in kinds)
    return f'<p class="legend">{"".join(shown)}</p>'


def _nodes(nodes: Sequence[NodeReport], unit: str, caption: str, last: str) -> Iterator[str]:
    heads = ("Node", "Type", "Price", "CPU", "Memory", "Pods", last)
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{_e(caption)}"><table><thead><tr>'
    yield from (f'<th scope="col"{_class(head)}>{_e(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    yield from (_node(node, unit) for node in nodes)
    yield "</tbody></table></div>"


def _class(head: str) -> str:
    return ' class="number"' if head in ("Price", "Nodes", "Only", "Pods", "Cost") else ""


def _node(node: NodeReport, unit: str) -> str:
    kind = ", ".join(each for each in (display.kind(node) if display.kind(node) != "-" else "", node.zone) if each)
    return (
        f'<tr><th scope="row">{_e(node.name)}</th><td class="kind">{_e(kind)}</td>'
        f'<td class="number">{_e(display.price(node.price, unit))}</td>{_usage(node)}'
        f'<td class="why">{_moves(node) if node.chosen else _why(node)}</td></tr>'
    )


def _usage(node: NodeReport) -> str:
    usage = node.usage
    if usage is None:
        return '<td class="level">?</td><td class="level">?</td><td class="number">?</td>'
    of, old, new = usage.allocatable, usage.before, usage.before if node.chosen else usage.after
    cpu = _level(old.cpu_millis, new.cpu_millis, of.cpu_millis, chosen=node.chosen)
    memory = _level(old.memory_bytes, new.memory_bytes, of.memory_bytes, chosen=node.chosen)
    return f'{cpu}{memory}<td class="number">{_e(display.arrow(str(old.pods), str(new.pods)))}</td>'


def _level(old: int, new: int, of: int, *, chosen: bool) -> str:
    """A bar, with the same as text."""
    text = display.arrow(display.share(old, of), display.share(new, of))
    ends = [min(_BAR, max(0, round(_BAR * amount / of))) if of > 0 else 0 for amount in (old, new)]
    parts = [("track", 0, _BAR), ("goes" if chosen else "now", 0, ends[0])]
    if ends[1] > ends[0]:
        parts.append(("comes", ends[0], ends[1] - ends[0]))
    return f'<td class="level">{_svg(parts, _BAR)}{_e(text)}</td>'


def _svg(parts: Iterable[tuple[str, int, int]], wide: int) -> str:
    """Rectangles; screen readers skip them, because the text beside them says the same."""
    shown = (f'<rect class="{kind}" x="{x}" width="{size}" height="{_HIGH}"/>' for kind, x, size in parts)
    return f'<svg width="{wide}" height="{_HIGH}" aria-hidden="true">{"".join(shown)}</svg>'


def _moves(node: NodeReport) -> str:
    if not node.moves:
        return "it is empty already"
    summary = _e(display.count(len(node.moves), "pod moves", "pods move"))
    items = [f"<li><code>{_e(move.pod)}</code> → {_e(move.node)}</li>" for move in node.moves]
    return _folded(summary, items)


def _why(node: NodeReport) -> str:
    parts = [_said(each) for each in (*node.reasons, *node.kept)]
    if node.holders:
        summary = _e(display.count(len(node.holders), "pod holds it", "pods hold it"))
        parts.append(_folded(summary, [_held_by(held) for held in node.holders]))
    return "".join(f"<div>{part}</div>" for part in parts)


def _folded(summary: str, items: Sequence[str]) -> str:
    shown = " open" if len(items) <= _SHORT else ""
    return f"<details{shown}><summary>{summary}</summary><ul>{''.join(items)}</ul></details>"


def _held_by(held: Held) -> str:
    of = f" of {_e(held.controller)}" if held.controller else ""
    return f"<li><code>{_e(held.pod)}</code>{of}: {'; '.join(map(_said, held.reasons))}</li>"


def _said(why: Why) -> str:
    pod = f" <code>{_e(why.pod)}</code>" if why.pod else ""
    return f"<code>{_e(why.reason)}</code> {_e(str(why))}{pod}"


# --- what holds them ---


def _held(report: Report) -> Iterator[str]:
    yield "<section><h2>What holds the others</h2>"
    yield (
        "<p><em>Only</em> counts the nodes with no other reason: without this one nothing would hold them, and "
        "<em>cost</em> is theirs. Whether they would be chosen then is another question.</p>"
    )
    for title, holdings in display.held(report):
        yield f"<h3>{_e(title)}</h3>"
        rows = (_holding(each, report.unit) for each in holdings)
        yield from _table(title, ("Nodes", "Only", "Cost", "Pods", "Reason", "For example"), rows)
    if report.holders:
        yield "<h3>Whose pods hold most</h3>"
        heads = ("Nodes", "Only", "Pods", "Whose", "Reasons")
        yield from _table("Whose pods hold most", heads, map(_holder, report.holders[:_MOST_HOLDERS]))
        rest = len(report.holders) - _MOST_HOLDERS
        if rest > 0:
            yield f'<p class="faint">and {_e(display.count(rest, "other"))}</p>'
    yield "</section>"


def _holding(each: Holding, unit: str) -> list[str]:
    pods = f"{each.pods:,}" if each.pods else ""
    sentence = f"{_e(each.sentence)} <code>{_e(each.reason)}</code>"
    return [f"{each.nodes:,}", f"{each.only:,}", display.price(each.price, unit), pods, sentence, _e(example(each))]


def _holder(each: Holder) -> list[str]:
    reasons = ", ".join(f"<code>{_e(reason)}</code>" for reason in each.reasons)
    return [f"{each.nodes:,}", f"{each.only:,}", f"{each.pods:,}", _e(each.controller), reasons]


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; its cells are HTML already."""
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{_e(caption)}"><table><thead><tr>'
    yield from (f'<th scope="col"{_class(head)}>{_e(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        cells = (f"<td{_class(head)}>{cell}</td>" for head, cell in zip(heads, row, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _configuration(report: Report) -> Iterator[str]:
    yield '<section><h2>What was in force</h2><dl class="settings">'
    for name, value in display.settings(report.configuration):
        yield f"<div><dt>{_e(name)}</dt><dd>{_e(value)}</dd></div>"
    yield "</dl></section>"
