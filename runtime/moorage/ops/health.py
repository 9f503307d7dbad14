"""The probes of a kubelet, /livez (all loops run) and /readyz (all needed caches are complete), and /metrics.

/healthz is /livez under the name that the closed product's probes use.

A loop is alive while it calls ``beat()``. Readiness depends on our own knowledge only: without its stream to the
planner, a pod stays ready, because removing it from a Service would help nobody. Both respond with 200 ``ok``, or 503
with a line per check. With ``?verbose`` there is always a line per check, as in components of Kubernetes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from moorage.wording import followed

from . import http
from .lag import LoopLag
from .parsing import Address

STUCK = 60.0
"""Seconds without a beat of the event loop after which the process should be restarted."""


class HealthError(Exception):
    """The health server cannot be started."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    passed: bool
    detail: str


class Loop:
    """A registered loop. It must call ``beat()`` at least every ``max_age`` seconds, even while it waits."""

    def __init__(
        self, name: str, max_age: float, monotonic: Callable[[], float], forget: Callable[[Loop], None]
    ) -> None:
        self.name = name
        self._max_age = max_age
        self._monotonic = monotonic
        self._forget = forget
        self._last = monotonic()

    def beat(self) -> None:
        """Report that the loop runs."""
        self._last = self._monotonic()

    def close(self) -> None:
        """Report that the loop has ended as intended."""
        self._forget(self)

    def check(self) -> Check:
        """Whether the last beat is recent enough."""
        age = self._monotonic() - self._last
        return Check(
            f"loop {self.name}", age <= self._max_age, f"last beat {age:.0f} s ago, allowed {self._max_age:g} s"
        )


class Health:
    """The checks of one program.

    Args:
        monotonic: seconds on a monotonic clock (for tests).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._loops: list[Loop] = []
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._needs: dict[str, Callable[[], bool]] = {}

    def loop(self, name: str, *, max_age: float) -> Loop:
        """Register a loop for /livez. Registration counts as a beat.

        Args:
            name: its name in the response.
            max_age: seconds without a beat after which the process should be restarted.
        """
        made = Loop(name, max_age, self._monotonic, self._loops.remove)
        self._loops.append(made)
        return made

    async def beat(self) -> NoReturn:
        """Beat for the event loop on /livez until cancelled, and measure its delay."""
        await LoopLag().watch(self.loop("event loop", max_age=STUCK).beat)

    def task(self, name: str, task: asyncio.Task[object]) -> None:
        """Register a task for /livez that must not end while the program runs (a watch, a server)."""
        self._tasks[name] = task

    def needs(self, name: str, fulfilled: Callable[[], bool]) -> None:
        """Register a condition for /readyz.

        Args:
            name: its name in the response, such as ``cache of pods``.
            fulfilled: returns quickly whether the program can do its work.
        """
        self._needs[name] = fulfilled

    def live(self) -> list[Check]:
        """All checks of /livez."""
        ended = [
            Check(f"task {name}", not task.done(), "has ended" if task.done() else "runs")
            for name, task in self._tasks.items()
        ]
        return [loop.check() for loop in self._loops] + ended

    def ready(self) -> list[Check]:
        """All checks of /readyz."""
        result = []
        for name, fulfilled in self._needs.items():
            passed = fulfilled()
            result.append(Check(name, passed, "ok" if passed else "not yet"))
        return result


@asynccontextmanager
async def serve(health: Health, address: Address, *, registry: CollectorRegistry = REGISTRY) -> AsyncIterator[Address]:
    """Serve these paths until the end of the context.

    Args:
        health: the checks.
        address: the address to listen on; port 0 means any free one.
        registry: the metrics.

    Yields:
        The address with the real port.

    Raises:
        HealthError: the address cannot be used.
    """
    pages: http.Pages = {
        "/metrics": lambda _query: http.Page(generate_latest(registry), content_type=CONTENT_TYPE_LATEST),
        "/livez": lambda query: _answer(health.live(), query),
        "/healthz": lambda query: _answer(health.live(), query),
        "/readyz": lambda query: _answer(health.ready(), query),
    }
    async with AsyncExitStack() as stack:
        try:
            serving = await stack.enter_async_context(http.serve(pages, address))
        except OSError as error:
            reason = f"health address {address} cannot be used: {error.strerror or error}"
            way_out = "Choose another with MOORAGE_HEALTH_ADDRESS (--health-address)"
            raise HealthError(followed(reason, way_out)) from error
        yield serving


def _answer(checks: list[Check], query: Mapping[str, list[str]]) -> http.Page:
    passed = all(check.passed for check in checks)
    if passed and "verbose" not in query:
        return http.Page(b"ok\n")
    lines = [f"[{'+' if check.passed else '-'}] {check.name}: {check.detail}" for check in checks]
    text = "\n".join([*lines, "ok" if passed else "failed"]) + "\n"
    return http.Page(text.encode(), 200 if passed else 503)
