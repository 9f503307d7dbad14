"""Invalid input about nodes and pods: each gets its reason, and the rest of the plan continues."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod, Taint
from moorage.pinner.names import RESERVATION_ANNOTATION
from moorage.protocol import Action, DeletePlaceholder, ExpectPods, Outcome, Owner, PinPods, PodRef, Release, Slot
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, placeholder, pod, pod_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
APPLIED = (Outcome.APPLIED, "OK")


def rejected(reason: str) -> tuple[Outcome, str]:
    return (Outcome.REJECTED, reason)


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    async with pinning.driver(client) as running:
        yield running


def real(name: str) -> dict[str, Any]:
    """A Node that a kubelet has reported for, as far as anybody can see."""
    manifest = placeholder(name)
    manifest["status"]["nodeInfo"] = dict.fromkeys(pinning.NODE_INFO, "v1.36.3")
    return manifest


async def owned(client: Client, kind: str, name: str, namespace: str, pool: str, **spec: Any) -> Pod:
    """The one pod of a ReplicaSet, Job or DaemonSet."""
    if kind == "ReplicaSet":
        (only,) = await pinning.replicas(client, name, namespace, 1, pool, **spec)
        return only
    template = pinning.template(name, pool, restartPolicy="Never", **spec)
    await client.create(resources.JOBS, {"metadata": {"name": name}, "spec": {"template": template}}, namespace)
    (only,) = await pinning.pods_of(client, name, namespace, 1)
    return only


async def test_pods_that_may_not_be_pinned_are_named_with_their_reason_and_the_others_are_pinned(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    other = (await client.create(resources.NODES, placeholder(node_name("other")))).metadata.name
    good = await pinning.replicas(client, "good", namespace, 2, name)
    here = await owned(client, "ReplicaSet", "here", namespace, name)
    elsewhere = await owned(client, "ReplicaSet", "elsewhere", namespace, name)
    leaving = await owned(client, "ReplicaSet", "leaving", namespace, name)
    cases = {
        "bare": await client.create(resources.PODS, pod("bare", nodeSelector={pinning.POOL: name}), namespace),
        "job": await owned(client, "Job", "job", namespace, name),
        "scheduler": await owned(client, "ReplicaSet", "scheduler", namespace, name, schedulerName="volcano"),
        "gated": await owned(client, "ReplicaSet", "gated", namespace, name, schedulingGates=[{"name": "a.b/c"}]),
        "big": await owned(client, "ReplicaSet", "big", namespace, name, cpu="64"),
        "picky": await owned(client, "ReplicaSet", "picky", namespace, "another-pool"),
        "device": await owned(
            client,
            "ReplicaSet",
            "device",
            namespace,
            name,
            resourceClaims=[{"name": "device", "resourceClaimName": "absent"}],
        ),
    }
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    await client.bind(here.metadata.name, namespace, uid=here.metadata.uid, node=name)
    await client.bind(elsewhere.metadata.name, namespace, uid=elsewhere.metadata.uid, node=other)
    finalizers = {"metadata": {"finalizers": ["example.com/hold"]}}
    await client.patch(resources.PODS, leaving.metadata.name, namespace, uid=leaving.metadata.uid, changes=finalizers)
    await client.delete(resources.PODS, leaving.metadata.name, namespace, uid=leaving.metadata.uid, grace_seconds=0)

    replaced = PodRef(namespace, good[0].metadata.name, "00000000-0000-0000-0000-000000000000")
    absent = PodRef(namespace, "absent", "11111111-1111-1111-1111-111111111111")
    planned = [*good[1:], here, elsewhere, leaving, *cases.values()]
    ack = await driver.do(PinPods(name, (*pinning.refs(planned), replaced, absent)))

    assert ack.outcome is Outcome.REJECTED
    found = pinning.outcomes(ack)
    assert found == {
        good[1].metadata.name: APPLIED,
        here.metadata.name: APPLIED,
        elsewhere.metadata.name: rejected("POD_BOUND_ELSEWHERE"),
        leaving.metadata.name: rejected("POD_TERMINATING"),
        good[0].metadata.name: rejected("POD_UID_CHANGED"),
        "absent": rejected("POD_NOT_FOUND"),
        "bare": rejected("POD_UNMANAGED"),
        cases["job"].metadata.name: rejected("POD_JOB"),
        cases["scheduler"].metadata.name: rejected("POD_OTHER_SCHEDULER"),
        cases["gated"].metadata.name: rejected("POD_GATED"),
        cases["big"].metadata.name: rejected("NODE_FULL"),
        cases["picky"].metadata.name: rejected("DOES_NOT_FIT"),
        cases["device"].metadata.name: rejected("SOFT_PIN_UNSUPPORTED"),
    }
    said = {result.pod.name: result for result in ack.pods}
    assert said[elsewhere.metadata.name].node == other
    assert "64000 needed" in said[cases["big"].metadata.name].sentence
    assert "NotPinned" in driver.records.of("bare")
    for each in cases.values():
        left = await client.get(resources.PODS, each.metadata.name, namespace)
        assert left.spec.node_name == ""
    # Only what is pinned is intended any more; a new leader would not try the others again.
    reservation = await pinning.reservation_where(client, name, lambda r: r.spec.get("pins"), "to name its pins")
    assert [p["name"] for p in reservation.spec["pins"]] == [good[1].metadata.name]
    await client.patch(
        resources.PODS,
        leaving.metadata.name,
        namespace,
        uid=leaving.metadata.uid,
        changes={"metadata": {"finalizers": None}},
    )


async def test_pods_of_daemon_sets_gangs_and_preemptors_are_left_to_the_scheduler(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name, busy = node_name(), node_name("busy")
    tolerant = {"tolerations": [{"operator": "Exists"}]}
    await client.create(resources.NODES, placeholder(busy, labels={pinning.POOL: busy}))
    body = {
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": pinning.template("agent", busy, cpu="64", **tolerant),
        },
    }
    await client.create(resources.DAEMON_SETS, body, namespace)
    (daemon,) = await pinning.pods_of(client, "agent", namespace, 1)
    (gang,) = await pinning.replicas(client, "gang", namespace, 1, name)
    label = {"metadata": {"labels": {"scheduling.x-k8s.io/pod-group": "training"}}}
    await client.patch(resources.PODS, gang.metadata.name, namespace, uid=gang.metadata.uid, changes=label)
    (nominated,) = await pinning.replicas(client, "nominated", namespace, 1, name)
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    await pinning.turned_down(client, nominated)
    path = f"/api/v1/namespaces/{namespace}/pods/{nominated.metadata.name}/status"
    status = json.dumps({"status": {"nominatedNodeName": busy}}).encode()
    await client.transport.request("PATCH", path, body=status, content_type="application/merge-patch+json")
    for each in (gang, nominated):
        changed = await client.get(resources.PODS, each.metadata.name, namespace)
        await driver.sees(driver.caches.pods, changed)

    ack = await driver.do(pinning.pin(name, [daemon, gang, nominated]))

    assert pinning.outcomes(ack) == {
        daemon.metadata.name: rejected("POD_DAEMON"),
        gang.metadata.name: rejected("POD_GANG"),
        nominated.metadata.name: rejected("POD_NOMINATED"),
    }
    said = {(line["pod"], line["reason"]) for line in driver.lines.with_message("pod not pinned", node=name)}
    for each, reason in ((daemon, "POD_DAEMON"), (gang, "POD_GANG"), (nominated, "POD_NOMINATED")):
        assert driver.records.of(each.metadata.name) == ["NotPinned"]
        assert (each.key, reason) in said
    left = await client.get(resources.PODS, nominated.metadata.name, namespace)
    assert (left.spec.node_name, left.status.nominated_node_name) == ("", busy)


MADE_BY_HAND: dict[str, Any] = {
    "spec.slots[0].count": {"slots": [{"owner": {"kind": "Deployment"}, "count": -1}]},
    "spec.intent": {"intent": "Suspend"},
    "spec.pins": {"pins": [{"namespace": "a", "name": "b", "uid": f"c-{number}"} for number in range(1001)]},
    "spec.slots": {"slots": [{"owner": {"kind": "Deployment"}}] * 1001},
    "spec.nominations[0].tries": {"nominations": [{"uid": "a", "tries": 0}]},
    "spec.promise": {"promise": "a large node"},
}
"""What the definition refuses, by field."""


async def test_what_somebody_makes_of_a_reservation_is_refused_by_its_definition_and_changes_nothing(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    (web,) = await pinning.replicas(client, "web", namespace, 1, name)
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    uid = (await client.get(resources.NODE_RESERVATIONS, name)).metadata.uid
    for field, spec in MADE_BY_HAND.items():
        with pytest.raises(errors.Invalid) as refused:
            await client.patch(resources.NODE_RESERVATIONS, name, changes={"spec": spec}, uid=uid)
        assert f"{field}: " in str(refused.value), field
    later = {"apiVersion": "moorage.dev/v2", "kind": "NodeReservation", "metadata": {"name": name}, "spec": {}}
    path = resources.NODE_RESERVATIONS.path("", name).replace("v1alpha1", "v2")
    with pytest.raises(errors.NotFound):
        await client.transport.request("PUT", path, body=json.dumps(later).encode())
    unknown = await client.patch(resources.NODE_RESERVATIONS, name, changes={"spec": {"later": "x"}}, uid=uid)
    assert "later" not in unknown.spec, "what the definition does not know does not stay"
    assert (await driver.do(pinning.pin(name, [web]))).outcome is Outcome.APPLIED
    assert driver.records.of(name) == ["PlaceholderCreated"]


async def test_an_instruction_with_more_slots_than_a_reservation_holds_is_refused_whole(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    (web,) = await pinning.replicas(client, "web", namespace, 1, name)
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    crowd = tuple(Slot(Owner("Deployment", namespace, f"d-{n}"), {"cpu": "1m"}, 1) for n in range(1001))

    ack = await driver.do(ExpectPods(name, crowd))

    assert (ack.outcome, ack.reason.name) == (Outcome.REJECTED, "TOO_LARGE")
    assert (await driver.do(pinning.pin(name, [web]))).outcome is Outcome.APPLIED


async def test_names_that_others_have_and_promises_that_nothing_can_keep(
    driver: Driver, client: Client, node_name: NodeName
) -> None:
    real_name, foreign, good, twice = node_name("real"), node_name("foreign"), node_name("good"), node_name("twice")
    await client.create(resources.NODES, real(real_name))
    await client.create(resources.NODES, placeholder(foreign))
    sent: dict[str, Action] = {
        "NODE_IS_REAL": pinning.promise(real_name),
        "NODE_FOREIGN": pinning.promise(foreign),
        "INVALID_NODE_NAME": pinning.promise("Not_A_Name"),
        "INVALID_QUANTITY": pinning.promise(good, room={**pinning.ROOM, "cpu": "-4"}),
        "KARPENTER_NODE": pinning.promise(good, labels={"karpenter.sh/nodepool": "x"}),
        "UNKNOWN_PROFILE": pinning.promise(good, profile="metal"),
        "PROVIDER_ID_NEEDED": pinning.promise(good, profile="gcp"),
        "INVALID_METADATA": pinning.promise(good, labels={"no good": "x"}),
        "PLACEHOLDER_MISSING": PinPods(node_name("nowhere"), (PodRef("a", "b", "c"),)),
    }
    for reason, action in sent.items():
        ack = await driver.do(action)
        assert (ack.outcome, ack.reason.name) == (Outcome.REJECTED, reason), ack.text
    absurd = await driver.do(pinning.promise(good, room={**pinning.ROOM, "memory": "9Ei"}))
    assert absurd.reason.name == "INVALID_QUANTITY"
    assert "memory" in absurd.sentence
    assert driver.lines.with_message("node placeholder not found")
    assert await pinning.maybe(client, good) is None

    assert (await driver.do(pinning.promise(good))).outcome is Outcome.APPLIED
    first = driver.send(pinning.promise(twice))
    same = driver.send(pinning.promise(twice, room={**pinning.ROOM, "cpu": "1000m"}))
    different = driver.send(pinning.promise(twice, room={**pinning.ROOM, "cpu": "2"}))
    assert (await driver.answer(first)).outcome is Outcome.APPLIED
    assert (await driver.answer(same)).outcome is Outcome.APPLIED
    assert (await driver.answer(different)).reason.name == "DUPLICATE_NODE"
    still = await client.get(resources.NODES, real_name)
    assert RESERVATION_ANNOTATION not in still.metadata.annotations


async def test_too_late_too_old_twice_and_out_of_order(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name, late = node_name(), node_name("late")
    pods = await pinning.replicas(client, "web", namespace, 2, name)
    passed = await driver.do(pinning.promise(late), seconds=-1)
    assert (passed.outcome, passed.reason.name) == (Outcome.FAILED, "DEADLINE_PASSED")
    assert (await driver.do(pinning.promise(name), epoch=7, sequence=5, id="create")).outcome is Outcome.APPLIED

    stale = await driver.do(pinning.pin(name, pods), epoch=6)
    assert (stale.outcome, stale.reason.name) == (Outcome.REJECTED, "STALE_EPOCH")
    assert (await driver.do(pinning.pin(name, pods[:1]), epoch=7, sequence=6, id="pin")).outcome is Outcome.APPLIED
    reused = await driver.do(pinning.pin(name, pods), epoch=7, sequence=7, id="pin")
    first_answers = [a for a in driver.acks if a.instruction_id == "pin" and a.outcome.final]
    assert reused is first_answers[0]
    answers = await eventually(_another(driver, "pin", 2), "an answer to the second instruction of the same id")
    assert answers[1].reason.name == "ID_REUSED"
    driver.pinner.submit(driver.sent["create"])  # repeated: the answer is what is the case now
    answers = await eventually(_another(driver, "create", 2), "a second answer")
    assert [a.outcome for a in answers] == [Outcome.APPLIED, Outcome.APPLIED]

    expect = ExpectPods(name, (Slot(Owner("Deployment", namespace, "next"), {"cpu": "100m"}, 2),))
    assert (await driver.do(expect, epoch=7, sequence=9)).outcome is Outcome.APPLIED
    overtaken = await driver.do(Release(name), epoch=7, sequence=8)
    assert (overtaken.outcome, overtaken.reason.name) == (Outcome.REJECTED, "SUPERSEDED")
    reservation = await client.get(resources.NODE_RESERVATIONS, name)
    assert reservation.spec["slots"][0]["count"] == 2
    bound = await client.get(resources.PODS, pods[0].metadata.name, namespace)
    assert bound.spec.node_name == name


def _another(driver: Driver, instruction: str, count: int) -> Callable[[], Any]:
    async def probe() -> list[Any] | None:
        found = [a for a in driver.acks if a.instruction_id == instruction and a.outcome.final]
        return found if len(found) >= count else None

    return probe


async def test_a_no_execute_taint_of_the_promise_keeps_pods_away_that_do_not_tolerate_it_for_ever(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    dedicated = Taint(key="example.com/dedicated", value="x", effect="NoExecute")
    starting = Taint(key="example.com/agent-not-ready", value="", effect="NoExecute")
    toleration = {"key": dedicated.key, "operator": "Exists"}
    tolerant = await owned(client, "ReplicaSet", "tolerant", namespace, name, tolerations=[toleration])
    patient = await owned(
        client,
        "ReplicaSet",
        "patient",
        namespace,
        name,
        tolerations=[{**toleration, "effect": "NoExecute", "tolerationSeconds": 60}],
    )
    plain = await owned(client, "ReplicaSet", "plain", namespace, name)
    created = await driver.do(pinning.promise(name, taints=[dedicated], startup_taints=(starting,)))
    assert created.outcome is Outcome.APPLIED

    ack = await driver.do(pinning.pin(name, [tolerant, patient, plain]))

    assert pinning.outcomes(ack) == {
        tolerant.metadata.name: APPLIED,
        patient.metadata.name: rejected("TAINT_WOULD_EVICT"),
        plain.metadata.name: rejected("TAINT_WOULD_EVICT"),
    }
    node = await client.get(resources.NODES, name)
    effects = {(t.key, t.effect) for t in node.spec.taints}
    assert (dedicated.key, "NoExecute") in effects
    assert (starting.key, "NoSchedule") in effects
    assert (starting.key, "NoExecute") not in effects


async def test_a_pod_that_tolerates_everything_takes_room_before_the_pins_and_a_full_node_says_so(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 3, name, cpu="300m")
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    everything = pod("daemon-like", cpu="500m", nodeSelector={pinning.POOL: name}, tolerations=[{"operator": "Exists"}])
    await client.create(resources.PODS, everything, namespace)

    placed = await pod_where(
        client, "daemon-like", namespace, lambda p: p.spec.node_name == name, "the scheduler to choose the placeholder"
    )
    await driver.sees(driver.caches.pods, placed)
    ack = await driver.do(pinning.pin(name, pods))

    outcomes = sorted(pinning.outcomes(ack).values(), key=str)
    assert outcomes == sorted([APPLIED, rejected("NODE_FULL"), rejected("NODE_FULL")], key=str)


async def test_room_is_kept_for_the_daemon_sets_to_come(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    body = {
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": pinning.template("agent", name, cpu="600m"),
        },
    }
    agent = await client.create(resources.DAEMON_SETS, body, namespace)
    await driver.sees(driver.caches.daemon_sets, agent)
    pods = await pinning.replicas(client, "web", namespace, 2, name, cpu="300m")
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED

    ack = await driver.do(pinning.pin(name, pods))

    assert sorted(pinning.outcomes(ack).values(), key=str) == sorted([APPLIED, rejected("NODE_FULL")], key=str)


async def test_a_placeholder_is_deleted_or_released_on_request_and_a_real_node_is_not(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name, empty, real_name = node_name(), node_name("empty"), node_name("real")
    await client.create(resources.NODES, real(real_name))
    pods = await pinning.replicas(client, "web", namespace, 2, name)
    await driver.do(pinning.promise(name))
    await driver.do(pinning.promise(empty))
    assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED

    assert (await driver.do(Release(empty))).outcome is Outcome.APPLIED
    await pinning.node_gone(client, empty)
    assert (await driver.do(Release(name))).outcome is Outcome.APPLIED
    assert (await client.get(resources.NODES, name)).metadata.name == name
    assert (await driver.do(DeletePlaceholder(name))).outcome is Outcome.APPLIED
    await pinning.node_gone(client, name)
    await pinning.reservation_gone(client, name)
    again = await pinning.pods_of(client, "web", namespace, 2)
    assert not {p.metadata.uid for p in again} & {p.metadata.uid for p in pods}
    refused = await driver.do(DeletePlaceholder(real_name))
    assert (refused.outcome, refused.reason.name) == (Outcome.REJECTED, "NODE_IS_REAL")
    assert (await driver.do(DeletePlaceholder(node_name("never")))).outcome is Outcome.APPLIED
    # The same name can be promised again.
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    assert (await client.get(resources.NODES, name)).metadata.name == name
