"""Health over real HTTP: liveness, readiness, and metrics."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from moorage.ops.health import Health, HealthError, serve
from moorage.ops.parsing import Address

LOOPBACK = Address("127.0.0.1", 0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def get(address: Address, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


async def test_a_loop_that_no_longer_beats_is_named() -> None:
    clock = Clock()
    health = Health(clock)
    reconcile = health.loop("reconcile", max_age=30)
    health.loop("stream", max_age=60)
    async with serve(health, LOOPBACK) as address:
        assert await get(address, "/livez") == (200, "ok\n")
        clock.now += 31
        status, text = await get(address, "/livez")
        assert status == 503
        assert "[-] loop reconcile: last beat 31 s ago, allowed 30 s" in text
        assert "[+] loop stream" in text
        reconcile.beat()
        assert await get(address, "/livez") == (200, "ok\n")


async def test_a_loop_that_ended_in_order_is_forgotten() -> None:
    clock = Clock()
    health = Health(clock)
    health.loop("term", max_age=30).close()
    clock.now += 100
    assert health.live() == []


async def test_a_task_that_ended_is_not_alive() -> None:
    health = Health()
    stop = asyncio.Event()

    async def watch() -> None:
        await stop.wait()

    task = asyncio.create_task(watch())
    health.task("watch pods", task)
    async with serve(health, LOOPBACK) as address:
        assert (await get(address, "/livez"))[0] == 200
        assert (await get(address, "/healthz")) == (200, "ok\n")
        stop.set()
        await task
        status, text = await get(address, "/livez")
        assert status == 503
        assert "[-] task watch pods: has ended" in text
        assert await get(address, "/healthz") == (status, text)


async def test_readiness_is_about_what_is_known_only() -> None:
    health = Health()
    known = {"pods": False, "nodes": True}
    health.needs("cache of pods", lambda: known["pods"])
    health.needs("cache of nodes", lambda: known["nodes"])
    async with serve(health, LOOPBACK) as address:
        status, text = await get(address, "/readyz")
        assert status == 503
        assert text.splitlines() == ["[-] cache of pods: not yet", "[+] cache of nodes: ok", "failed"]
        assert (await get(address, "/livez"))[0] == 200
        known["pods"] = True
        assert await get(address, "/readyz") == (200, "ok\n")
        assert "[+] cache of pods: ok" in (await get(address, "/readyz?verbose"))[1]


async def test_metrics_are_what_prometheus_reads() -> None:
    registry = CollectorRegistry()
    Counter("moorage_tests_total", "Tests.", registry=registry).inc()
    async with serve(Health(), LOOPBACK, registry=registry) as address:
        status, text = await get(address, "/metrics")
    assert status == 200
    assert "moorage_tests_total 1.0" in text


async def test_a_taken_port_is_one_sentence_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(HealthError, match=f"{address.port} cannot be used: .*MOORAGE_HEALTH_ADDRESS"):
            async with serve(Health(), address):
                pass


async def test_nothing_listens_afterwards() -> None:
    async with serve(Health(), LOOPBACK) as address:
        pass
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection(address.host, address.port)
