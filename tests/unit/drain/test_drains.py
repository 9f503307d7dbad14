"""Whole drains in a cluster in memory: what goes well, and what must not happen when something does not."""

from __future__ import annotations

from moorage.drain import Outcome
from tests.unit.pinner.bed.virtual import virtual

from .bed.bed import Bed, shop


@virtual
async def test_nodes_are_emptied_and_no_workload_notices() -> None:
    async with Bed() as bed:
        shop(bed)
        drained = await bed.drain(await bed.begin(), "n0", "n1")
        assert {name: each.outcome for name, each in drained.nodes.items()} == {
            "n0": Outcome.EMPTIED,
            "n1": Outcome.EMPTIED,
        }
        assert drained.stopped is None
        assert bed.pods_on("n0") == bed.pods_on("n1") == []
        assert not bed.node("n0")["spec"].get("unschedulable")
        await bed.peace()
        assert bed.wrong() == []
