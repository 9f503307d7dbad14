"""Expected pods that were created while no webhook was served: the next leader binds those that are still pending."""

from __future__ import annotations

import pytest

from tests.unit.pinner.bed import Bed, Json, virtual


def uids(pods: list[Json]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def pins(bed: Bed, node: str) -> set[str]:
    """What is written down for a node."""
    return {pin["uid"] for pin in (bed.reservation(node) or {}).get("spec", {}).get("pins", ())}


@virtual
async def test_as_many_as_are_expected_are_bound_those_first_that_wait_longest() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        await bed.answered(bed.planner.create("n1"), bed.planner.expect("n1", 3))
        await bed.until(lambda: bed.bound("n1") == uids(pods))
        more = bed.people.pods(3)
        await bed.until(lambda: len(bed.bound("n1")) == 3)
        await bed.run(20)
        assert bed.bound("n1") == uids([*pods, more[0]]) == pins(bed, "n1")
        assert bed.repeated() == {}


@virtual
async def test_who_leads_next_binds_what_came_in_the_gap() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1"), bed.planner.expect("n1", 2))
        bed.leads = False
        pods = bed.people.pods(2)
        await bed.run(5)
        assert bed.bound("n1") == set()
        bed.leads = True
        await bed.crash()
        await bed.until(lambda: bed.bound("n1") == uids(pods))


@virtual
async def test_a_pod_takes_one_slot_of_two_nodes() -> None:
    async with Bed() as bed:
        for node in ("n1", "n2"):
            await bed.answered(bed.planner.create(node), bed.planner.expect(node, 2))
        pods = bed.people.pods(3)
        await bed.until(lambda: bed.bound("n1") | bed.bound("n2") == uids(pods))
        await bed.run(20)
        assert len(bed.bound("n1")) + len(bed.bound("n2")) == 3
        assert bed.repeated() == {}


@pytest.mark.parametrize(
    "special",
    [
        {"schedulingGates": [{"name": "example.com/wait"}]},
        {"schedulerName": "another"},
        {"nodeSelector": {"pool": "b"}},
        {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1000"}}}]},
        {"containers": [{"name": "main", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]},
    ],
)
@virtual
async def test_what_may_not_be_pinned_or_does_not_fit_keeps_no_slot_from_others(special: Json) -> None:
    async with Bed() as bed:
        left = bed.people.pods(2, **special)
        await bed.answered(bed.planner.create("n1"), bed.planner.expect("n1", 1))
        await bed.run(5)
        assert bed.bound("n1") == set()
        pods = bed.people.pods(1)
        await bed.until(lambda: bed.bound("n1") == uids(pods))
        await bed.run(20)
        assert pins(bed, "n1").isdisjoint(uids(left))
        assert bed.repeated() == {}


@virtual
async def test_a_node_that_is_open_to_the_scheduler_is_left_to_it() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=600), bed.planner.expect("n1", 1, within=600))
        bed.people.join("n1")
        await bed.run(30)
        bed.people.pods(1)
        await bed.run(20)
        assert bed.bound("n1") == set()
