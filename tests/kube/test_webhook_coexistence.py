"""Other mutating webhooks before and after ours, and other programs while pods are pinned: nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.pinner.names import NOT_PINNED_ANNOTATION, PIN_ANNOTATION, WEBHOOK
from moorage.pinner.promised import expected
from moorage.planner.instruction_store import InstructionStore
from moorage.protocol import ExpectPods, Owner, Slot
from tests.kube import meddling, pinning
from tests.kube.meddling import SPOT, ZONE, Meddler
from tests.kube.support import eventually, pod
from tests.kube.webhooks import asked, deployment, failed_calls, other, pinner, pinning_works
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]

APPS = ("api", "cart", "shop", "web")
PODS = int(os.environ.get("MOORAGE_WEBHOOK_PODS", "240"))
"""Pods of all applications; each is created once at least. `task test:webhook` has more."""
NODES = PODS // 240 * 4
"""With 60 pods each, and in each zone as many with a mark of SPOT as without."""
ROOM = {"cpu": "1", "memory": "3840Mi", "pods": "80"}
SEED = 21
NEVER_CAME = "pinned pod never came, its slot is free again"
LASTS = 1.0
"""Seconds for which a claim lasts in these tests."""


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@contextmanager
def lines() -> Iterator[pinning.Lines]:
    """The pinner's log lines from here on."""
    kept, logger = pinning.Lines(), logging.getLogger("moorage.pinner")
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        yield kept
    finally:
        logger.removeHandler(kept)


# --- pods that others change ---


class Fleet:
    """Deployments whose pods are expected on some nodes.

    Args:
        client: the API server.
        namespace: where they are.
        labels: of the nodes, by node.
    """

    def __init__(self, client: Client, namespace: str, labels: Mapping[str, Mapping[str, str]]) -> None:
        self._client, self._namespace, self._labels = client, namespace, labels
        self.wanted: dict[str, int] = {}

    async def create(self, app: str, count: int, pool: str, **spec: Any) -> None:
        self.wanted[app] = count
        body = deployment(app, count, pool, cpu="10m", **spec)
        # Pods on placeholders do not become ready: a rollout must not wait for them.
        body["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": "100%", "maxSurge": "25%"}}
        await self._client.create(resources.DEPLOYMENTS, body, self._namespace)

    async def scale(self, app: str, count: int) -> None:
        self.wanted[app] = count
        await self._change(app, {"spec": {"replicas": count}})

    async def roll(self, app: str) -> None:
        template = {"metadata": {"labels": {"version": "next"}}}
        await self._change(app, {"spec": {"template": template}})

    async def _change(self, app: str, changes: Mapping[str, Any]) -> None:
        found = await self._client.get(resources.DEPLOYMENTS, app, self._namespace)
        await self._client.patch(resources.DEPLOYMENTS, app, self._namespace, changes=changes, uid=found.metadata.uid)

    async def pods(self) -> list[Pod]:
        found = await self._client.list(resources.PODS, self._namespace)
        return [each for each in found if each.metadata.deletion_timestamp is None]

    async def well(self, slots: Sequence[Slot] = ()) -> list[Pod]:
        """The pods at the end. Slots are the filled slots of each node, or the reason is recorded."""
        trouble: list[str] = []

        async def probe() -> list[Pod] | None:
            found = await self.pods()
            trouble[:] = meddling.wrong(found, self.wanted, self._labels, slots)
            return None if trouble else found

        try:
            return await eventually(probe, "all to be well")
        except AssertionError as error:
            raise AssertionError("\n".join(trouble)) from error


def admitted(outcome: str) -> float:
    """The number of webhook calls with this outcome so far, in all tests."""
    return REGISTRY.get_sample_value("moorage_pinner_admitted_pods_total", {"outcome": outcome}) or 0.0


def reasons(pods: Sequence[Pod], app: str) -> list[str]:
    """Why pods of an application were not pinned."""
    mine = [each for each in pods if each.metadata.labels["app"] == app]
    return [each.metadata.annotations.get(NOT_PINNED_ANNOTATION, "") for each in mine]


