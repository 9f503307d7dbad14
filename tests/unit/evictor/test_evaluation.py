"""An evaluation of a cluster, from its objects to the plan. Unreadable objects affect only what depends on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from moorage.evictor import kinds
from moorage.evictor.compaction import History, Settings
from moorage.evictor.configuration import Configuration
from moorage.evictor.evaluation import Evaluation, evaluate
from moorage.evictor.inventory import Inventory
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import KubeObject, Node, Pod
from moorage.scheduling import Snapshot
from tests.unit.evictor.build import NOW, Json, merged, pod
from tests.unit.evictor.compaction.build import moves, replica, replica_set, room, why

ALL = Configuration(choice=Settings(most=None, percentage=100, utilisation=1.0))
_TYPES = {each.kind: each.type for each in kinds.KINDS}
NAMESPACE: Json = {"kind": "Namespace", "metadata": {"name": "shop"}}


def inventory(*manifests: Json, without: tuple[str, ...] = (), now: datetime = NOW) -> Inventory:
    """What is known of a cluster with these objects."""
    found: dict[str, dict[str, KubeObject]] = {}
    for manifest in (NAMESPACE, *manifests):
        thing = msgspec.convert(manifest, _TYPES[manifest["kind"]])
        found.setdefault(manifest["kind"], {})[thing.key] = thing
    return Inventory(now, found, {kind: f"may not list {kind}" for kind in without})


def seen(*manifests: Json, **more: Any) -> Evaluation:
    """The evaluation."""
    return evaluate(inventory(*manifests, **more), ALL, History())


TWO = (room("n1"), room("n2"), replica("a", "n1"), replica("b", "n2"), replica("c", "n2"), replica_set())


def test_a_node_whose_pods_fit_elsewhere_can_go() -> None:
    assert moves(seen(*TWO).plan) == {"n1": {"a": "n2"}}


def test_the_replacement_is_what_the_template_makes_now() -> None:
    container = {"name": "main", "resources": {"requests": {"cpu": "3"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    grown = merged(replica_set(), {"spec": {"template": template}})
    found = seen(*TWO[:-1], grown)
    assert found.plan.chosen == ()
    assert why(found.plan, "n1") == ["NO_ROOM"]


def test_old_revisions_keep_no_template() -> None:
    container = {"name": "main", "resources": {"requests": {"cpu": "3"}}}
    spec = {"replicas": 0, "template": {"spec": {"containers": [container]}}}
    maker = msgspec.convert(merged(replica_set(), {"spec": spec}), kinds.Maker)
    assert kinds.REPLICA_SETS.compact is not None
    assert kinds.REPLICA_SETS.compact(maker).spec.template is None


def test_device_classes_are_known_at_run_time() -> None:
    device = {"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}
    assert inventory(device).counted()[0].resources.device_classes == {"example.com/gpu"}


def test_room_that_is_nominated_is_not_given_away() -> None:
    waits = pod(
        "first",
        on="",
        spec={"priority": 1000, "containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]},
    )
    nominated = merged(waits, {"status": {"phase": "Pending", "nominatedNodeName": "n2"}})
    assert moves(seen(*TWO, nominated).plan) == {}


@pytest.mark.parametrize("kind", sorted(_TYPES))
def test_a_kind_that_cannot_be_listed_is_survived(kind: str) -> None:
    found = seen(*(each for each in TWO if each["kind"] != kind), without=(kind,))
    assert found.cluster.view.unseen == {kind: f"may not list {kind}"}
    if kind in ("Pod", "ReplicaSet", "PodDisruptionBudget", "Namespace"):
        assert found.plan.chosen == ()


def test_volumes_are_not_moved_when_their_limits_cannot_be_seen() -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "shop", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "pv"},
        "status": {"phase": "Bound"},
    }
    volume = {
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {"csi": {"driver": "disk.csi", "volumeHandle": "1"}, "accessModes": ["ReadWriteMany"]},
    }
    of_claim = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    pods = [replica(name, on, spec=of_claim) for name, on in (("a", "n1"), ("b", "n2"), ("c", "n2"))]
    things = (room("n1"), room("n2"), replica_set(), claim, volume, *pods)
    assert moves(seen(*things).plan) == {"n1": {"a": "n2"}}
    assert moves(seen(*things, without=("CSINode",)).plan) == {}
    assert moves(seen(*things, without=("VolumeAttachment",)).plan) == {}


def test_nobody_knows_whom_a_pod_keeps_away_when_namespaces_cannot_be_seen() -> None:
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "namespaceSelector": {"matchLabels": {"team": "a"}},
    }
    away = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    keeper = merged(replica("keeper", "n2"), {"spec": {"affinity": away}, "metadata": {"namespace": "other"}})
    disposable = {"metadata": {"annotations": {"autoscaling.cast.ai/disposable": "true"}}}
    held = merged(keeper, {"metadata": {"annotations": {"autoscaling.cast.ai/removal-disabled": "true"}}})
    things = (room("n1"), room("n2"), merged(replica("a", "n1"), disposable), held, replica_set())
    assert moves(seen(*things).plan) == {"n1": {"a": "n2"}}
    without = seen(*(each for each in things if each["kind"] != "Namespace"), without=("Namespace",))
    assert moves(without.plan) == {}


def test_an_object_over_which_counting_fails_costs_only_what_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Snapshot.apply

    def fails(snapshot: Snapshot, thing: KubeObject) -> None:
        if isinstance(thing, Pod) and thing.metadata.name == "odd" and thing.spec.containers:
            raise ZeroDivisionError("odd")
        counted(snapshot, thing)

    monkeypatch.setattr(Snapshot, "apply", fails)
    assert moves(seen(*TWO, room("n3"), replica("odd", "n3")).plan) == {"n1": {"a": "n2"}}


def test_a_node_that_cannot_be_read_neither_goes_nor_receives() -> None:
    there = inventory(*TWO)
    node = msgspec.convert(room("n2"), Node)
    rest, fields = outline(node)
    odd = Unreadable("n2", "", "1", "status.allocatable: no map", rest, fields)
    nodes = {key: thing for key, thing in there.objects["Node"].items() if key != "n2"}
    found = evaluate(
        Inventory(there.now, {**there.objects, "Node": nodes}, unread={"Node": {"n2": odd}}), ALL, History()
    )
    assert found.plan.chosen == ()
    assert [each.reason.name for each in found.cluster.verdicts["n2"].findings][:1] == ["NODE_UNREADABLE"]


def test_looking_changes_nothing() -> None:
    there = inventory(*TWO)
    assert evaluate(there, ALL, History()).plan == evaluate(there, ALL, History()).plan
    assert there.now == NOW.astimezone(UTC)
