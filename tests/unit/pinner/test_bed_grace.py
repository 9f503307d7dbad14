"""Pods that somebody deletes on a placeholder: they never started, so nobody waits for their grace."""

from __future__ import annotations

import pytest

from moorage.pinner.node.leases import NAMESPACE
from tests.unit.pinner.bed import Bed, Json, virtual
from tests.unit.pinner.bed.faults import deny, fail, lose_answer
from tests.unit.pinner.bed.store import key_of

from .test_bed_answers import placeholder

GRACE = 600
PATIENT: Json = {"terminationGracePeriodSeconds": GRACE}


async def held(bed: Bed, count: int = 1) -> list[Json]:
    """A placeholder with so many pinned pods that have a long grace, and nothing else to be done."""
    await placeholder(bed, within=1200)
    pods = bed.people.pods(count, **PATIENT)
    pinned = bed.planner.pin("n1", *pods, within=1200)
    await bed.answered(pinned)
    await bed.run(5)
    return pods


def gone(bed: Bed, pod: Json) -> bool:
    found = bed.api.read("pods", key_of(pod))
    return found is None or found["metadata"]["uid"] != pod["metadata"]["uid"]


def deletions(bed: Bed) -> list[Json]:
    """What the pinner asked for as it deleted pods."""
    return [request.body for request, _ in bed.api.deleted if request.plural == "pods"]


def daemon(bed: Bed, name: str = "agent") -> Json:
    """A DaemonSet's pod, which tolerates everything and was placed there by its controller."""
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tenant", "uid": "uid-d", "controller": True}
    body = {
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "main"}], "nodeName": "n1", **PATIENT},
        "status": {"phase": "Pending"},
    }
    return bed.api.create("pods", body, "ns")


@virtual
async def test_a_recreate_deployment_does_not_wait_for_a_grace_of_ten_minutes() -> None:
    async with Bed() as bed:
        pods = await held(bed, 3)
        for pod in pods:
            bed.api.delete("pods", key_of(pod))
        await bed.until(lambda: all(gone(bed, pod) for pod in pods), within=5)
        assert len(bed.told("DeletionFinished")) == 3
        assert {each["gracePeriodSeconds"] for each in deletions(bed)} == {0}
        rested = bed.now() + 5
        await bed.run(60)
        assert [each for each in bed.writes(rested) if each.resource == "pods"] == []
        assert bed.node("n1") is not None
        assert bed.repeated() == {}


@virtual
async def test_events_say_that_a_pod_was_pinned_before_they_say_that_it_is_gone() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=1200)
        (pod,) = bed.people.pods(1, **PATIENT)
        await bed.answered(bed.planner.pin("n1", pod, within=1200))
        bed.api.delete("pods", key_of(pod))
        await bed.run(10)
        told = [event.reason for event in bed.events if event.about == pod["metadata"]["name"]]
        assert told == ["Pinned", "DeletionFinished"]


@virtual
async def test_a_daemon_sets_pod_is_let_go_once_it_is_deleted_and_left_alone_before() -> None:
    async with Bed() as bed:
        await held(bed)
        old, living = daemon(bed), daemon(bed, "other")
        await bed.run(30)
        assert deletions(bed) == []
        bed.api.delete("pods", key_of(old))
        await bed.until(lambda: gone(bed, old), within=5)
        await bed.run(60)
        assert not gone(bed, living)
        assert len(deletions(bed)) == 1


@virtual
async def test_on_a_placeholder_that_finalizers_hold_nobody_waits_either() -> None:
    async with Bed() as bed:
        await held(bed)
        old = daemon(bed)
        bed.people.hold("nodes", "n1")
        bed.api.delete("nodes", "n1")
        await bed.run(10)
        assert not gone(bed, old), "it is the business of its controller"
        bed.api.delete("pods", key_of(old))
        await bed.until(lambda: gone(bed, old), within=5)


def kubelet_has_a_lease(bed: Bed) -> None:
    key, spec = f"{NAMESPACE}/n1", {"holderIdentity": "n1", "renewTime": bed.api.time().isoformat()}
    if bed.api.read("leases", key) is None:
        bed.api.create("leases", {"metadata": {"name": "n1"}, "spec": spec}, NAMESPACE)
    else:
        bed.api.edit("leases", key, lambda found: found["spec"].update(spec))


def kubelet_has_a_csi_node(bed: Bed) -> None:
    bed.api.create("csinodes", {"metadata": {"name": "n1"}, "spec": {"drivers": []}})


@pytest.mark.parametrize("sign", [kubelet_has_a_lease, kubelet_has_a_csi_node])
@virtual
async def test_where_a_kubelet_is_on_its_way_the_pod_is_its_own(sign: object) -> None:
    async with Bed() as bed:
        (pod,) = await held(bed)
        assert callable(sign)
        sign(bed)
        bed.api.delete("pods", key_of(pod))
        await bed.run(35)
        assert not gone(bed, pod)
        assert deletions(bed) == []
        assert len(bed.asked("get", "csinodes")) <= 8, "it looks every ten seconds"
        bed.people.join("n1")
        await bed.until(lambda: gone(bed, pod), within=5)
        assert deletions(bed) == [], "the kubelet has ended it"


