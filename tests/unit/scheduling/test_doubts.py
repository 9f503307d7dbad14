"""Unreadable objects make only those verdicts unknown that they could change."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from moorage.objects import (
    CsiNode,
    KubeObject,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    StorageClass,
    VolumeAttachment,
)
from moorage.scheduling import Fit, Reason, Snapshot, Unread

from .build import HOST, REQUIRED, WEB, ZONE, apart, node, pod, spread

DRIVER = "csi.example.com"


def thing(kind: type[Any], name: str, namespace: str = "", **parts: Any) -> Any:
    body = {"metadata": {"name": name, "namespace": namespace, **parts.pop("meta", {})}, **parts}
    return msgspec.json.decode(json.dumps(body), type=kind)


def volume(name: str) -> PersistentVolume:
    found: PersistentVolume = thing(
        PersistentVolume, name, spec={"csi": {"driver": DRIVER, "volumeHandle": name}, "storageClassName": "fast"}
    )
    return found


def claim(name: str, to: str = "", storage_class: str = "fast") -> PersistentVolumeClaim:
    done = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}} if to else {}
    found: PersistentVolumeClaim = thing(
        PersistentVolumeClaim,
        name,
        "shop",
        meta=done,
        spec={"volumeName": to, "storageClassName": storage_class},
        status={"phase": "Bound" if to else "Pending"},
    )
    return found


def csi_node(name: str, count: int) -> CsiNode:
    drivers = [{"name": DRIVER, "nodeID": name, "allocatable": {"count": count}}]
    found: CsiNode = thing(CsiNode, name, spec={"drivers": drivers})
    return found


def mounting(name: str, *claims: str, on: str = "", **more: Any) -> Pod:
    volumes = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims]
    return pod(name, on=on, volumes=volumes, **more)


def cluster() -> Snapshot:
    """Three nodes in two zones, with volumes v1 to v3 and a limit of two on n0."""
    snapshot = Snapshot()
    for name, zone in (("n0", "a"), ("n1", "a"), ("n2", "b")):
        snapshot.apply(node(name, zone))
    for name in ("v1", "v2", "v3"):
        snapshot.apply(volume(name))
        snapshot.apply(claim(name, name))
    snapshot.apply(thing(StorageClass, "fast", provisioner=DRIVER, volumeBindingMode="Immediate"))
    snapshot.apply(csi_node("n0", 2))
    snapshot.apply(thing(Namespace, "shop", meta={"labels": {"team": "shop"}}))
    snapshot.apply(thing(Namespace, "bank", meta={"labels": {"team": "bank"}}))
    return snapshot


def doubt(snapshot: Snapshot, rest: KubeObject, *fields: str) -> None:
    snapshot.doubt(rest.key, Unread(rest, f"{type(rest).__name__} {rest.key}", fields, "it is odd"))


def answers(snapshot: Snapshot, pending: Pod) -> str:
    """One letter per node: y, n or u; the quick answer for all nodes agrees."""
    verdicts = {name: snapshot.verdict(pending, name) for name in ("n0", "n1", "n2")}
    assert {name for name, verdict in verdicts.items() if verdict.fit is Fit.YES} == set(snapshot.fitting(pending))
    for verdict in verdicts.values():
        unread = [finding for finding in verdict.findings if finding.reason is Reason.UNREADABLE]
        assert bool(unread) >= (verdict.fit is Fit.UNKNOWN)
        assert all("it is odd" in str(finding) for finding in unread)
    return "".join(verdict.fit.value[0] for verdict in verdicts.values())


NEAR = {"podAffinity": {REQUIRED: [{"topologyKey": ZONE, "labelSelector": WEB}]}}
ACROSS = {
    "podAntiAffinity": {
        REQUIRED: [{"topologyKey": ZONE, "labelSelector": WEB, "namespaceSelector": {"matchLabels": {"team": "shop"}}}]
    }
}
PLAIN, MOUNTS = pod("plain"), mounting("mounts", "v1")
BANKER = pod("banker", meta={"namespace": "bank"})
CASES: list[tuple[str, KubeObject, tuple[str, ...], dict[str, tuple[Pod, str]]]] = [
    (
        "a CSINode decides over volumes on its node",
        thing(CsiNode, "n0"),
        ("spec.drivers",),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "uyy")},
    ),
    (
        "what placement does not read of it does not matter",
        csi_node("n0", 2),
        ("metadata.ownerReferences", "metadata.finalizers"),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "yyy")},
    ),
    (
        "a claim decides over the pods that use it",
        thing(PersistentVolumeClaim, "v1", "shop"),
        ("spec", "metadata.annotations"),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "uuu"), "other": (mounting("o", "v2"), "yyy")},
    ),
    (
        "a volume decides over the pods whose claims name it",
        thing(PersistentVolume, "v1"),
        ("spec.nodeAffinity",),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "uuu"), "other": (mounting("o", "v2"), "yyy")},
    ),
    (
        "a class decides over claims that have no volume yet",
        thing(StorageClass, "fast"),
        ("volumeBindingMode",),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "yyy"), "unbound": (mounting("u", "unbound"), "uuu")},
    ),
    (
        "an attachment of which the node is known decides over volumes there, if they have a limit",
        thing(VolumeAttachment, "a", spec={"nodeName": "n0"}),
        ("spec.source",),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "uyy")},
    ),
    (
        "an attachment of which it is not known",
        thing(VolumeAttachment, "a"),
        ("spec.nodeName",),
        {"plain": (PLAIN, "yyy"), "mounts": (MOUNTS, "uyy")},
    ),
    (
        "a Node decides over whoever may come to it",
        node("n0"),
        ("spec.taints",),
        {
            "plain": (PLAIN, "uyy"),
            "spread": (pod("s", topologySpreadConstraints=spread()), "uyy"),
            "by taints": (pod("t", topologySpreadConstraints=spread(nodeTaintsPolicy="Honor")), "uuu"),
        },
    ),
    (
        "a Node without its labels decides over whoever asks for domains",
        node("n0", labels={}),
        ("metadata.labels",),
        {
            "plain": (PLAIN, "uyy"),
            "spread": (pod("s", topologySpreadConstraints=spread()), "uuu"),
            "near": (pod("n", affinity=NEAR), "uuu"),
            "apart": (pod("a", affinity=apart(ZONE)), "uyy"),
        },
    ),
    ("the rest of a Node does not matter", node("n0"), ("status.conditions", "spec.providerID"), {"": (PLAIN, "yyy")}),
    (
        "a pod decides over room on its node",
        pod("odd", on="n0", app="odd"),
        ("spec.containers",),
        {
            "plain": (PLAIN, "uyy"),
            "spread": (pod("s", topologySpreadConstraints=spread()), "uyy"),
            "apart": (pod("a", affinity=apart(ZONE)), "uyy"),
            "a banker": (BANKER, "uyy"),
        },
    ),
    (
        "a pod without its labels decides over those of its namespace that count it",
        pod("odd", on="n0", meta={"labels": {}}),
        ("metadata.labels",),
        {
            "plain": (PLAIN, "uyy"),
            "spread": (pod("s", topologySpreadConstraints=spread()), "uuu"),
            "near": (pod("n", affinity=NEAR), "uuu"),
            "apart": (pod("a", affinity=apart(ZONE)), "uuy"),
            "another namespace": (pod("b", affinity=apart(ZONE), meta={"namespace": "bank"}), "uyy"),
            "spread elsewhere": (pod("b", topologySpreadConstraints=spread(), meta={"namespace": "bank"}), "uyy"),
        },
    ),
    (
        "a pod whose node is not known takes no room",
        pod("odd", meta={"labels": {}}),
        ("spec.nodeName", "metadata.labels"),
        {"plain": (PLAIN, "yyy"), "spread": (pod("s", topologySpreadConstraints=spread()), "yyy")},
    ),
    (
        "a pod that has ended takes none",
        pod("odd", on="n0", status={"phase": "Failed"}),
        ("spec.containers",),
        {"plain": (PLAIN, "yyy")},
    ),
    (
        "a pod that repels nobody knows whom does so on its node alone",
        pod("odd", on="n0"),
        ("spec.affinity",),
        {"plain": (PLAIN, "uyy"), "a banker": (BANKER, "uyy")},
    ),
    (
        "the pod itself",
        pod("plain"),
        ("spec.tolerations",),
        {"plain": (PLAIN, "uuu"), "mounts": (MOUNTS, "yyy")},
    ),
    (
        "a Namespace decides over whoever asks for labels of namespaces",
        thing(Namespace, "bank"),
        ("metadata.labels",),
        {
            "plain": (PLAIN, "yyy"),
            "near": (pod("n", affinity=apart(ZONE)), "yyy"),
            "across": (pod("x", affinity=ACROSS), "uuu"),
        },
    ),
]


@pytest.mark.parametrize(("rest", "fields", "pending"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_doubt_reaches_as_far_as_the_object_and_no_further(
    rest: KubeObject, fields: tuple[str, ...], pending: dict[str, tuple[Pod, str]]
) -> None:
    snapshot = cluster()
    snapshot.apply(claim("unbound"))
    calm = {name: answers(snapshot, judged) for name, (judged, _) in pending.items()}
    before = None
    if isinstance(rest, CsiNode):
        before = csi_node("n0", 2)
    doubt(snapshot, rest, *fields)
    assert {name: answers(snapshot, judged) for name, (judged, _) in pending.items()} == {
        name: expected for name, (_, expected) in pending.items()
    }
    known = {Node: node("n0"), PersistentVolume: volume("v1"), PersistentVolumeClaim: claim("v1", "v1")}
    readable = before or known.get(type(rest))
    if readable is None and isinstance(rest, StorageClass):
        readable = thing(StorageClass, "fast", provisioner=DRIVER, volumeBindingMode="Immediate")
    if readable is not None:
        snapshot.apply(readable)
    elif not isinstance(rest, Namespace):
        snapshot.delete(type(rest), rest.key)
    snapshot.trust(type(rest), rest.key)
    assert not snapshot.unread
    assert {name: answers(snapshot, judged) for name, (judged, _) in pending.items()} == calm


def test_a_no_that_what_cannot_be_read_might_lift_is_no_no() -> None:
    snapshot = cluster()
    full = [mounting("m1", "v1", on="n0"), mounting("m2", "v2", on="n0")]
    for judged in full:
        snapshot.apply(judged)
    third = mounting("m3", "v3")
    assert answers(snapshot, third) == "nyy"
    doubt(snapshot, csi_node("n0", 2), "spec.drivers")
    assert answers(snapshot, third) == "uyy"
    big = mounting("big", "v3", requests={"cpu": "64"})
    assert answers(snapshot, big) == "nnn"  # for what can be read it does not fit

    near = pod("near", app="db", affinity=NEAR)
    lonely = cluster()
    assert answers(lonely, near) == "nnn"
    doubt(lonely, pod("odd", on="n2", meta={"labels": {}}), "metadata.labels")
    assert answers(lonely, near) == "uuu"


def test_what_can_be_read_of_a_pod_counts() -> None:
    snapshot = cluster()
    doubt(snapshot, pod("odd", {"cpu": "3"}, on="n0"), "spec.volumes")
    assert answers(snapshot, pod("small")) == "uyy"
    assert answers(snapshot, pod("large", {"cpu": "2"})) == "nyy"
    assert answers(snapshot, pod("a", affinity=apart(HOST))) == "nyy"


def test_limits_are_in_doubt_where_a_volume_in_use_is() -> None:
    snapshot = cluster()
    snapshot.apply(mounting("m1", "v1", on="n0"))
    snapshot.apply(mounting("m2", "v2", on="n1"))
    doubt(snapshot, thing(PersistentVolume, "v1"), "spec")
    assert answers(snapshot, mounting("m3", "v3")) == "uyy"
    assert answers(snapshot, PLAIN) == "yyy"
    doubt(snapshot, thing(PersistentVolumeClaim, "v2", "shop"), "spec")
    assert answers(snapshot, mounting("m3", "v3")) == "uyy"  # n1 has no limit


def test_a_namespace_whose_labels_are_not_known_may_be_one_that_others_repel() -> None:
    snapshot = cluster()
    snapshot.apply(pod("guard", on="n2", app="guard", affinity=ACROSS, meta={"namespace": "bank"}))
    assert answers(snapshot, PLAIN) == "yyn"
    snapshot.doubt("shop", Unread(thing(Namespace, "shop"), "Namespace shop", ("metadata.labels",), "it is odd"))
    assert answers(snapshot, PLAIN) == "yyu"


def test_a_node_that_could_not_be_read_at_all_is_not_absent() -> None:
    snapshot = cluster()
    snapshot.unread.put("n9", Unread(thing(Node, "n9"), "Node n9", ("metadata", "spec", "status"), "it is odd"))
    assert snapshot.verdict(PLAIN, "n9").fit is Fit.UNKNOWN
    assert snapshot.verdict(PLAIN, "n9", doubts=False).fit is Fit.NO
    assert snapshot.verdict(PLAIN, "n8").fit is Fit.NO


def test_a_claim_for_one_pod_may_be_in_use_by_a_pod_whose_volumes_are_not_known() -> None:
    snapshot = cluster()
    single = thing(
        PersistentVolumeClaim,
        "one",
        "shop",
        meta={"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        spec={"volumeName": "v1", "accessModes": ["ReadWriteOncePod"]},
    )
    snapshot.apply(single)
    pending = mounting("asked", "one")
    assert answers(snapshot, pending) == "yyy"
    doubt(snapshot, pod("odd", on="n2"), "spec.volumes")
    assert answers(snapshot, pending) == "uuu"
    assert answers(snapshot, MOUNTS) == "yyu"
