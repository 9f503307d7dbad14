"""Kills between any two writes, and an API server that stops: the end is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Pod
from moorage.protocol import DeletePlaceholder, Outcome
from tests.kube import identity, pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]


class Mortal(Transport):
    """Fails at one write, before or after the server has it. No call returns from then on, as after kill -9.

    Attributes:
        writes: how many writes were begun.
        dead: set when it has died.
    """

    def __init__(self, *args: Any, fatal: int, after: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.writes = 0
        self.dead = asyncio.Event()
        self._fatal, self._after = fatal, after

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
    ) -> bytes:
        if self.dead.is_set():
            await asyncio.Event().wait()
        fatal = False
        if method != "GET":
            self.writes += 1
            fatal = self.writes == self._fatal
        if fatal:
            self.dead.set()
            if not self._after:
                await asyncio.Event().wait()
        answer = await super().request(
            method, path, query=query, body=body, content_type=content_type, accept=accept, timeout=timeout
        )
        if self.dead.is_set():
            await asyncio.Event().wait()
        return answer


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    made = Driver(client)
    yield made
    await made.stop()


async def die_once(driver: Driver, cluster: ClusterHandle, fatal: int, *, after: bool, act: Callable[[], None]) -> bool:
    """Run with a pinner that dies at its nth write, then with one that lives; returns whether it came to dying."""
    async with Mortal(credentials.load(identity.pinner(cluster)), fatal=fatal, after=after) as transport:
        transport.clock = driver.client.transport.clock
        await driver.start(Client(transport))
        act()
        done = asyncio.create_task(answered(driver))
        dead = asyncio.create_task(transport.dead.wait())
        await asyncio.wait({done, dead}, return_when=asyncio.FIRST_COMPLETED)
        died = dead.done()
        await driver.kill()
        for task in (done, dead):
            task.cancel()
        await asyncio.gather(done, dead, return_exceptions=True)
    await driver.start()
    driver.resend()
    await answered(driver)
    return died


async def all_pinned(client: Client, app: str, namespace: str, node: str, pods: Sequence[Pod]) -> Any:
    """See that these three pods are on the node and in its reservation; returns the reservation's spec."""
    reservation = await pinning.reservation_where(
        client, node, lambda r: (r.status or {}).get("pinned") == "3/3", "to say 3/3"
    )
    assert {p["uid"] for p in reservation.spec["pins"]} == {p.metadata.uid for p in pods}
    found = await pinning.pods_of(client, app, namespace, 3)
    assert {(p.metadata.uid, p.spec.node_name) for p in found} == {(p.metadata.uid, node) for p in pods}
    return reservation.spec


async def answered(driver: Driver) -> None:
    """Wait until every instruction has its final answer, and no work is left."""
    for name in tuple(driver.sent):
        await driver.answer(name)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_plan_ends_the_same_whichever_write_is_the_last(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, after: bool
) -> None:
    died, fatal = True, 0
    while died:
        fatal += 1
        name = node_name(str(fatal))
        app = f"web-{fatal}"
        pods = await pinning.replicas(client, app, namespace, 3, name)
        driver.sent.clear()

        def act(name: str = name, pods: Any = pods) -> None:
            driver.send(pinning.promise(name))
            driver.send(pinning.pin(name, pods))

        died = await die_once(driver, cluster, fatal, after=after, act=act)
        for instruction in driver.sent:
            assert (await driver.answer(instruction)).outcome is Outcome.APPLIED
        written = await all_pinned(client, app, namespace, name, pods)
        node = await client.get(resources.NODES, name)
        assert written["nodeUID"] == node.metadata.uid
        assert [p["uid"] for p in written["pins"]] == [p.metadata.uid for p in pods]
        await driver.kill()
    assert fatal > 5, "reservation, Node and three bindings are writes, and it died at each"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_pins_on_a_standing_placeholder_are_in_its_reservation_whichever_write_is_the_last(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, after: bool
) -> None:
    died, fatal = True, 0
    while died:
        fatal += 1
        name = node_name(str(fatal))
        app = f"web-{fatal}"
        pods = await pinning.replicas(client, app, namespace, 3, name)
        await driver.start()
        await driver.do(pinning.promise(name))
        await pinning.reservation_where(client, name, lambda r: bool(r.spec.get("nodeUID")) and bool(r.status), "noted")
        await driver.kill()
        driver.sent.clear()

        def act(name: str = name, pods: Any = pods) -> None:
            driver.send(pinning.pin(name, pods))

        # The last round is killed as soon as it has answered APPLIED: nobody says again what was pinned.
        died = await die_once(driver, cluster, fatal, after=after, act=act)
        for instruction in driver.sent:
            assert (await driver.answer(instruction)).outcome is Outcome.APPLIED
        await all_pinned(client, app, namespace, name, pods)
        await driver.kill()
    assert fatal > 3, "three bindings are writes, and it died at each"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_giving_up_ends_the_same_whichever_write_is_the_last(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, after: bool
) -> None:
    died, fatal = True, 0
    while died:
        fatal += 1
        name = node_name(str(fatal))
        app = f"web-{fatal}"
        pods = await pinning.replicas(client, app, namespace, 2, name)
        await driver.start()
        await driver.do(pinning.promise(name))
        assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED
        await pinning.reservation_where(client, name, lambda r: bool(r.spec.get("nodeUID")) and bool(r.status), "noted")
        await driver.kill()
        driver.sent.clear()

        def act(name: str = name) -> None:
            driver.send(DeletePlaceholder(name))

        died = await die_once(driver, cluster, fatal, after=after, act=act)
        await pinning.node_gone(client, name)
        await pinning.reservation_gone(client, name)
        old = {p.metadata.uid for p in pods}

        async def recreated(app: str = app, old: set[str] = old) -> bool | None:
            found = await client.list(resources.PODS, namespace, labels=f"app={app}")
            return True if len(found) == 2 and not old & {p.metadata.uid for p in found} else None

        await eventually(recreated, "two new pods")
        await driver.kill()
    assert fatal > 5, "the intent, two pods, the Node and the reservation are writes, and it died at each"


async def test_who_does_not_lead_writes_nothing(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    await driver.start()
    driver.leading = False
    instruction = driver.send(pinning.promise(name))
    await asyncio.sleep(1)  # a leader is done after some milliseconds
    assert driver.acks == []
    assert await client.list(resources.NODE_RESERVATIONS, fields=f"metadata.name={name}") == ()
    driver.leading = True
    assert (await driver.answer(instruction)).outcome is Outcome.APPLIED
