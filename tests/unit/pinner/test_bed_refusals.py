"""Pods that a kubelet refuses after they were pinned: swept whatever the reason, once each."""

from __future__ import annotations

import pytest

from tests.unit.pinner.bed import Bed, Json, virtual
from tests.unit.pinner.bed.store import key_of

from .decisions.kubelet_reasons import EVERY
from .test_bed_answers import placeholder


def unswept(bed: Bed, pods: list[Json]) -> list[Json]:
    return [pod for pod in pods if bed.api.read("pods", key_of(pod)) is not None]


@pytest.mark.parametrize("chunk", [EVERY[:15], EVERY[15:]])
@virtual
async def test_each_reason_of_a_kubelet_ends_in_one_deletion_and_one_replacement(chunk: tuple[str, ...]) -> None:
    async with Bed() as bed:
        made = await placeholder(bed, pods=len(chunk))
        bed.people.join("n1", ready=False)
        for pod, reason in zip(made, chunk, strict=True):
            bed.people.fail(pod, reason)
        await bed.run(120)
        assert unswept(bed, made) == []  # those that were pinned before it was too much are swept, too
        deleted = [entry.key for entry in bed.asked("delete", "pods") if entry.changed]
        assert sorted(deleted) == sorted(key_of(pod) for pod in made)
        quoted = [record.__dict__["why"] for record in bed.logs if record.getMessage() == "pod deleted"]
        assert all(why.startswith("the kubelet refused the pod: ") for why in quoted)
        assert bed.repeated() == {}


@virtual
async def test_a_pod_that_ran_keeps_its_end_and_one_that_was_ours_before_adoption_is_still_swept() -> None:
    async with Bed() as bed:
        ran, refused = await placeholder(bed, pods=2)
        bed.people.join("n1")
        await bed.until(lambda: len(bed.bound("n1")) == 2 and bed.told("PlaceholderAdopted"))
        bed.people.fail(refused, "NodeShutdown")
        running = [{"name": "main", "state": {"terminated": {"reason": "Error"}}}]
        status = {"phase": "Failed", "reason": "Evicted", "containerStatuses": running}
        bed.api.edit("pods", key_of(ran), lambda found: found.update(status=status))
        await bed.until(lambda: bed.api.read("pods", key_of(refused)) is None)
        await bed.run(60)
        assert bed.api.read("pods", key_of(ran)) is not None
        assert bed.repeated() == {}
