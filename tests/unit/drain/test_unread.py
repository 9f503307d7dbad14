"""Whole drains in a cluster in memory with unreadable objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.pinner.bed.virtual import virtual

from .bed.bed import NAMESPACE, Bed, shop


def _odd_pod(bed: Bed) -> None:
    key = next(key for key in bed.api.store.objects["pods"] if key.endswith(bed.pods_on("n0")[0]))
    bed.api.edit("pods", key, lambda pod: pod["status"].update(phase=7))


def _odd_budget(bed: Bed) -> None:
    bed.api.edit("poddisruptionbudgets", f"{NAMESPACE}/pay", lambda found: found["spec"].update(selector=7))


def _odd_deployment(bed: Bed) -> None:
    bed.api.edit("deployments", f"{NAMESPACE}/web", lambda found: found["spec"].update(replicas="many"))


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        (_odd_pod, "a pod on the node may not be moved (Pod shop/"),
        (_odd_budget, "the number of pods that its workload must keep is unknown"),
        (_odd_deployment, "the number of pods that its workload must keep is unknown"),
    ],
)
@virtual
async def test_what_cannot_be_read_is_no_permission(deed: Callable[[Bed], None], text: str) -> None:
    async with Bed(drain_timeout=timedelta(seconds=60)) as bed:
        shop(bed)
        drainer = await bed.begin()
        deed(bed)
        await asyncio.sleep(1.0)
        drained = await bed.drain(drainer, "n0")
        assert text in str(drained.nodes["n0"].why)
        assert not [key for _, resource, key, _ in bed.writes() if resource == "pods/eviction" and "web" in key]
        assert bed.wrong() == []
