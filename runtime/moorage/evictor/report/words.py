"""Numbers and names as people read them; whatever names a cluster has, they are shown as one line of visible text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .model import NodeReport, Report, Usage

_GIB = 2**30
_MORE = "…"
_UNKNOWN = "?"
_NONE = "-"


def plain(text: str) -> str:
    """A text in which nothing can move the cursor, change its direction or start a line."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """How many columns a text takes in a terminal."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shortened(text: str, most: int) -> str:
    """A text of at most so many columns; one that is longer ends with an ellipsis."""
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
    """A text with blanks to so many columns, in front of it when it is a number."""
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks


def count(number: int, one: str, many: str = "") -> str:
    """``1 node``, ``1,204 nodes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(part: float) -> str:
    """``20 %``: whole ones, but never nothing of something, nor all of what is not all."""
    if 0 < part < 0.005:
        return "< 1 %"
    if 0.995 <= part < 1:
        return "> 99 %"
    return f"{part:.0%}".replace("%", " %")


def share(used: int, of: int) -> str:
    """How full something is; of what is not known nobody can say."""
    return percent(used / of) if of > 0 else _UNKNOWN


def price(amount: float) -> str:
    """As many digits as matter."""
    if amount and abs(amount) < 1:
        return f"{amount:.3f}"
    return f"{amount:,.2f}" if abs(amount) < 100 else f"{amount:,.0f}"


def unit(report_unit: str) -> str:
    """In what prices are; a currency is never named, because nobody has said one."""
    return "per hour" if report_unit == "money" else "units"


def priced(amount: float, report_unit: str) -> str:
    """``14.2 units``, ``1.20 per hour``."""
    return f"{price(amount)} {unit(report_unit)}"


def cores(millis: int) -> str:
    """``2.5``."""
    return f"{millis / 1000:,.4g}" if abs(millis) < 1_000_000 else f"{millis / 1000:,.0f}"


def memory(number: int) -> str:
    """``7.5 GiB``."""
    gib = number / _GIB
    return f"{gib:,.3g} GiB" if abs(gib) < 1000 else f"{gib:,.0f} GiB"


def kind(node: NodeReport) -> str:
    """``m5.large, spot``: what people pay for."""
    name = plain(node.instance_type)
    if node.capacity_type == "spot":
        return f"{name}, spot" if name else "spot"
    return name or _NONE


def cells(usage: Usage | None) -> tuple[str, str, str]:
    """CPU, memory and pods as they are now."""
    if usage is None:
        return _UNKNOWN, _UNKNOWN, _UNKNOWN
    of, now = usage.allocatable, usage.before
    return share(now.cpu_millis, of.cpu_millis), share(now.memory_bytes, of.memory_bytes), str(now.pods)


def headline(report: Report) -> str:
    """What people want to know first."""
    if not report.nodes:
        return "There are no nodes to look at."
    if not report.chosen:
        return f"None of {count(report.nodes, 'node')} could go."
    of = f"{len(report.chosen):,} of {count(report.nodes, 'node')} could go"
    cost = f"{price(report.freed)} of {priced(report.total, report.unit)}"
    verb = "moves" if report.moved == 1 else "move"
    return f"{of}: {percent(report.part)} of the cost ({cost}), {count(report.moved, 'pod')} {verb}."


def notes(report: Report) -> list[str]:
    """What else must be known to understand the answer, one sentence each."""
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
        found.append(
            f"Prices are in units of the pricing model, because {some(report.unpriced, 'node')} "
            f"{'has' if len(report.unpriced) == 1 else 'have'} none."
        )
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
