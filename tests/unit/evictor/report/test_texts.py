"""The exact texts for a small cluster. ``MOORAGE_GOLDEN=write`` writes them again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moorage.evictor import report
from moorage.evictor.report import display

from .build import WHERE, seen, small, typed

GOLDEN = Path(__file__).parent / "golden"
REPORT = report.build(small(), WHERE)


def is_as_before(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("MOORAGE_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_the_table() -> None:
    is_as_before("table.txt", report.as_table(REPORT))


def test_the_table_in_colour() -> None:
    is_as_before("colour.txt", report.as_table(REPORT, colour=True))


def test_everything() -> None:
    is_as_before("wide.txt", report.as_wide(REPORT))


def test_for_programs() -> None:
    is_as_before("report.json", report.as_json(REPORT))


def test_the_page() -> None:
    is_as_before("report.html", report.as_html(REPORT))


@pytest.mark.parametrize("name", ["n1", "n3", "n4"])
def test_a_node(name: str) -> None:
    found = report.explain_node(small(), name)
    is_as_before(f"node-{name}.txt", found.text())
    is_as_before(f"node-{name}.json", found.json())


@pytest.mark.parametrize("name", ["web-a", "db-0", "tool", "waits", "agent-n1"])
def test_a_pod(name: str) -> None:
    found = report.explain_pod(small(), f"shop/{name}")
    is_as_before(f"pod-{name}.txt", found.text())
    is_as_before(f"pod-{name}.json", found.json())


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = typed("node-of-a-name-that-is-longer-than-anybody-would-like-to-read-in-a-table", "a" * 60)
    assert all(display.width(line) <= width for line in report.as_table(REPORT, width=width).splitlines())
    lines = report.as_table(report.build(seen(long, typed("n2", "b")), WHERE), width=width).splitlines()
    assert all(display.width(line) <= width for line in lines)


def test_without_nodes() -> None:
    found = report.build(seen(), WHERE)
    assert report.as_table(found) == "There are no nodes to look at.\n"
    assert report.from_json(report.as_json(found)) == found
    assert "There are no nodes to look at." in report.as_html(found)


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "0 %"), (0.001, "< 1 %"), (0.2, "20 %"), (0.998, "> 99 %"), (1, "100 %"), (1.25, "125 %")],
)
def test_parts_are_not_rounded_to_what_they_are_not(part: float, text: str) -> None:
    assert display.percent(part) == text


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (352.0, "units", "352 units"),
        (14.25, "units", "14.2 units"),
        (0.096, "money", "0.096 per hour"),
        (1234.5, "money", "1,234.500 per hour"),
    ],
)
def test_prices_have_no_currency(amount: float, unit: str, text: str) -> None:
    assert display.priced(amount, unit) == text
