"""No write is repeated for nothing: the pinner waits for finalizers, and a policy's change is a shortfall."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.objects import Pod, Taint
from moorage.pinner.names import PREPARING
from moorage.protocol import DeletePlaceholder, Outcome
from tests.auditing.guard import is_ours
from tests.auditing.repeats import WITHIN, repeated
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, node_where
from tools.auditlog import Mark
from tools.auditlog.events import Event, read
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
HOLD = "example.com/hold"
POLICIES = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    async with pinning.driver(client) as running:
        yield running


@dataclass(frozen=True)
class Asked:
    """The pinners' requests about some objects since a time."""

    mark: Mark
    names: tuple[str, ...]

    @classmethod
    def of(cls, cluster: ClusterHandle, *names: str) -> Asked:
        return cls(Mark.now(cluster.audit_log), names)

    def events(self) -> list[Event]:
        """By anybody."""
        return [event for event in read(self.mark.lines()) if event.name in self.names]

    def writes(self, verb: str, resource: str) -> list[Event]:
        """Ours of one kind."""
        asked = (event for event in self.events() if is_ours(event) and not event.subresource)
        return [event for event in asked if (event.verb, event.resource) == (verb, resource)]

    def assert_nothing_repeated(self) -> None:
        """What the guard would say of these objects."""
        assert repeated(self.events(), is_ours) == []


@asynccontextmanager
async def held(
    client: Client, driver: Driver, resource: Resource[Any], name: str, namespace: str
) -> AsyncIterator[None]:
    """Another program's finalizer keeps an object, and the pinner knows it."""
    found = await client.get(resource, name, namespace)
    change = {"metadata": {"finalizers": [*found.metadata.finalizers, HOLD]}}
    changed = await client.patch(resource, name, namespace, changes=change, uid=found.metadata.uid)
    caches: dict[str, WatchCache[Any]] = {
        "Node": driver.caches.nodes,
        "Pod": driver.caches.pods,
        "NodeReservation": driver.caches.reservations,
    }
    await driver.sees(caches[resource.kind], changed)
    try:
        yield
    finally:  # else it would be there for the pinners of all tests to come
        left = await client.get(resource, name, namespace)
        change = {"metadata": {"finalizers": [each for each in left.metadata.finalizers if each != HOLD]}}
        await client.patch(resource, name, namespace, changes=change, uid=left.metadata.uid)


@dataclass(frozen=True)
class Held:
    """A placeholder with one pod, of which something is held.

    Attributes:
        node: its name.
        pod: the pod on it.
        kind: what is held: ``node``, ``reservation`` or ``pod``.
    """

    node: str
    pod: Pod
    kind: str

    @property
    def place(self) -> tuple[Resource[Any], str, str]:
        """What is held: resource, name and namespace."""
        if self.kind == "pod":
            return resources.PODS, self.pod.metadata.name, self.pod.metadata.namespace
        return resources.NODES if self.kind == "node" else resources.NODE_RESERVATIONS, self.node, ""

    async def is_deleted(self, driver: Driver, client: Client, cluster: ClusterHandle, outcome: Outcome) -> None:
        """Delete the placeholder, which ends only once nothing is held."""
        async with held(client, driver, *self.place):
            asked = Asked.of(cluster, self.node, self.pod.metadata.name)

            ack = await driver.do(DeletePlaceholder(self.node), seconds=WITHIN + 4)

            assert ack.outcome is outcome, (self.kind, ack)
            resource, name, namespace = self.place
            assert asked.writes("delete", resource.plural), f"it was tried: {self.kind}"
            asked.assert_nothing_repeated()
            said = driver.lines.with_message("node placeholder deleted", node=self.node)
            assert (self.kind != "node") is bool(said), self.kind
            left = await client.get(resource, name, namespace)
            assert left.metadata.deletion_timestamp is not None, self.kind
        await pinning.node_gone(client, self.node)
        await pinning.reservation_gone(client, self.node)
        asked.assert_nothing_repeated()
        assert len(driver.lines.with_message("node placeholder deleted", node=self.node)) == 1, self.kind
        assert driver.records.of(self.node).count("PlaceholderDeleted") == 1, self.kind


