"""The conditions of reservations: those of each state, and the one that stays after an adoption."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.objects.conditions import merged
from moorage.reservations.conditions import of_node, of_slots

CRDS = Path(__file__).parents[3] / "schemas" / "crds"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NODE: dict[str, Any] = {"late": False, "made": True, "over": False}
STATES: dict[str, tuple[dict[str, Any], tuple[str, str, str, str]]] = {
    # state: what is known besides, and Ready, PlaceholderCreated, Adopted, Stalled
    "Pending": (
        {"made": False},
        ("False PlaceholderPending", "False NotCreated", "False PlaceholderPending", "False AsExpected"),
    ),
    "Pending, late": (
        {"made": False, "late": True},
        ("False MachineAwaited", "False MachineBringsNode", "False MachineAwaited", "False AsExpected"),
    ),
    "Placeholder": ({}, ("False MachineAwaited", "True Created", "False MachineAwaited", "False AsExpected")),
    "Joining": ({}, ("False MachineStarting", "True Created", "False MachineStarting", "False AsExpected")),
    "Joining, too late": (
        {"over": True},
        ("False DeadlinePassed", "True Created", "False DeadlinePassed", "True DeadlinePassed"),
    ),
    "Preparing": ({}, ("True PodsExpected", "True Created", "True MachineJoined", "False AsExpected")),
    "Ready": ({}, ("True NodeReady", "True Created", "True MachineJoined", "False AsExpected")),
    "Ready, late": (
        {"late": True},
        ("True NodeReady", "False MachineBringsNode", "True MachineJoined", "False AsExpected"),
    ),
    "Ready, long ago": ({"over": True}, ("True NodeReady", "True Created", "True MachineJoined", "False AsExpected")),
    "Foreign": ({}, ("False NodeForeign", "True Created", "False NodeForeign", "True NodeForeign")),
    "Failing": ({}, ("False PromiseFailed", "True Created", "False PromiseFailed", "True PromiseFailed")),
    "Stopped": (
        {"made": False},
        ("False NeedsRepair", "False NotCreated", "False NeedsRepair", "True NeedsRepair"),
    ),
}


def said(state: str, listed: Any = None, **known: Any) -> tuple[str, ...]:
    found = of_node(listed, state.partition(",")[0], "so it is", **{**NODE, **known})
    assert [each.type for each in found] == ["Ready", "PlaceholderCreated", "Adopted", "Stalled"]
    return tuple(f"{each.status} {each.reason}" for each in found)


@pytest.mark.parametrize("state", STATES)
def test_what_each_state_comes_to(state: str) -> None:
    known, wanted = STATES[state]
    assert said(state, **known) == wanted


def test_every_state_of_the_definition_has_its_conditions() -> None:
    definition = yaml.safe_load((CRDS / "nodereservations.moorage.dev.yaml").read_text("utf-8"))
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    words = status["state"]["description"].replace(" or ", ", ").rstrip(".").split(", ")
    assert set(words) == {state.partition(",")[0] for state in STATES}


def test_a_node_that_was_adopted_once_stays_adopted_and_does_not_stall_while_it_is_not_ready() -> None:
    ready = merged(None, of_node(None, "Ready", "", **NODE), NOW)
    assert said("Joining", ready, over=True) == (
        "False MachineStarting",
        "True Created",
        "True MachineJoined",
        "False AsExpected",
    )
    assert said("Foreign", ready)[2] == "False NodeForeign"


def test_what_went_wrong_is_in_the_words_of_the_status() -> None:
    ready, _, _, stalled = of_node(None, "Stopped", "the reservation cannot be read", **NODE)
    assert (ready.message, stalled.message) == ("the reservation cannot be read",) * 2
    assert of_node(None, "Ready", "the machine has joined", **NODE)[3].message == ""


def test_slots_that_count_are_ready() -> None:
    found = [
        of_slots("", served=True, readable=True),
        of_slots("it is over", served=False, readable=True),
        of_slots("it cannot be read", served=False, readable=False),
    ]
    assert [(each.status, each.reason) for each in found] == [
        ("True", "Served"),
        ("False", "NotServed"),
        ("False", "NeedsRepair"),
    ]


@pytest.mark.parametrize("plural", ["nodereservations", "slotreservations"])
def test_the_definition_takes_conditions_as_the_api_has_them(plural: str) -> None:
    definition = yaml.safe_load((CRDS / f"{plural}.moorage.dev.yaml").read_text("utf-8"))
    (version,) = definition["spec"]["versions"]
    field = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert field["x-kubernetes-list-map-keys"] == ["type"]
    assert field["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]
    (one,) = merged(None, [of_slots("", served=True, readable=True)], NOW, generation=1)
    assert one.keys() == field["items"]["properties"].keys()
    assert set(field["items"]["required"]) == one.keys() - {"observedGeneration"}
    columns = {each["name"]: each["jsonPath"] for each in version["additionalPrinterColumns"]}
    assert columns["Ready"] == '.status.conditions[?(@.type=="Ready")].status'
    assert columns["Message"] == ".status.message"