@virtual
async def test_a_kubelet_that_begins_with_the_pod_at_this_very_moment_keeps_it() -> None:
    """Its write changes the resourceVersion that the deletion names."""
    async with Bed() as bed:
        (pod,) = await held(bed)
        status = {"phase": "Running", "startTime": "2030-01-01T00:00:00Z"}
        bed.api.delete("pods", key_of(pod))
        bed.wire.hold("pods")
        bed.api.edit("pods", key_of(pod), lambda found: found["status"].update(status))
        await bed.run(5)
        bed.wire.let_go()
        await bed.run(30)
        assert not gone(bed, pod)


@pytest.mark.parametrize("fault", [deny(), fail(500), lose_answer])
@virtual
async def test_what_the_api_server_refuses_waits_and_is_not_repeated_for_nothing(fault: object) -> None:
    async with Bed() as bed:
        (pod,) = await held(bed)
        bed.wire.faults.set(fault, "delete", "pods", times=4)  # type: ignore[arg-type]
        bed.api.delete("pods", key_of(pod))
        await bed.until(lambda: gone(bed, pod), within=60)
        await bed.run(30)
        assert bed.repeated() == {}


@virtual
async def test_whoever_leads_next_finishes_it() -> None:
    async with Bed() as bed:
        (pod,) = await held(bed)
        bed.leads = False
        bed.api.delete("pods", key_of(pod))
        await bed.run(2)
        assert not gone(bed, pod)
        bed.leads = True
        await bed.crash()
        await bed.until(lambda: gone(bed, pod), within=10)


@virtual
async def test_a_pod_that_a_finalizer_holds_is_not_deleted_again() -> None:
    async with Bed() as bed:
        (pod,) = await held(bed)
        bed.people.hold("pods", key_of(pod))
        bed.api.delete("pods", key_of(pod))
        await bed.run(120)
        assert len(deletions(bed)) == 1
        bed.people.let_go("pods", key_of(pod))
        await bed.until(lambda: gone(bed, pod), within=5)


@pytest.mark.parametrize("collected", [True, False])
@virtual
async def test_pods_of_an_earlier_machine_of_the_name_are_collected_before_a_placeholder_stands(
    collected: bool,
) -> None:
    """The garbage collector leaves pods alone whose Node is there: and they would count as running."""
    async with Bed() as bed:
        bed.people.join("n1")
        (old,) = bed.people.pods(1, nodeName="n1")
        home = daemon(bed)
        await bed.run(3)
        assert {each["status"]["phase"] for each in (stored(bed, old), stored(bed, home))} == {"Running"}
        bed.api.delete("nodes", "n1")
        created, pinned = bed.planner.create("n1", within=90), bed.planner.pin("n1", *bed.people.pods(1), within=90)
        await bed.run(40)
        assert (bed.node("n1"), bed.planner.final(created)) == (None, "")
        if collected:
            bed.people.replaces_pods = False
            bed.api.delete("pods", key_of(old), gracePeriodSeconds=0)
        await bed.answered(created, pinned, within=60)
        answers = [ack.sentence for each in (created, pinned) for _, ack in bed.planner.finals(each)]
        if collected:
            assert [bed.planner.final(each) for each in (created, pinned)] == ["APPLIED OK"] * 2
        else:
            assert all(f"has left {key_of(old)}: the garbage collector of pods is" in each for each in answers)
        assert not gone(bed, home)
        assert deletions(bed) == []
        assert bed.repeated() == {}


def stored(bed: Bed, pod: Json) -> Json:
    return bed.api.read("pods", key_of(pod)) or {"status": {}}


@virtual
async def test_a_pod_that_has_started_unseen_outlives_the_deadline_of_its_machine() -> None:
    """Of a machine that is not Ready by then only what never started goes, also when the watch of pods lags behind."""
    async with Bed() as bed:
        await placeholder(bed, within=60)
        started, waits = bed.people.pods(2)
        bed.planner.pin("n1", started, waits, within=60)
        await bed.run(5)
        bed.people.join("n1", ready=False)
        bed.people.kubelets.clear()  # the test is the kubelet
        await bed.run(5)
        bed.wire.hold("pods")
        running = [{"name": "main", "state": {"running": {}}}]
        status = {"phase": "Running", "startTime": "2030-01-01T00:00:00Z", "containerStatuses": running}
        bed.api.edit("pods", key_of(started), lambda found: found["status"].update(status))
        await bed.run(70)
        bed.wire.let_go()
        await bed.run(10)
        assert "deletionTimestamp" not in (bed.api.read("pods", key_of(started)) or waits)["metadata"]
        assert gone(bed, waits) or "deletionTimestamp" in (bed.api.read("pods", key_of(waits)) or started)["metadata"]
        assert bed.repeated() == {}
