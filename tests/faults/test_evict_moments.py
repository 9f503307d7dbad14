"""kill -9 of evictor, API server and a kubelet while nodes are emptied: no downtime, and nothing stays behind.

One random moment of each. ``./taskw faults:evict`` runs twenty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tools.faults import evict
from tools.faults.moments import Moment
from tools.toolchain import ensure

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def shops() -> Iterator[evict.Shops]:
    ensure(["demo"])
    with evict.Shops() as opened:
        yield opened


@pytest.mark.parametrize("victim", [evict.EVICTOR, evict.API, evict.KUBELET])
def test_a_kill_at_a_random_moment_breaks_no_floor_and_leaves_no_cordon(victim: str, shops: evict.Shops) -> None:
    moment = Moment(victim, round(random.uniform(0, evict.LATEST), 2))
    played = shops.play(moment)

    assert played.good, "\n".join([str(moment), *played.said])
    assert any(each.startswith(f"kill -9 of {victim}") for each in played.said)
