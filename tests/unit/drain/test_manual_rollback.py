"""The remains of a drain on a node that no evictor manages are found, and a person removes them."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from moorage.drain import Phase, manual_rollback, names
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tests.unit.pinner.bed.virtual import virtual

from .bed.bed import US, Bed, shop
from .build import mark, node


@pytest.mark.parametrize("phase", Phase)
def test_only_what_has_no_end_is_left(phase: Phase) -> None:
    found = manual_rollback.left(node(mark(phase, tainted=True, cordoned=phase is Phase.DRAINING)))
    assert bool(found) is not phase.over
    if phase is Phase.DRAINING:
        assert found.startswith(f"taint and cordon of evictor {US}, draining at ")
    if phase is Phase.EMPTIED:
        assert found.startswith(f"taint of evictor {US}, emptied at ")


def test_what_nobody_knows_is_not_left_and_no_name_reaches_a_terminal_as_it_is() -> None:
    assert manual_rollback.left(node()) == ""
    assert "\x1b" not in manual_rollback.left(node(mark(Phase.DRAINING, by="\x1b[2J" + 500 * "x")))


@virtual
async def test_nodes_of_an_evictor_that_was_removed_are_given_back_by_hand() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        draining = asyncio.create_task(bed.drain(drainer, "n0", "n1", "n2"))
        await bed.until(lambda: bed.phase("n0") == "emptied" and bed.phase("n1") == "draining")
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        client = Client(cast("Transport", bed.wire))
        nodes = [each for each in await client.list(resources.NODES) if manual_rollback.left(each)]
        assert [each.metadata.name for each in nodes] == ["n0", "n1", "n2"]
        for _ in range(2):  # what is given back already stays as it is
            for each in nodes:
                await manual_rollback.give_back(client, each)
        written = {each.metadata.name: each for each in await client.list(resources.NODES)}
        assert not any(each.spec.unschedulable or each.spec.taints for each in written.values())
        marks = {name: names.read(written[name]) for name in ("n0", "n1", "n2")}
        assert [(each.phase, each.reason) for each in marks.values() if each is not None] == [
            (Phase.HANDED_BACK, "it was stopped (rolled back by a user)"),
            (Phase.ROLLED_BACK, "it was stopped (rolled back by a user)"),
            (Phase.ROLLED_BACK, "it was stopped (rolled back by a user)"),
        ]
        bed.api.delete("nodes", "n2")
        with pytest.raises(errors.NotFound):
            await manual_rollback.give_back(client, nodes[2])
