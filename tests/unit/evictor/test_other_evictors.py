"""Another evictor is distinguished from this one only by certain facts."""

from __future__ import annotations

import json

import pytest

from moorage.evictor.other_evictors import OtherEvictors
from tests.unit.evictor.build import Json, controller, merged, node, owner, pod
from tests.unit.evictor.test_evaluation import inventory

US = "castai-agent/castai-evictor"
EVICTOR: Json = {"labels": {"app.kubernetes.io/name": "castai-evictor"}}
HERE: Json = {"namespace": "castai-agent"}
TOP = owner("Deployment", "castai-evictor")
OURS = [
    controller("Deployment", "castai-evictor", metadata={**EVICTOR, **HERE}, spec={"replicas": 2}),
    controller("ReplicaSet", "castai-evictor-1", metadata={**HERE, "ownerReferences": [TOP]}),
    pod("castai-evictor-1-x", of=owner("ReplicaSet", "castai-evictor-1"), metadata=HERE),
]


def deployment(name: str, namespace: str = "castai-agent", replicas: int | None = 1, **meta: object) -> Json:
    return controller(
        "Deployment", name, metadata={**EVICTOR, "namespace": namespace, **meta}, spec={"replicas": replicas}
    )


def marked(phase: str, by: str = "other/evictor") -> Json:
    said = json.dumps({"by": by, "cycle": "c", "phase": phase, "since": "2026-01-01T11:59:00Z"})
    return node(metadata={"annotations": {"moorage.dev/drain": said}})


def found(*manifests: Json, pod_name: str = "castai-evictor-1-x", without: tuple[str, ...] = ()) -> str:
    return OtherEvictors("castai-agent", pod_name, US).conflict(inventory(*manifests, without=without))


@pytest.mark.parametrize(
    "others",
    [
        [],
        [deployment("evictor", "elsewhere", replicas=0)],
        [deployment("web", labels={"app.kubernetes.io/name": "web", "helm.sh/chart": "castai-evictors-1"})],
        [marked("draining", US)],
        [marked("rolled-back")],
        [node(metadata={"annotations": {"moorage.dev/drain": "?"}})],
    ],
)
def test_nobody_else(others: list[Json]) -> None:
    assert found(*OURS, *others) == ""


@pytest.mark.parametrize(
    ("other", "who"),
    [
        (deployment("evictor", "elsewhere"), "Deployment elsewhere/evictor is another evictor"),
        (deployment("castai-evictor", "elsewhere", replicas=None), "Deployment elsewhere/castai-evictor"),
        (deployment("second"), "Deployment castai-agent/second"),
        (deployment("e", labels={"helm.sh/chart": "castai-evictor-0.30.7"}), "Deployment castai-agent/e"),
        (marked("chosen"), "installation other/evictor is draining node n1"),
        (marked("emptied"), "installation other/evictor is draining node n1"),
    ],
)
def test_somebody_else(other: Json, who: str) -> None:
    assert found(*OURS, other).startswith(who)


def test_while_our_pod_is_not_known_its_name_says_which_deployment_is_ours() -> None:
    assert found(*OURS[:1]) == ""
    assert found(*OURS[:1], deployment("castai-evictor-1")) != ""
    assert found(*OURS[:1], pod_name="laptop").startswith("Deployment castai-agent/castai-evictor is another")


def test_who_cannot_look_cannot_know() -> None:
    assert found(without=("Deployment",)) == "whether there is another evictor cannot be seen: may not list Deployment"


def test_a_pod_of_the_same_name_as_ours_does_not_make_another_deployment_ours() -> None:
    replaced = merged(OURS[1], {"metadata": {"uid": "another"}})
    assert found(OURS[0], replaced, OURS[2]) == "", "by its name then"
