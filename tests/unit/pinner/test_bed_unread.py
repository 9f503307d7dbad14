"""The whole pinner with unreadable objects: pins that depend on them wait, and all others continue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from moorage.cluster import fit_snapshot
from moorage.pinner import eligibility
from moorage.pinner.refusal import Nominable, Refusal, Wait
from moorage.pinner.state import following
from moorage.protocol import ReasonCode
from moorage.scheduling import Finding, Reason, Snapshot, Verdict
from moorage.scheduling.state import State
from tests.unit.pinner.bed import EPOCH, Bed, Json, virtual

DRIVER = "nfs.csi.k8s.io"
DONE, LATE = "APPLIED OK", "FAILED DEADLINE_PASSED"


def csi_node(name: str, *, topology: Any = None, count: Any = 2) -> Json:
    driver = {"name": DRIVER, "nodeID": name, "topologyKeys": topology, "allocatable": {"count": count}}
    return {"metadata": {"name": name}, "spec": {"drivers": [driver]}}


def with_volumes(bed: Bed, count: int) -> list[Json]:
    """Pods of a ReplicaSet, each with a volume of its own."""
    pods = []
    for number in range(count):
        name = f"v{number}"
        source = {"driver": DRIVER, "volumeHandle": name}
        bed.api.create("persistentvolumes", {"metadata": {"name": name}, "spec": {"csi": source}})
        claim = {
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": name},
            "status": {"phase": "Bound"},
        }
        bed.api.create("persistentvolumeclaims", claim, "ns")
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
        pods += bed.people.pods(1, volumes=[volume])
    return pods


def sentences(bed: Bed, instruction: str) -> str:
    ((_, ack),) = bed.planner.finals(instruction)
    return " ".join(result.sentence for result in ack.pods)


@virtual
async def test_a_limit_counts_although_the_driver_has_no_topology() -> None:
    async with Bed() as bed:
        bed.api.create("csinodes", csi_node("n1"))
        created = bed.planner.create("n1", within=300)
        pins = [bed.planner.pin("n1", pod) for pod in with_volumes(bed, 6)]
        await bed.answered(created, *pins)
        assert sorted(bed.planner.final(each) for each in pins) == [DONE] * 2 + ["REJECTED DOES_NOT_FIT"] * 4
        assert len(bed.bound("n1")) == 2


@virtual
async def test_pins_wait_for_what_cannot_be_read_and_others_do_not() -> None:
    async with Bed() as bed:
        bed.api.create("csinodes", csi_node("n1", count="two"))
        created = [bed.planner.create(name, within=300) for name in ("n1", "n2")]
        waiting, elsewhere, late = with_volumes(bed, 3)
        pins = {"waits": bed.planner.pin("n1", waiting, within=200), "late": bed.planner.pin("n1", late, within=30)}
        fine = [bed.planner.pin("n1", *bed.people.pods(1)), bed.planner.pin("n2", elsewhere)]
        await bed.answered(*created, *fine)
        assert [bed.planner.final(each) for each in fine] == [DONE] * 2
        await bed.run(20)
        assert [bed.planner.final(each) for each in pins.values()] == ["", ""]
        assert bed.reservation("n1")["status"]["message"].startswith("node n1: not decidable here")  # type: ignore[index]

        await bed.run(15)
        assert bed.planner.final(pins["late"]) == LATE
        deadline = bed.planner.issued[pins["late"]].deadline
        assert 0 <= bed.planner.answered_at(pins["late"]) - _at(deadline) < 2
        assert "CSINode n1" in sentences(bed, pins["late"])
        assert bed.planner.final(pins["waits"]) == ""

        bed.api.edit(
            "csinodes", "n1", lambda found: found.update(csi_node("n1")["spec"] and {"spec": csi_node("n1")["spec"]})
        )
        await bed.answered(pins["waits"], within=2)
        assert bed.planner.final(pins["waits"]) == DONE
        assert bed.repeated() == {}
        odd = [record for record in bed.logs if "could not be read" in record.getMessage()]
        assert len(odd) == 1


@pytest.mark.parametrize("gone", [False, True], ids=["readable again", "gone"])
@virtual
async def test_a_tenants_odd_pod_holds_up_its_own_node_alone(gone: bool) -> None:
    async with Bed() as bed:
        created = [bed.planner.create(name, within=300) for name in ("n1", "n2")]
        await bed.answered(*created)
        nowhere = bed.people.pods(1)[0]
        bed.api.edit("pods", f"ns/{nowhere['metadata']['name']}", lambda found: found["spec"].update(tolerations=7))
        odd = bed.people.bound_by_tenant("n1", {})
        key = f"ns/{odd['metadata']['name']}"
        bed.api.edit("pods", key, lambda found: found["spec"].update(tolerations=7))
        await bed.run(1)
        first, second = bed.planner.pin("n1", *bed.people.pods(1)), bed.planner.pin("n2", *bed.people.pods(1))
        await bed.answered(second, within=5)
        await bed.run(5)
        assert (bed.planner.final(first), bed.planner.final(second)) == ("", DONE)
        if gone:
            bed.api.delete("pods", key, gracePeriodSeconds=0)
        else:
            bed.api.edit("pods", key, lambda found: found["spec"].pop("tolerations"))
        await bed.answered(first, within=5)
        assert bed.planner.final(first) == DONE


@virtual
async def test_a_pinned_pod_that_a_new_leader_cannot_read_is_no_pod_that_is_not_there() -> None:
    async with Bed() as bed:
        bed.api.create("csinodes", csi_node("n1", count="two"))
        created = bed.planner.create("n1", within=300)
        (pod,) = with_volumes(bed, 1)
        pin = bed.planner.pin("n1", pod, within=60)
        await bed.run(3)
        key = f"ns/{pod['metadata']['name']}"
        bed.api.edit("pods", key, lambda found: found["spec"].update(tolerations=7))
        await bed.run(3)
        await bed.crash()
        await bed.answered(created)
        await bed.run(20)
        assert bed.planner.final(pin) == ""
        await bed.run(60)
        assert bed.planner.outcome(pin) == "FAILED"
        assert bed.repeated() == {}


@pytest.mark.parametrize("kind", ["pods", "nodes", "csinodes", "daemonsets", "namespaces"])
@virtual
async def test_one_poisonous_object_spoils_nothing_and_ends_no_term(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _poison(monkeypatch, by="label")
    async with Bed() as bed:
        created = [bed.planner.create(name, within=300) for name in ("n1", "n2")]
        await bed.answered(*created)
        bodies: dict[str, Json] = {
            "pods": {"spec": {"nodeName": "n1", "containers": []}},
            "nodes": {"spec": {}, "status": {"allocatable": {"cpu": "1", "pods": "9"}}},
            "csinodes": csi_node("poison"),
            "daemonsets": {"spec": {"template": {"spec": {"nodeSelector": {"pool": "none"}}}}},
            "namespaces": {},
        }
        labels = {"metadata": {"name": "poison", "labels": {"poison": "yes"}}}
        namespace = "ns" if kind in ("pods", "daemonsets") else ""
        bed.api.create(kind, bodies[kind] | labels, namespace)
        key = f"{namespace}/poison" if namespace else "poison"
        for number in range(30):
            await bed.run(1)
            bed.api.edit(kind, key, partial(_note, f"{number}"))
        pins = [bed.planner.pin(name, *bed.people.pods(2)) for name in ("n1", "n2")]
        await bed.answered(pins[1], within=10)
        assert bed.planner.final(pins[1]) == DONE
        assert bed.planner.final(pins[0]) == ("" if kind == "pods" else DONE)
        await bed.crash()  # a new term meets it in the caches
        pin = bed.planner.pin("n2", *bed.people.pods(1))
        await bed.answered(pin, within=10)
        assert bed.planner.final(pin) == DONE
        assert len(bed.said("subscriber failed")) == (0 if kind == "daemonsets" else 2)  # once in each term
        assert bed.said("the term ends") == []
        bed.api.delete(kind, key, gracePeriodSeconds=0)
        await bed.answered(pins[0], within=10)


@virtual
async def test_a_term_ends_only_when_nothing_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=300))

        def never() -> Snapshot:
            raise RuntimeError("nothing can be built")

        _poison(monkeypatch, by="poison")
        monkeypatch.setattr(fit_snapshot, "Snapshot", never)
        bed.api.create("namespaces", {"metadata": {"name": "poison"}})
        term = bed._term
        assert term is not None
        with pytest.raises(ExceptionGroup) as ended:
            await bed.until(term.done, within=10)
        assert isinstance(ended.value.exceptions[0], following.SnapshotUnusable)
        (said,) = [record for record in bed.logs if "the term ends" in record.getMessage()]
        assert (vars(said)["kind"], vars(said)["object"]) == ("Namespace", "poison")
        bed._term = None


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], None),
        ([Reason.WAIT_FOR_FIRST_CONSUMER], "SOFT_PIN_UNSUPPORTED"),
        ([Reason.RESOURCE], "NODE_FULL"),
        ([Reason.TAINT], "DOES_NOT_FIT"),
    ],
)
def test_only_who_has_nothing_else_in_the_way_waits(others: list[Reason], reason: str | None) -> None:
    findings = [Finding(each, "field") for each in (Reason.UNREADABLE, *others)]
    found = eligibility.refuse_fit(Verdict.of(findings), "n1")
    if reason is None:
        assert isinstance(found, Wait)
        assert found.why.reason is ReasonCode.DEADLINE_PASSED
    else:
        why = found.why if isinstance(found, Nominable) else found
        assert isinstance(why, Refusal)
        assert why.reason.name == reason
        assert isinstance(found, Nominable) is (others == [Reason.WAIT_FOR_FIRST_CONSUMER])


def _at(moment: datetime) -> float:
    """A moment on the loop's clock."""
    return (moment - EPOCH).total_seconds()


def _note(text: str, found: Json) -> None:
    found["metadata"]["annotations"] = {"note": text}


def _poison(monkeypatch: pytest.MonkeyPatch, *, by: str) -> None:
    """Whatever is marked is applied by halves, and then it raises."""
    apply: Callable[[Snapshot, Any], None] = State.apply

    def half(self: Snapshot, thing: Any) -> None:
        apply(self, thing)
        if thing.metadata.labels.get("poison") or by in thing.metadata.name:
            raise RuntimeError("poison")

    monkeypatch.setattr(State, "apply", half)
