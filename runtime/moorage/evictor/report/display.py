"""Numbers and names for people; every name is shown as one line of visible text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import msgspec

from .model import Configured, Holding, NodeReport, Report, Usage

_GIB = 2**30
_MONEY = "money"
_MORE = "…"
_UNKNOWN = "?"
_NONE = "-"


def plain(text: str) -> str:
    """Return a text in which no character moves the cursor, changes its direction or starts a line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    return len(text) if text.isascii() else sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many columns; a longer one ends with an ellipsis."""
    if width(text) <= most:
        return text
    kept = ""
    left = most - 1
    for char in text:
        left -= _columns(char)
        if left < 0:
            break
        kept += char
    return kept + _MORE


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Return a text with blanks to so many columns, in front of it when it is a number."""
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks


def count(number: int, one: str, many: str = "") -> str:
    """``1 node``, ``1,204 nodes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(part: float) -> str:
    """Return ``20 %``, rounded; 0 and 100 stand only for exactly none and all."""
    if 0 < part < 0.005:
        return "< 1 %"
    if 0.995 <= part < 1:
        return "> 99 %"
    return f"{part:.0%}".replace("%", " %")


def share(used: int, of: int) -> str:
    """Return how full something is; empty when that is not known."""
    return percent(used / of) if of > 0 else _UNKNOWN


def price(amount: float, report_unit: str) -> str:
    """Return ``352`` or ``14.2`` units, and money to a thousandth, which is as exact as prices per hour are."""
    return f"{amount:,.3f}" if report_unit == _MONEY else f"{amount:,.1f}".removesuffix(".0")


def unit(report_unit: str) -> str:
    """Return the unit of prices; no currency, because none is configured."""
    return "per hour" if report_unit == _MONEY else "units"


def priced(amount: float, report_unit: str) -> str:
    """``14.2 units``, ``1.200 per hour``."""
    return f"{price(amount, report_unit)} {unit(report_unit)}"


def amount(resource: str, units: int) -> str:
    """``2.5`` of cores, ``7.5 GiB``, ``3``."""
    if resource == "cpu":
        return f"{units / 1000:,.4g}"
    if resource in ("memory", "ephemeral-storage"):
        return f"{units / _GIB:,.4g} GiB" if abs(units) >= _GIB or not units else f"{units / 2**20:,.3g} MiB"
    return f"{units:,}"


def kind(node: NodeReport) -> str:
    """Return ``m5.large, spot``: what decides the price."""
    name = plain(node.instance_type)
    if node.capacity_type == "spot":
        return f"{name}, spot" if name else "spot"
    return name or _NONE


def cells(usage: Usage | None) -> tuple[str, str, str]:
    """Return CPU, memory and pods as they are now."""
    if usage is None:
        return _UNKNOWN, _UNKNOWN, _UNKNOWN
    of, now = usage.allocatable, usage.before
    return share(now.cpu_millis, of.cpu_millis), share(now.memory_bytes, of.memory_bytes), str(now.pods)


def arrow(old: str, new: str) -> str:
    """Return ``41 % → 78 %``, or one value when both are equal."""
    return f"{old} → {new}" if old != new else old


def settings(configured: Configured) -> Iterator[tuple[str, str]]:
    """Return the settings by the names of the chart's values."""
    for name, value in msgspec.to_builtins(configured).items():
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, float):
            yield name, f"{value:g}"
        else:
            yield name, "none" if value is None else str(value)


def headline(report: Report) -> str:
    """Return the result in one line."""
    if not report.nodes:
        return "There are no nodes to look at."
    if not report.chosen:
        return f"None of {count(report.nodes, 'node')} could go."
    of = f"{len(report.chosen):,} of {count(report.nodes, 'node')} could go"
    cost = f"{price(report.freed, report.unit)} of {priced(report.total, report.unit)}"
    verb = "moves" if report.moved == 1 else "move"
    return f"{of}: {percent(report.part)} of the cost ({cost}), {count(report.moved, 'pod')} {verb}."


def held(report: Report) -> Iterator[tuple[str, list[Holding]]]:
    """Yield the reasons in two parts, with titles: of nodes that may not go, and of nodes that may and stay."""
    may_not = report.nodes - report.may_go
    stay = report.nodes - may_not - len(report.chosen)
    for title, choice in (
        (f"{count(may_not, 'node')} may not be emptied", False),
        (f"{count(stay, 'node')} may be emptied, and {'stays' if stay == 1 else 'stay'}", True),
    ):
        if found := [each for each in report.holding if (each.about == "choice") == choice]:
            yield title, found


def notes(report: Report) -> list[str]:
    """Yield what else a reader must know, one sentence each."""
    found = []
    if not report.configuration.enabled:
        found.append("The evictor is switched off (enabled: false): in the cluster it does nothing of this.")
    if report.cut_off:
        found.append(f"Choosing was cut off after {report.steps:,} steps: more nodes might go.")
    limited = next((each.nodes for each in report.holding if each.reason == "LIMIT"), 0)
    if limited:
        most = count(report.configuration.limit, "node")
        has = "has" if limited == 1 else "have"
        found.append(f"At most {most} may go in a cycle, so {count(limited, 'other')} {has} to wait.")
    if report.unpriced:
        has = "has" if len(report.unpriced) == 1 else "have"
        whose = "no node has" if len(report.unpriced) == report.nodes else f"{some(report.unpriced, 'node')} {has}"
        stated = "any stated" if len(report.unpriced) == report.nodes else "none"
        found.append(f"Prices are in units of the pricing model, because {whose} {stated}.")
    if report.unplaced:
        fits = "fits" if len(report.unplaced) == 1 else "fit"
        found.append(f"{some(report.unplaced, 'pod')} without a node {fits} nowhere now: no room is kept for that.")
    found += [
        f"{each.kind} could not be listed ({plain(each.reason)}). Hidden is {each.hides}." for each in report.unseen
    ]
    for each in report.unread:
        found.append(f"Not all of {each.kind} {plain(each.key)} can be read: {plain(each.reason)}.")
    return found


def some(names: Sequence[str], one: str, most: int = 3) -> str:
    """``4 nodes (a, b, c, …)``."""
    shown = ", ".join(plain(each) for each in names[:most])
    return f"{count(len(names), one)} ({shown}{', ' + _MORE if len(names) > most else ''})"
