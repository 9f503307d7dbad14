"""Whether our Deployment is scaled to zero: only certain knowledge counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from moorage.controller import scaled
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import Workload
from moorage.objects.workloads import WorkloadSpec


class Api:
    """Answers with a Deployment, with an error, or (None) never."""

    def __init__(self, answer: Workload | Exception | None) -> None:
        self._answer = answer

    async def get(self, *_: Any) -> Workload:
        if self._answer is None:
            await asyncio.Event().wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        return cast("Workload", self._answer)


@pytest.mark.parametrize(
    ("answer", "zero"),
    [
        (Workload(spec=WorkloadSpec(replicas=0)), True),
        (Workload(spec=WorkloadSpec(replicas=1)), False),
        (Workload(), False),
        (errors.NotFound(404, errors.Status(code=404), request="get"), False),
        (errors.Forbidden(403, errors.Status(code=403), request="get"), False),
        (errors.ConnectionLost("gone"), False),
        (None, False),
    ],
)
async def test_only_a_deployment_that_says_so_is_scaled_to_zero(
    answer: Workload | Exception | None, zero: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaled, "ANSWER", 0.05)
    assert await scaled.to_zero(cast("Client", Api(answer)), "ns", "ours") is zero
