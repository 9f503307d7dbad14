"""The generated reference pages: every field, message and value is present with a description."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moorage.protocol._generated import pinning_pb2
from tools.generate import bundle, objects, plan

ROOT = Path(__file__).parents[3]
PROTOCOL = (ROOT / "docs/reference/protocol.md").read_text()


def fields(page: str) -> list[str]:
    """The first cell of each row of its tables of fields."""
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def section(page: str, head: str) -> str:
    _, _, rest = page.partition(f"\n### {head}\n")
    return rest.partition("\n###")[0].partition("\n## ")[0]


def test_every_message_and_field_of_the_protocol_is_there_with_a_meaning() -> None:
    messages = pinning_pb2.DESCRIPTOR.message_types_by_name
    assert {"NodeReport", "NodeReports", "SlotReport", "Instruction"} <= set(messages)
    for name, message in messages.items():
        rows = section(PROTOCOL, name)
        for field in message.fields:
            (row,) = re.findall(rf"^\| {field.number} \| `{field.name}` \| .+ \| (.*) \|$", rows, re.MULTILINE)
            assert row.endswith("."), (name, field.name)


def test_every_value_of_the_protocols_enumerations_is_there() -> None:
    for name, enum in pinning_pb2.DESCRIPTOR.enum_types_by_name.items():
        reasons = name == "ReasonCode"
        rows = PROTOCOL.partition("\n## ReasonCode\n")[2] if reasons else section(PROTOCOL, name)
        for value in enum.values:
            shown = value.name.removeprefix("REASON_CODE_") if reasons else value.name
            assert shown == "UNSPECIFIED" or f"| {value.number} | `{shown}` |" in rows, value.name


def test_every_key_of_a_plan_is_in_exactly_one_table_of_its_kind() -> None:
    whole = bundle.bundled("plan/plan.schema.json")
    page = plan.page()
    assert fields(page.partition("## A template")[0]) == list(whole["properties"])
    node = whole["properties"]["nodes"]["items"]
    assert fields(page.partition("## A node")[2].partition("\n## ")[0]) == list(node["properties"])


def test_what_is_inside_of_lists_and_maps_has_a_path_of_its_own() -> None:
    found = fields(objects.pages()["docs/reference/node-reservation.md"])
    assert {"promise.allocatable", "pins[].uid", "slots[].owner.kind", "state"} <= set(found)
    assert len(fields(objects.pages()["docs/reference/evictor-config.md"])) > 60


def test_a_field_without_a_description_is_a_mistake() -> None:
    schema = {
        "properties": {"a": {"type": "array", "description": "x", "items": {"type": "object", "properties": {"b": {}}}}}
    }
    with pytest.raises(ValueError, match=r"a\[\].b has no description"):
        objects.table(schema)
