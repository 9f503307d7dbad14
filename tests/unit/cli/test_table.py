"""Columns as kubectl prints them."""

from moorage.cli.table import table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    shown = table(("KIND", "NAME"), [("Node", "n1"), ("NodeReservation", "n2")])
    assert shown.splitlines() == [
        "KIND              NAME",
        "Node              n1",
        "NodeReservation   n2",
    ]


def test_no_rows_is_the_header() -> None:
    assert table(("KIND", "NAME"), []) == "KIND   NAME"
