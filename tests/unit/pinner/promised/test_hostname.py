"""No placeholder has a hostname label: who is pinned there all the same, who is not, and who is not disturbed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Node, Pod
from moorage.objects.storage import PersistentVolume, PersistentVolumeClaim
from moorage.pinner.decisions import adoption
from moorage.pinner.names import HOSTNAME, PREPARING_TAINT
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.promised import hostname
from moorage.pinner.promised.manifest import as_promised, placeholder_manifest
from moorage.pinner.providers import PROFILES
from moorage.scheduling import Fit, Snapshot
from tests.unit.pinner.webhook.scene import PROMISE, Json, Scene, patched, pod, slot
from tests.unit.pinner.webhook.test_mutate import node_of, reason

LABELS = {"app": "web"}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def requiring(*expressions: Json) -> Json:
    term = {"matchExpressions": list(expressions)}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


def apart(kind: str = "podAntiAffinity") -> Json:
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": LABELS}}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def spread(**more: Any) -> Json:
    selector = {"matchLabels": LABELS}
    constraint = {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": selector, **more}]}


def on(operator: str, *values: str, key: str = HOSTNAME) -> Json:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def joined(scene: Scene, name: str = "n1", hostname: str = "n1") -> None:
    """The kubelet registers and sets its label; our taint is still there."""
    old = scene.cluster.nodes.get(name)
    assert old is not None
    status = {
        "allocatable": old.status.allocatable,
        "nodeInfo": {"kubeletVersion": "v1"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    meta = msgspec.structs.replace(old.metadata, labels={**old.metadata.labels, HOSTNAME: hostname})
    scene.nodes.put(
        msgspec.structs.replace(old, metadata=meta, status=msgspec.convert(status, type(old.status))), scene.next()
    )


@pytest.mark.parametrize("labels", [{}, {HOSTNAME: "node-1"}, {HOSTNAME: "another"}])
@pytest.mark.parametrize("profile", list(PROFILES))
def test_no_placeholder_has_the_label_and_adoption_neither_sets_it_nor_misses_it(
    labels: dict[str, str], profile: str
) -> None:
    promise = msgspec.structs.replace(PROMISE, labels=labels, profile=profile)
    manifest = placeholder_manifest("node-1", "r", promise, PROFILES[profile])
    assert not [key for key in manifest["metadata"]["labels"] if "hostname" in key]
    for there in ({}, {HOSTNAME: "node-1"}, {HOSTNAME: "node-1.example.com"}):
        node = msgspec.convert({"metadata": {"name": "node-1", "labels": there}, "status": {}}, Node)
        found = adoption.adopt(node, promise, PROFILES[profile], preparing="")
        assert HOSTNAME not in found.changes.get("metadata", {}).get("labels", {})
        assert not [each for each in found.shortfalls if "hostname" in each]


SELECTING: dict[str, Json] = {
    "node selector": {"nodeSelector": {HOSTNAME: "n1"}},
    "affinity": requiring(on("In", "n1", "n2")),
    "affinity, that there is one": requiring(on("Exists")),
    "affinity, beside another label": requiring(on("In", "a", key="pool"), on("In", "n1")),
}
OTHERS: dict[str, Json] = {
    "nothing": {},
    "spread": spread(),
    "spread, with a least number of domains": spread(minDomains=1),
    "away from its own": apart(),
    "near its own": apart("podAffinity"),
    "affinity, not another": requiring(on("NotIn", "n2")),
    "affinity to another label": requiring(on("In", "a", key="pool")),
    "a preferred term": {
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [on("In", "n1")]}}
                ]
            }
        }
    },
}


def placeholder(scene: Scene, name: str = "n1", count: int = 3, **more: Any) -> None:
    annotations = {"moorage.dev/reservation": "r-" + name}
    meta = {"name": name, "uid": "n-" + name, "labels": {"pool": "a"}, "annotations": annotations}
    scene.node(name, *([slot(count)] if count else []), metadata=meta, **more)


@pytest.mark.parametrize("selecting", list(SELECTING))
def test_who_selects_by_it_is_refused_until_the_node_has_joined(scene: Scene, selecting: str) -> None:
    placeholder(scene)
    created = scene.create(pod(**SELECTING[selecting]))
    assert node_of(created) == ""
    assert f"node n1: the pod selects by {HOSTNAME}, a label that a placeholder does not have" in reason(created)
    pinned = scene.store(pod(**SELECTING[selecting]), "p")
    refusal = NodeRoom(scene.cluster, "n1").admit((pinned,))[pinned.metadata.uid]
    assert refusal is not None
    assert refusal.reason.name == "DOES_NOT_FIT"  # type: ignore[union-attr]
    joined(scene)
    assert NodeRoom(scene.cluster, "n1").admit((pinned,))[pinned.metadata.uid] is None
    assert node_of(scene.create(pod(**SELECTING[selecting]))) == "n1"


def test_a_pin_is_taken_back_when_another_webhook_makes_the_pod_select_by_host(scene: Scene) -> None:
    placeholder(scene)
    created = scene.create(pod())
    assert node_of(created) == "n1"
    created["spec"]["nodeSelector"] = {HOSTNAME: "n1"}
    again = patched(created, scene.ask(created))
    assert node_of(again) == ""
    assert HOSTNAME in reason(again)


@pytest.mark.parametrize("spec", list(OTHERS))
def test_who_is_spread_over_it_or_kept_apart_by_it_is_pinned_as_to_the_node_that_joins(scene: Scene, spec: str) -> None:
    placeholder(scene)
    assert node_of(scene.create(pod(**OTHERS[spec]))) == "n1"


def test_two_that_keep_apart_are_never_pinned_to_one_placeholder_and_spread_counts_all_of_them(scene: Scene) -> None:
    for name in ("n1", "n2"):
        placeholder(scene, name)
    assert {node_of(scene.create(pod(**apart()))) for _ in range(2)} == {"n1", "n2"}
    third = scene.create(pod(**apart()))
    assert node_of(third) == ""
    assert "must be away" in reason(third)
    other = Scene()
    for name in ("n1", "n2"):
        placeholder(other, name)
    assert sorted(node_of(other.create(pod(**spread()))) for _ in range(4)) == ["n1", "n1", "n2", "n2"]


def claiming(scene: Scene, *hosts: str) -> Pod:
    """A pod with a local volume of some machines."""
    required = {"nodeSelectorTerms": [{"matchExpressions": [on("In", *hosts)]}]}
    volume = {"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": required}}}
    claim = {"metadata": {"name": "c", "namespace": "ns"}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}}
    annotations = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    scene.cluster.snapshot.apply(msgspec.convert(volume, PersistentVolume))
    meta = {**claim["metadata"], **annotations}
    scene.cluster.snapshot.apply(msgspec.convert({**claim, "metadata": meta}, PersistentVolumeClaim))
    return scene.store(pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), "p")


def test_a_local_volume_of_the_machine_waits_for_the_machine(scene: Scene) -> None:
    placeholder(scene)
    claims = claiming(scene, "n1")
    refusal = NodeRoom(scene.cluster, "n1").admit((claims,))["u-p"]
    assert f"a volume of the pod can be reached only by {HOSTNAME}" in str(refusal)
    joined(scene)
    assert NodeRoom(scene.cluster, "n1").admit((claims,))["u-p"] is None


def test_a_kubelet_with_another_hostname_is_judged_by_what_is_promised(scene: Scene) -> None:
    """Two machines behind one hostname are one domain: what is promised says so, and what is there does."""
    placeholder(scene, promise=msgspec.structs.replace(PROMISE, labels={HOSTNAME: "short", "pool": "a"}))
    scene.running("real")
    there = scene.cluster.nodes.get("real")
    assert there is not None
    meta = msgspec.structs.replace(there.metadata, labels={HOSTNAME: "short"})
    scene.nodes.put(msgspec.structs.replace(there, metadata=meta), scene.next())
    scene.store({**pod(nodeName="real", **apart())}, "there")
    assert node_of(scene.create(pod(**apart()))) == ""


def test_a_pod_for_a_node_that_runs_is_judged_as_the_scheduler_does_it(scene: Scene) -> None:
    """For kube-scheduler a placeholder is no domain: what it would place, we do not refuse."""
    scene.running("real", slot(4))
    placeholder(scene, count=0)
    before = scene.cluster.snapshot.nodes.record(scene.cluster.snapshot.nodes.slots["n1"]).labels
    assert [node_of(scene.create(pod(**spread()))) for _ in range(2)] == ["real", "real"]
    after = scene.cluster.snapshot.nodes.record(scene.cluster.snapshot.nodes.slots["n1"]).labels
    assert before == after == {"pool": "a", "provisioner.cast.ai/managed-by": "cast.ai", HOSTNAME: "n1"}
    joined(scene)
    created = scene.create(pod(**spread()))
    assert node_of(created) == "", "now it is one, and empty"
    assert "spread too unevenly" in reason(created)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=4),
    st.integers(0, 2),
    st.sampled_from([{}, {"maxSkew": 2}, {"minDomains": 2}, {"minDomains": 4}]),
)
def test_the_answer_for_a_node_that_runs_is_that_without_the_other_domains_however_it_is_found(
    others: list[tuple[bool, int]], here: int, constraint: Json
) -> None:
    scene = Scene()
    scene.running("real", slot(1))
    for number, (is_promised, pods) in enumerate([(False, here), *others]):
        name = f"n{number}" if number else "real"
        if is_promised:
            scene.node(name)
        elif number:
            scene.running(name)
        for each in range(pods):
            scene.store(pod(nodeName=name, cpu="100m"), f"there-{number}-{each}")
    asked = msgspec.convert(pod(cpu="100m", **spread(**constraint)), Pod)
    asked = msgspec.structs.replace(asked, metadata=msgspec.structs.replace(asked.metadata, namespace="ns"))
    found = scene.cluster.as_scheduled(asked, "real")
    with scene.cluster.snapshot.trial():
        for node in tuple(scene.cluster._unnamed()):
            scene.cluster.snapshot.add_node(hostname.without(node))
        assert found == scene.cluster.expected.verdict(asked, "real")


def test_a_pod_that_fits_beside_all_domains_costs_nothing_for_each_placeholder(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.running("real", slot(2))
    placeholder(scene, count=0)
    counted_anew: list[str] = []
    add_node = scene.cluster.snapshot.add_node

    def count_anew(node: Node) -> None:
        counted_anew.append(node.metadata.name)
        add_node(node)

    monkeypatch.setattr(scene.cluster.snapshot, "add_node", count_anew)
    assert node_of(scene.create(pod(**spread()))) == "real"
    assert counted_anew == []
    assert node_of(scene.create(pod(**spread()))) == "real", "the placeholder would be an empty domain"
    assert counted_anew == ["n1"]


STRANGERS = st.lists(
    st.sampled_from([spread(), apart(), apart("podAffinity"), {}, *SELECTING.values(), *OTHERS.values()]),
    min_size=1,
    max_size=6,
)


@given(STRANGERS, st.sampled_from([*SELECTING.values(), *OTHERS.values()]))
def test_what_is_pinned_fits_the_node_that_joins_and_its_kubelet_takes_it_before_it_has_its_label(
    neighbours: list[Json], spec: Json
) -> None:
    """Pods on the node, and the answer about one more: with the label as with it, without it as the kubelet does."""
    scene = Scene()
    placeholder(scene)
    for number, each in enumerate(neighbours):
        scene.store(pod(nodeName="n1", cpu="100m", **each), f"there-{number}")
    asked = msgspec.convert({**pod(cpu="100m", **spec)}, Pod)
    asked = msgspec.structs.replace(asked, metadata=msgspec.structs.replace(asked.metadata, name="x", namespace="ns"))
    scene.pods.put(msgspec.structs.replace(asked, metadata=msgspec.structs.replace(asked.metadata, uid="x")), 1000)
    pinned = NodeRoom(scene.cluster, "n1").admit((asked,))[asked.metadata.uid] is None
    real, bare = (Snapshot(), Snapshot())
    labels = {"pool": "a", HOSTNAME: "n1"}
    status = {"allocatable": PROMISE.allocatable}
    real.apply(msgspec.convert({"metadata": {"name": "n1", "labels": labels}, "status": status}, Node))
    bare.apply(msgspec.convert({"metadata": {"name": "n1", "labels": {"pool": "a"}}, "status": status}, Node))
    for each in scene.pods:
        if each.spec.node_name:
            real.apply(each)
    alone = msgspec.structs.replace(
        asked, spec=msgspec.structs.replace(asked.spec, topology_spread_constraints=(), affinity=_node_affinity(asked))
    )
    kubelet = bare.verdict(alone, "n1").fit is Fit.YES
    scheduler = real.verdict(asked, "n1").fit is Fit.YES
    assert pinned == (scheduler and kubelet)


def _node_affinity(one: Pod) -> Any:
    affinity = one.spec.affinity
    return None if affinity is None else type(affinity)(node_affinity=affinity.node_affinity)


def test_a_node_as_promised_has_the_label_that_its_kubelet_will_set_and_keeps_the_one_that_it_has() -> None:
    def seen(labels: dict[str, str], promised: dict[str, str], profile: str = "generic") -> str | None:
        promise = msgspec.structs.replace(PROMISE, labels=promised, profile=profile)
        taint = msgspec.to_builtins(PREPARING_TAINT)
        node = msgspec.convert({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": [taint]}}, Node)
        return as_promised("n", promise, node).metadata.labels.get(HOSTNAME)

    assert seen({}, {}) == "n"
    assert seen({}, {HOSTNAME: "short"}) == "short"
    assert seen({HOSTNAME: "real"}, {HOSTNAME: "short"}) == "real"
    assert seen({}, {}, "late") is None
