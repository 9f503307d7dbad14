"""A placeholder and those that it is not for: new zones, host names and static pods, through the whole pinner."""

from __future__ import annotations

from tests.unit.pinner.bed import Bed, Json, virtual

from .test_bed_answers import DONE

ZONE = "topology.kubernetes.io/zone"


def machine(bed: Bed, name: str, zone: str) -> None:
    """A node that runs in a zone."""
    bed.people.join(name)
    bed.api.edit("nodes", name, lambda found: found["metadata"].setdefault("labels", {}).update({ZONE: zone}))


@virtual
async def test_a_new_zone_is_opened_on_purpose_only_and_what_was_accepted_outlives_its_last_machine() -> None:
    async with Bed() as bed:
        machine(bed, "worker-a", "a")
        machine(bed, "worker-b", "b")
        await bed.run(1)
        refused = bed.planner.create("n1", labels={ZONE: "c"})
        allowed = bed.planner.create("n2", labels={ZONE: "c"}, allow_new_zone=True, within=600)
        known = bed.planner.create("n3", labels={ZONE: "b"}, within=600)
        await bed.answered(refused, allowed, known)
        assert [bed.planner.final(each) for each in (refused, allowed, known)] == ["REJECTED NEW_ZONE", DONE, DONE]
        assert (bed.node("n1"), bed.reservation("n1")) == (None, None)
        bed.api.delete("nodes", "worker-b")
        await bed.crash()
        await bed.run(60)
        assert bed.node("n3") is not None
        again = bed.planner.create("n3", labels={ZONE: "b"}, within=600)
        await bed.answered(again)
        assert bed.planner.final(again) == DONE
        assert bed.repeated() == {}


@virtual
async def test_the_hostname_is_the_kubelets_and_is_neither_set_nor_missed() -> None:
    async with Bed() as bed:
        created = bed.planner.create("n1", labels={"pool": "a", "kubernetes.io/hostname": "short"}, within=600)
        (pod,) = bed.people.pods(1)
        pinned = bed.planner.pin("n1", pod, within=600)
        await bed.answered(created, pinned)
        assert "kubernetes.io/hostname" not in _labels(bed.node("n1"))
        bed.people.join("n1")
        await bed.until(lambda: (bed.reservation("n1") or {}).get("status", {}).get("state") == "Ready")
        assert _labels(bed.node("n1"))["kubernetes.io/hostname"] == "n1"
        assert bed.told("NodeDiffers") == []
        assert bed.repeated() == {}


def _labels(node: Json | None) -> Json:
    return dict((node or {})["metadata"]["labels"])
