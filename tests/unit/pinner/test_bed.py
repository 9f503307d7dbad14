"""The bed itself: that a day without faults goes as it should, and that the server is as strict as a real one."""

from __future__ import annotations

from tests.unit.pinner.bed import Bed, virtual

DONE = "APPLIED OK"


@virtual
async def test_a_node_is_promised_pinned_to_joined_and_adopted() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(3)
        created, pinned = bed.planner.create("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        await bed.run(30)
        bed.people.join("n1")
        await bed.until(lambda: (bed.reservation("n1") or {}).get("status", {}).get("state") == "Ready")
        assert len(bed.told("PlaceholderAdopted")) == 1
        assert "finalizers" not in (bed.reservation("n1") or {})["metadata"]
        await bed.run(10)
        rested = bed.now()
        await bed.run(600)
        assert bed.writes(since=rested) == []
        assert bed.repeated() == {}


@virtual
async def test_a_promise_that_is_not_kept_leaves_nothing() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        created, pinned = bed.planner.create("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(created, pinned)
        await bed.until(lambda: bed.reservation("n1") is None, within=90)
        assert bed.node("n1") is None
        assert bed.bound("n1") == set()
        assert bed.repeated() == {}