async def test_no_pod_is_lost_whatever_other_webhooks_make_of_it(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, tmp_path: Path
) -> None:
    names, board = [node_name(str(index)) for index in range(NODES)], InstructionStore()
    pool, each = names[0], PODS // len(APPS)
    labels = {
        name: {pinning.POOL: pool, SPOT: "yes" if index % 2 else "no", ZONE: "ab"[index // 2 % 2]}
        for index, name in enumerate(names)
    }
    count = each * 3 // 4 // NODES  # of every four pods one is the scheduler's
    counts = {**dict.fromkeys(APPS, count), "strange": 2}
    slots = [Slot(Owner("Deployment", namespace, app), {"cpu": "10m"}, number) for app, number in counts.items()]
    fleet = Fleet(client, namespace, labels)
    before, after = Meddler("before", SEED), Meddler("after", SEED + 1)
    board.start("plan", timedelta(minutes=10))
    failed, taken_back = await failed_calls(client, WEBHOOK), admitted("taken back")
    async with (
        pinner(client, cluster, namespace, board) as configuration,
        other(client, f"a-{namespace}", namespace, tmp_path, before),
        other(client, f"z-{namespace}", namespace, tmp_path, after),
    ):
        assert f"a-{namespace}" < configuration < f"z-{namespace}"
        for name in names:
            board.issue(pinning.promise(name, pool, room=ROOM, labels=labels[name]))
            board.issue(ExpectPods(name, tuple(slots)))
        await asked(client, configuration, wanted=True)
        await pinning_works(client, namespace, "web", pool)

        await asyncio.gather(*(fleet.create(app, each, pool) for app in APPS))
        await fleet.create("strange", counts["strange"] * NODES, pool, schedulerName="nobody")
        pods = await fleet.well(slots)
        assert any(PIN_ANNOTATION in pod.metadata.annotations for pod in pods)
        assert all("scheduler nobody" in why for why in reasons(pods, "strange"))
        assert before.changed_again, "the seed is to make a webhook change pods once more"
        assert admitted("taken back") > taken_back, "pods are to be changed after us"

        # Machines join, somebody scales up and down, and a new version is rolled out, all at once.
        joining = [asyncio.to_thread(cluster.start_hollow_kubelet, name) for name in names[: NODES // 2]]
        scaling = [fleet.scale("api", each // 2), fleet.scale("shop", each + each // 4), fleet.roll("web")]
        await asyncio.gather(*joining, *scaling)
        await fleet.scale("api", each)
        pods = await fleet.well()
        versions = Counter(pod.metadata.labels.get("version") for pod in pods if pod.metadata.labels["app"] == "web")
        assert versions == {"next": each}
        assert await failed_calls(client, WEBHOOK) == failed


# --- pods that are refused after us ---

QUOTA: dict[str, Any] = {"metadata": {"name": "nothing"}, "spec": {"hard": {"pods": "0"}}}
ENFORCE = "pod-security.kubernetes.io/enforce"


def quota(cluster: ClusterHandle, namespace: str, *, refuse: bool) -> None:
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    if refuse:
        cluster.api.request("POST", path, QUOTA)
    else:
        cluster.api.request("DELETE", f"{path}/{QUOTA['metadata']['name']}")


def pod_security(cluster: ClusterHandle, namespace: str, *, refuse: bool) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    found = cluster.api.get(path)
    found["metadata"]["labels"][ENFORCE] = "restricted" if refuse else "privileged"
    cluster.api.request("PUT", path, found)


async def creation(client: Client, namespace: str, *, refused: bool) -> None:
    """Wait until the API server refuses pods, or does not any more."""
    body = {**pod("probe", schedulerName="nobody"), "metadata": {"generateName": "probe-"}}

    async def probe() -> bool:
        try:
            made = await client.create(resources.PODS, body, namespace)
        except errors.Forbidden:
            return refused
        await client.delete(resources.PODS, made.metadata.name, namespace, uid=made.metadata.uid, grace_seconds=0)
        return not refused

    await eventually(probe, f"pods to be refused: {refused}")


def gives_up(cluster: ClusterHandle, namespace: str) -> bool:
    """Whether no ReplicaSet creates pods any more."""
    found = cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
    told = [each["status"].get("observedGeneration") == each["metadata"]["generation"] for each in found]
    return all(told) and not any(each["spec"]["replicas"] for each in found)


@pytest.mark.parametrize("setting", [quota, pod_security])
async def test_slots_are_free_again_when_pods_are_refused_after_us(
    client: Client,
    cluster: ClusterHandle,
    namespace: str,
    node_name: NodeName,
    monkeypatch: pytest.MonkeyPatch,
    setting: Callable[..., None],
) -> None:
    monkeypatch.setattr(expected, "CLAIM_LASTS", LASTS)
    node, board = node_name(), InstructionStore()
    board.start("plan", timedelta(minutes=10))
    async with pinner(client, cluster, namespace, board) as configuration:
        board.issue(pinning.promise(node))
        slot = Slot(Owner("Deployment", namespace, "web"), {"cpu": "10m"}, 3)
        board.issue(ExpectPods(node, (slot,)))
        await asked(client, configuration, wanted=True)
        await pinning_works(client, namespace, "web", node)
        setting(cluster, namespace, refuse=True)
        await creation(client, namespace, refused=True)
        with lines() as kept:
            fleet = Fleet(client, namespace, {})
            await fleet.create("web", 3, node)
            await _so(lambda: bool(kept.with_message(NEVER_CAME, node=node)), "a slot to be free again")
            await fleet.scale("web", 0)
            await _so(lambda: gives_up(cluster, namespace), "the ReplicaSet to give up")
            await _so(lambda: len(kept.with_message(NEVER_CAME)) == len(kept.with_message("pinning pod")), "the others")
        assert await fleet.pods() == []
        setting(cluster, namespace, refuse=False)
        await creation(client, namespace, refused=False)
        await fleet.scale("web", 3)
        pods = await pinning.pods_of(client, "web", namespace, 3)
        assert [each.spec.node_name for each in pods] == [node] * 3


async def _so(true: Callable[[], bool], what: str) -> None:
    async def probe() -> bool:
        return true()

    await eventually(probe, what)
