from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kube.clock import MAX_DRIFT, MAX_SKEW, ClockNotSynchronised, ServerClock

ROUNDING = timedelta(microseconds=2)  # floats of this size resolve 0.2 µs, datetimes 1 µs


class World:
    """A monotonic clock, and a server whose wall clock is ``epoch`` ahead of it and drifts by ``drift``."""

    def __init__(self, epoch: float = 1_800_000_000.25, drift: float = 0.0) -> None:
        self.moment = 1000.0
        self.epoch = epoch
        self.drift = drift
        self.clock = ServerClock(lambda: self.moment)

    def server_time(self) -> float:
        return self.epoch + self.moment + self.drift * (self.moment - 1000.0)

    def true_now(self) -> datetime:
        return datetime.fromtimestamp(self.server_time(), UTC)

    def exchange(self, there: float, back: float) -> None:
        sent = self.moment
        self.moment += there
        date = formatdate(int(self.server_time()), usegmt=True)
        self.moment += back
        self.clock.observe(date, sent, self.moment)


def test_time_is_unknown_before_the_first_answer() -> None:
    clock = ServerClock()
    assert not clock.synchronised
    with pytest.raises(ClockNotSynchronised, match="Date header"):
        clock.now()
    with pytest.raises(ClockNotSynchronised):
        clock.uncertainty()


@pytest.mark.parametrize("header", [None, "", "yesterday", "Wed, 99 Foo 2026 25:00:00 GMT"])
def test_unreadable_date_teaches_nothing(header: str | None) -> None:
    clock = ServerClock()
    clock.observe(header, 1.0, 2.0)
    assert not clock.synchronised


def test_answers_narrow_the_bounds_to_the_round_trip() -> None:
    world = World()
    world.exchange(0.01, 0.01)
    assert world.clock.uncertainty() > timedelta(seconds=1)
    for _ in range(100):
        world.moment += 0.97
        world.exchange(0.01, 0.01)
    assert world.clock.uncertainty() < timedelta(milliseconds=150)
    assert world.true_now() - world.clock.uncertainty() <= world.clock.now() <= world.true_now() + ROUNDING


def test_an_answer_reported_late_does_not_move_the_bounds_back() -> None:
    world = World()
    world.exchange(0.0, 0.5)
    early = (formatdate(int(world.epoch + 999.0), usegmt=True), 999.0, 999.2)
    before = world.clock.now()
    world.clock.observe(*early)
    assert before <= world.clock.now() <= world.true_now() + ROUNDING


latencies = st.floats(0.0, 5.0)
exchanges = st.lists(st.tuples(st.floats(0.0, 400.0), latencies, latencies), min_size=1, max_size=40)


@given(st.floats(1.7e9, 1.9e9), st.floats(-MAX_DRIFT, MAX_DRIFT), exchanges)
def test_never_ahead_never_backwards_and_within_its_uncertainty(
    epoch: float, drift: float, plan: list[tuple[float, float, float]]
) -> None:
    world = World(epoch, drift)
    last = None
    for idle, there, back in plan:
        world.exchange(there, back)
        for step in (0.0, idle):
            world.moment += step
            now = world.clock.now()
            assert now <= world.true_now() + ROUNDING
            assert world.true_now() <= now + world.clock.uncertainty() + ROUNDING
            assert last is None or now >= last
            last = now


steps = st.floats(MAX_SKEW + 13.0, 1e6)
"""Steps that no answer can hide: each of two may leave 5 s of its way open and 1 s of its date, and clocks drift."""


@given(exchanges, steps, st.booleans(), latencies, latencies, exchanges)
def test_follows_a_server_whose_clock_is_set(
    before: list[tuple[float, float, float]],
    step: float,
    backwards: bool,
    there: float,
    back: float,
    after: list[tuple[float, float, float]],
) -> None:
    world = World()
    for idle, out, home in before:
        world.exchange(out, home)
        world.moment += idle
    world.epoch += -step if backwards else step
    for idle, out, home in [(0.0, there, back), *after]:
        world.exchange(out, home)
        assert world.clock.now() <= world.true_now() + ROUNDING
        assert world.true_now() <= world.clock.now() + world.clock.uncertainty() + ROUNDING
        world.moment += idle


def test_a_small_step_is_noticed_by_a_later_answer() -> None:
    world = World()
    for _ in range(150):
        world.moment += 0.97
        world.exchange(0.01, 0.01)
    world.epoch -= 0.4
    for _ in range(150):
        world.moment += 0.97
        world.exchange(0.01, 0.01)
    assert world.clock.now() <= world.true_now() + ROUNDING
    assert world.clock.uncertainty() < timedelta(milliseconds=150)


# --- several API servers ---

skews = st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=4)
turns = st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 20.0), st.floats(0.0, 0.5)), min_size=2, max_size=60)


@given(skews.filter(lambda each: max(each) - min(each) < 7.0), turns)
def test_api_servers_with_other_clocks_never_turn_the_time_back(
    servers: list[float], plan: list[tuple[int, float, float]]
) -> None:
    world = World()
    last = None
    for server, idle, latency in plan:
        epoch, world.epoch = world.epoch, world.epoch + servers[server % len(servers)]
        world.exchange(latency, latency)
        world.epoch = epoch
        for step in (0.0, idle / 2, idle / 2):
            world.moment += step
            now = world.clock.now()
            assert last is None or now >= last
            assert step < 0.001 or last is None or now > last, "each renewal of a Lease has another time"
            assert now <= world.true_now() + timedelta(seconds=max(servers)) + ROUNDING
            last = now


def test_the_slowest_of_several_servers_is_believed_and_forgotten_once_it_is_gone() -> None:
    world, true = World(), 1_800_000_000.25
    for _ in range(60):
        for skew in (0.0, 5.0):
            world.moment += 0.5
            world.epoch = true + skew
            world.exchange(0.01, 0.01)
    world.epoch = true
    assert abs(world.true_now() - world.clock.now()) < timedelta(seconds=0.5)
    world.epoch = true + 5.0
    for _ in range(40):
        world.moment += 1.01
        world.exchange(0.01, 0.01)
    assert abs(world.true_now() - world.clock.now()) < timedelta(seconds=1)