async def test_what_somebody_elses_finalizer_holds_is_waited_for_and_answered_at_the_deadline(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    """All at once, because each takes until its deadline."""
    outcomes = {
        "node": Outcome.FAILED,
        "reservation": Outcome.FAILED,
        "pod": Outcome.APPLIED,  # it is being deleted, no kubelet waits for it, and the placeholder can go
    }
    async with asyncio.TaskGroup() as group:
        for kind, outcome in outcomes.items():
            name = node_name(kind)
            (pod,) = await pinning.replicas(client, kind, namespace, 1, name)
            assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
            assert (await driver.do(pinning.pin(name, [pod]))).outcome is Outcome.APPLIED
            await pinning.reservation_where(client, name, lambda r: (r.status or {}).get("pinned") == "1/1", "1/1")
            group.create_task(Held(name, pod, kind).is_deleted(driver, client, cluster, outcome))


LABEL, TAINT = "example.com/promised", "example.com/dedicated"
LABELS, TAINTS = "object.metadata.labels", "object.spec.taints"
REMOVED = f'[JSONPatch{{op: "remove", path: "/metadata/labels/" + jsonpatch.escapeKey("{LABEL}")}}]'
REPLACED = f'[JSONPatch{{op: "replace", path: "/metadata/labels/" + jsonpatch.escapeKey("{LABEL}"), value: "another"}}]'
KEPT = f'[JSONPatch{{op: "replace", path: "/spec/taints", value: {TAINTS}.filter(t, t.key != "{TAINT}")}}]'
MUTATIONS = {
    "a label is taken off": (f'has({LABELS}) && "{LABEL}" in {LABELS}', REMOVED),
    "a label gets another value": (f'has({LABELS}) && {LABELS}[?"{LABEL}"].orValue("another") != "another"', REPLACED),
    "a taint is taken off": (f'has({TAINTS}) && {TAINTS}.exists(t, t.key == "{TAINT}")', KEPT),
}


def mutate(cluster: ClusterHandle, node: str, condition: str, patch: str) -> None:
    """A policy that changes whatever is written to a Node of this name."""
    spec = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["nodes"]}
            ]
        },
        "matchConditions": [
            {"name": "this-node", "expression": f'object.metadata.name == "{node}"'},
            {"name": "as-promised", "expression": condition},
        ],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    }
    policy = {"metadata": {"name": node}, "spec": spec}
    cluster.api.request("POST", f"{POLICIES}/mutatingadmissionpolicies", policy)
    binding = {"metadata": {"name": node}, "spec": {"policyName": node}}
    cluster.api.request("POST", f"{POLICIES}/mutatingadmissionpolicybindings", binding)


@pytest.fixture
def policies(cluster: ClusterHandle) -> Iterator[list[str]]:
    """Names of policies to delete."""
    names: list[str] = []
    yield names
    for name in names:
        for kind in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
            cluster.api.request("DELETE", f"{POLICIES}/{kind}/{name}")


async def test_what_a_policy_takes_of_a_promise_is_a_shortfall_that_is_said_once(
    driver: Driver, client: Client, cluster: ClusterHandle, node_name: NodeName, policies: list[str]
) -> None:
    """Three policies at once, each for a node of its own."""
    async with asyncio.TaskGroup() as group:
        for index, mutation in enumerate(MUTATIONS):
            name = node_name(str(index))
            policies.append(name)
            mutate(cluster, name, *MUTATIONS[mutation])
            group.create_task(_has_a_shortfall(driver, client, cluster, name, mutation))


async def _has_a_shortfall(driver: Driver, client: Client, cluster: ClusterHandle, name: str, mutation: str) -> None:
    promised = pinning.promise(name, labels={LABEL: "yes"}, taints=[Taint(key=TAINT, value="x", effect="NoSchedule")])

    async def in_force() -> bool | None:
        made = await client.create(resources.NODES, as_promised(name), dry_run=True)
        kept = made.metadata.labels.get(LABEL) == "yes" and TAINT in {taint.key for taint in made.spec.taints}
        return None if kept else True

    await eventually(in_force, f"the policy to be in force: {mutation}")
    asked = Asked.of(cluster, name)

    assert (await driver.do(promised)).outcome is Outcome.APPLIED, mutation
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(client, name, lambda n: n.ready and PREPARING not in {t.key for t in n.spec.taints}, "adopted")
    await pinning.reservation_where(client, name, lambda r: not r.metadata.finalizers, "closed")
    await asyncio.sleep(2 * pinning.QUICK.retry_cap)  # what is repeated at once shows at once

    asked.assert_nothing_repeated()
    assert asked.writes("patch", "nodes"), f"it was adopted: {mutation}"
    said = driver.records.of(name)
    assert said.count("PlaceholderAdopted") == 1, mutation
    assert len(driver.lines.with_message("node adopted", node=name)) == 1, mutation
    assert said.count("NodeDiffers") == 1, mutation
    assert (TAINT if "taint" in mutation else LABEL) in driver.records.note(name, "NodeDiffers"), mutation


def as_promised(name: str) -> dict[str, Any]:
    """A Node as the policies would see it when it is created."""
    return {
        "metadata": {"name": name, "labels": {LABEL: "yes"}},
        "spec": {"taints": [{"key": TAINT, "value": "x", "effect": "NoSchedule"}]},
    }
