"""Sharing of equal values: reads stay the same, and unequal values are never shared."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.kube.compact import SharedValues, compact_node, compact_pod
from moorage.kube.indexes import by_controller, by_node
from moorage.objects import Node, Pod
from tests.examples import examples


def pod(**changes: Any) -> Pod:
    manifest: dict[str, Any] = {
        "metadata": {
            "name": "web-1",
            "namespace": "ns",
            "uid": "u1",
            "resourceVersion": "7",
            "labels": {"app": "web"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "x" * 1000,
                "moorage.dev/claim": "c",
                "karpenter.sh/do-not-disrupt": "true",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "autoscaling.cast.ai/removal-disabled": "true",
                "kubernetes.io/config.source": "file",
            },
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}],
            "finalizers": ["a/b"],
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": 5}}}],
            "initContainers": [{"name": "i", "restartPolicy": "Always"}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "nodeSelector": {"zone": "a"},
            "overhead": {"cpu": "10m"},
            "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            "priority": 5,
        },
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": True, "state": {"running": {}}}],
        },
    }
    for path, value in changes.items():
        part, _, key = path.partition("__")
        manifest[part][key] = value
    return msgspec.convert(manifest, Pod)


def read_annotations(of: Pod) -> dict[str, str]:
    return {k: v for k, v in of.metadata.annotations.items() if "last-applied" not in k}


def test_all_that_is_read_stays() -> None:
    before, after = pod(), compact_pod(pod())
    assert after.metadata.annotations == read_annotations(before)
    plain = msgspec.structs.replace(
        before, metadata=msgspec.structs.replace(before.metadata, annotations=read_annotations(before))
    )
    for part in ("metadata", "spec"):
        mine, theirs = getattr(after, part), getattr(plain, part)
        assert {f: getattr(mine, f) for f in mine.__struct_fields__} == {
            f: getattr(theirs, f) for f in theirs.__struct_fields__
        }
    assert after.status.phase == "Running"
    assert after.status.start_time == before.status.start_time
    assert after.status.conditions == before.status.conditions
    assert [(s.name, s.ready, s.state.running is not None) for s in after.status.container_statuses] == [
        ("c", True, True)
    ]


def test_siblings_share_their_template() -> None:
    one, two = compact_pod(pod()), compact_pod(pod(metadata__name="web-2", metadata__uid="u2", spec__nodeName="n2"))
    for field in ("containers", "init_containers", "tolerations", "affinity", "node_selector", "overhead", "volumes"):
        assert getattr(one.spec, field) is getattr(two.spec, field), field
    assert one.metadata.labels is two.metadata.labels
    assert one.metadata.owner_references is two.metadata.owner_references
    assert two.metadata.name == "web-2"
    assert two.spec.node_name == "n2"


def test_what_differs_is_not_shared() -> None:
    one, two = compact_pod(pod()), compact_pod(pod(spec__containers=[{"name": "d"}], metadata__labels={"app": "x"}))
    assert one.spec.containers != two.spec.containers
    assert two.spec.containers[0].name == "d"
    assert two.metadata.labels == {"app": "x"}


def test_an_integer_and_its_text_are_two_quantities() -> None:
    one = compact_pod(pod(spec__overhead={"cpu": 1}))
    two = compact_pod(pod(spec__overhead={"cpu": "1"}))
    assert one.spec.overhead == {"cpu": 1}
    assert two.spec.overhead == {"cpu": "1"}


def test_numbers_of_more_than_64_bits_are_kept_as_they_are() -> None:
    huge = pod(spec__overhead={"cpu": -(2**63) - 1})
    assert compact_pod(huge).spec.overhead == {"cpu": -(2**63) - 1}


def test_nodes_of_one_shape_share_it_and_keep_the_rest() -> None:
    def node(name: str) -> Node:
        status = {"allocatable": {"cpu": "4"}, "capacity": {"cpu": "4"}, "nodeInfo": {"kubeletVersion": "v1.36.3"}}
        manifest = {"metadata": {"name": name}, "spec": {"taints": [{"key": "k"}]}, "status": status}
        return msgspec.convert(manifest, Node)

    one, two = compact_node(node("a")), compact_node(node("b"))
    assert one == node("a")
    assert one.status.allocatable is two.status.allocatable
    assert one.has_kubelet


_TEXT = st.text("ab1", max_size=3)


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(_TEXT, _TEXT | st.integers(-2, 2), max_size=3)), st.integers(1, 5))
def test_sharing_is_bounded_and_returns_equals(values: list[dict[str, str | int]], limit: int) -> None:
    shared = SharedValues[dict[str, str | int]](limit=limit)
    for value in values:
        assert shared.share(value) == value
        assert len(shared._values) <= limit
        assert shared.share(dict(value)) is shared.share(value)


def test_indexes_file_pods_by_node_and_by_managing_owner() -> None:
    assert list(by_node(pod())) == ["n1"]
    assert list(by_node(pod(spec__nodeName=""))) == [""]
    assert list(by_controller(pod())) == ["rs"]
    assert list(by_controller(pod(metadata__ownerReferences=[{"uid": "x", "controller": False}]))) == []
    assert list(by_controller(pod(metadata__ownerReferences=[]))) == []
