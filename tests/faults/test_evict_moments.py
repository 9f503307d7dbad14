"""kill -9 of evictor, API server and a kubelet while nodes are emptied: no downtime, and nothing is left behind.

One random moment of each here; ``./taskw faults:evict`` plays twenty.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tools.faults import evict
from tools.faults.moments import Moment
from tools.faults.shop import Shop
from tools.toolchain import ensure

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def simulated() -> Iterator[Shop]:
    ensure(["demo"])
    with Shop(hollow=False) as shop:
        yield shop


@pytest.fixture
def hollow() -> Iterator[Shop]:
    ensure(["demo"])
    with Shop(hollow=True) as shop:
        yield shop


@pytest.mark.parametrize("victim", [evict.EVICTOR, evict.API])
def test_a_kill_at_a_random_moment_breaks_no_floor_and_leaves_no_cordon(victim: str, simulated: Shop) -> None:
    play(simulated, victim)


def test_a_kubelet_that_dies_takes_its_own_pods_along_and_nobody_elses(hollow: Shop) -> None:
    play(hollow, evict.KUBELET)


def play(shop: Shop, victim: str) -> None:
    moment = Moment(victim, round(random.uniform(0, evict.LATEST), 2))
    played = evict.play(shop, moment)
    assert played.good, "\n".join([str(moment), *played.said])
    assert any(each.startswith(f"kill -9 of {victim}") for each in played.said)
