"""Conditions from a whole pinner: part of the status that it writes anyway, without additional writes."""

from __future__ import annotations

import copy
from dataclasses import replace

import msgspec
import pytest

from moorage.pinner.decisions.status import status_of
from moorage.pinner.decisions.steps import ShowStatus, key
from tests.unit.pinner.bed import Bed, Json, schema, virtual
from tests.unit.pinner.model import Corner, joined, placeholder, reservation_of, spec_of


def conditions(bed: Bed, name: str = "n1") -> dict[str, Json]:
    listed = ((bed.reservation(name) or {}).get("status") or {}).get("conditions", [])
    return {each["type"]: each for each in listed}


def status(bed: Bed, condition: str) -> str:
    return str(conditions(bed).get(condition, {}).get("status", ""))


async def a_life(bed: Bed) -> None:
    """A node that is created, gets pods and expectations, joins, is adopted, and is not Ready for a moment later."""
    pods = bed.people.pods(3, "api")
    await bed.answered(bed.planner.create("n1", within=300), bed.planner.pin("n1", *pods[:2], within=300))
    await bed.run(5)
    await bed.answered(bed.planner.pin("n1", pods[2], within=300), bed.planner.expect("n1", 1, within=300))
    await bed.run(5)
    bed.people.join("n1", ready=False)
    await bed.run(5)
    bed.people.join("n1")
    await bed.run(320)
    for ready in (False, True):
        bed.people.join("n1", ready=ready)
        await bed.run(5)


def written(bed: Bed) -> int:
    return len(bed.asked("update", "nodereservations/status"))


@virtual
async def test_conditions_turn_with_the_life_of_a_node_and_their_times_with_them() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=300))
        await bed.until(lambda: status(bed, "PlaceholderCreated") == "True")
        assert (status(bed, "Ready"), status(bed, "Adopted"), status(bed, "Stalled")) == ("False",) * 3
        before = conditions(bed)
        await bed.run(20)
        bed.people.join("n1")
        await bed.until(lambda: status(bed, "Ready") == "True")
        after = conditions(bed)
        assert status(bed, "Adopted") == "True"
        assert after["Ready"]["lastTransitionTime"] > before["Ready"]["lastTransitionTime"]
        assert after["Stalled"]["lastTransitionTime"] == before["Stalled"]["lastTransitionTime"]
        assert all(each["reason"] and each["message"] is not None for each in after.values())
        count = written(bed)
        await bed.run(300)
        await bed.crash()
        await bed.run(60)
        assert written(bed) == count, "nothing has changed"


@virtual
async def test_a_machine_that_is_not_ready_in_time_stalls_and_one_that_was_does_not() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=30), bed.planner.create("n2", within=30))
        bed.people.join("n1", ready=False)
        bed.people.join("n2")
        await bed.until(lambda: status(bed, "Stalled") == "True", within=60)
        assert conditions(bed)["Stalled"]["reason"] == "DeadlinePassed"
        bed.people.join("n2", ready=False)
        await bed.until(lambda: conditions(bed, "n2")["Ready"]["status"] == "False")
        assert conditions(bed, "n2")["Stalled"]["status"] == "False"
        assert conditions(bed, "n2")["Adopted"]["status"] == "True"
        bed.people.join("n1")
        await bed.until(lambda: status(bed, "Ready") == "True")
        assert status(bed, "Stalled") == "False"
        assert bed.repeated() == {}


@virtual
async def test_an_older_definition_prunes_them_and_gets_the_same_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def life(*, keeps: bool) -> int:
        async with Bed() as bed:
            await a_life(bed)
            assert bool(conditions(bed)) is keeps
            assert (bed.reservation("n1") or {})["status"]["state"] == "Ready"
            assert not bed.said("step has no effect, trying again later")
            assert bed.repeated() == {}
            return written(bed)

    count = await life(keeps=True)
    older = copy.deepcopy(schema.schema())
    del older["properties"]["status"]["properties"]["conditions"]
    monkeypatch.setattr(schema, "schema", lambda: older)
    assert await life(keeps=False) == count


def test_a_status_without_conditions_is_no_reason_to_write_it() -> None:
    """After an upgrade every reservation would be written once, and again and again where they are pruned."""
    for corner in (
        Corner(reservation_of(spec_of()), node=placeholder()),
        Corner(reservation_of(spec_of(node_uid="n"), is_open=False), node=joined(placeholder(), ready=True)),
    ):
        decision = corner.decide()
        found = status_of(corner.observe(), decision)
        assert found is not None
        assert {each["type"] for each in found["conditions"]} == {"Ready", "PlaceholderCreated", "Adopted", "Stalled"}
        for shown in (found, {name: value for name, value in found.items() if name != "conditions"}):
            assert status_of(_showing(corner, shown).observe(), decision) is None
        turned = copy.deepcopy(found)
        turned["conditions"][0]["status"] = "Unknown"
        assert status_of(_showing(corner, turned).observe(), decision) is not None


def test_a_status_that_was_refused_is_the_same_a_second_later() -> None:
    said = {"state": "Ready", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "a"}]}
    later = {"state": "Ready", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "b"}]}
    reservation = reservation_of(spec_of())
    assert key(ShowStatus(reservation, said)) == key(ShowStatus(reservation, later))


def _showing(corner: Corner, shown: Json) -> Corner:
    assert corner.reservation is not None
    return replace(corner, reservation=msgspec.structs.replace(corner.reservation, status=shown))
