"""A half-done upgrade: replicas of two versions lead in turn, and neither harms the other's work."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.pinner.bed import Bed, Json, schema, virtual

from .test_bed_answers import DONE

ANYTHING = {"x-kubernetes-preserve-unknown-fields": True, "type": "string"}


@pytest.fixture
def newer_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition that comes with a newer version, as an upgrade applies it first: more fields, everywhere."""
    found = copy.deepcopy(schema.schema())
    spec = found["properties"]["spec"]["properties"]
    for fields in (spec, spec["promise"]["properties"], found["properties"]["status"]["properties"]):
        fields["later"] = ANYTHING
    for name in ("pins", "slots", "instructions", "nominations"):
        spec[name]["items"]["properties"]["later"] = ANYTHING
    monkeypatch.setattr(schema, "schema", lambda: found)


def as_newer(reservation: Json) -> None:
    """A newer version's additions to shared objects."""
    spec = reservation["spec"]
    spec["later"] = spec["promise"]["later"] = "x"
    for name in ("pins", "slots", "instructions"):
        for entry in spec.get(name, ()):
            entry["later"] = f"{name}-x"


def later(spec: Json, name: str) -> list[Any]:
    return [entry.get("later") for entry in spec.get(name, ())]


@pytest.mark.usefixtures("newer_definition")
@virtual
async def test_an_older_replica_takes_over_from_a_newer_one_and_drops_nothing_that_it_does_not_know() -> None:
    async with Bed() as bed:
        first, second = bed.people.pods(2, "api")
        created, pinned = bed.planner.create("n1", within=300), bed.planner.pin("n1", first, within=300)
        expected = bed.planner.expect("n1", 2, within=300)
        await bed.answered(created, pinned, expected)
        bed.api.edit("nodereservations", "n1", as_newer)
        await bed.crash()
        again = bed.planner.pin("n1", second, within=300)
        await bed.answered(again)
        assert bed.planner.final(again) == DONE
        await bed.until(lambda: len((bed.reservation("n1") or {})["spec"]["pins"]) == 2)
        spec = (bed.reservation("n1") or {})["spec"]
        assert (spec["later"], spec["promise"]["later"]) == ("x", "x")
        assert later(spec, "pins") == ["pins-x", None]
        assert later(spec, "slots") == ["slots-x"]
        assert later(spec, "instructions")[:3] == ["instructions-x"] * 3
        bed.people.join("n1")
        await bed.until(lambda: (bed.reservation("n1") or {}).get("status", {}).get("state") in ("Preparing", "Ready"))
        spec = (bed.reservation("n1") or {})["spec"]
        assert (spec["later"], later(spec, "pins")) == ("x", ["pins-x", None])
        assert not bed.said("reservation has fields that cannot be read")
        assert bed.repeated() == {}


@virtual
async def test_a_newer_replica_takes_over_from_one_that_knew_neither_owners_nor_instructions() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        created, pinned = bed.planner.create("n1", within=300), bed.planner.pin("n1", *pods, within=300)
        await bed.answered(created, pinned)

        def as_older(reservation: Json) -> None:
            spec = reservation["spec"]
            kept = ("namespace", "name", "uid")
            spec["pins"] = [{key: pin[key] for key in kept} for pin in spec["pins"]]
            for name in ("instructions", "slots", "nominations", "expectedUntil", "plan", "released"):
                spec.pop(name, None)

        bed.api.edit("nodereservations", "n1", as_older)
        await bed.crash()
        expected = bed.planner.expect("n1", 1, within=300)
        await bed.answered(expected)
        bed.people.join("n1")
        await bed.until(lambda: bed.told("PlaceholderAdopted"))
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        assert bed.planner.final(expected) == DONE
        assert bed.repeated() == {}
