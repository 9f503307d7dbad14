"""Dumps from users: the objects in them, and the errors of invalid ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.evictor import kinds
from moorage.evictor.sources import dump
from moorage.evictor.sources.command import COMMAND, KINDS
from moorage.evictor.sources.dump import DumpError
from moorage.evictor.sources.result import SourceResult
from moorage.objects import Pod
from tests.unit.evictor.build import NOW, Json, merged, node, pod
from tests.unit.evictor.compaction.build import replica, replica_set, room
from tests.unit.evictor.sources.dumps import (
    CLUSTER,
    LEASE,
    NAMESPACES,
    TWO,
    WHERE,
    config_map,
    listed,
    text,
    versioned,
    written,
)
from tests.unit.evictor.test_configuration import ENTRY, resource

AGAIN = f"Write it anew: {COMMAND}"
PVC = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
CLAIM: Json = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "shop"},
    "spec": {"volumeName": "pv", "storageClassName": "fast"},
}


def read(file: Path, content: str | bytes | Json | list[Any]) -> SourceResult:
    if isinstance(content, dict | list):
        content = json.dumps(content)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return dump.read([str(file)], WHERE)


def refused(file: Path, content: str | bytes | Json | list[Any]) -> str:
    """The error, without the file's name."""
    with pytest.raises(DumpError) as error:
        read(file, content)
    return str(error.value).removeprefix(f"{file}: ")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.json"


def keys(found: SourceResult) -> dict[str, list[str]]:
    return {kind: list(things) for kind, things in found.inventory.objects.items()}


WHOLE = {
    "Namespace": ["shop", "kube-node-lease"],
    "Node": ["n1", "n2"],
    "Pod": ["shop/a", "shop/b", "shop/c"],
    "ReplicaSet": ["shop/web-1"],
}


@pytest.mark.parametrize(
    "content",
    [
        text(*CLUSTER).encode(),
        text(*CLUSTER).encode("utf-8-sig"),
        text(*CLUSTER).encode("utf-16"),
        text(*CLUSTER).encode("utf-16-le"),
        text(*CLUSTER).encode("utf-16-be"),
        b"\n" + json.dumps(versioned(*CLUSTER)).encode(),
        yaml.safe_dump(json.loads(text(*CLUSTER))).encode(),
        yaml.safe_dump_all(json.loads(json.dumps(versioned(*CLUSTER)))).encode(),
    ],
    ids=["json", "bom", "utf-16", "utf-16-le", "utf-16-be", "array", "yaml", "documents"],
)
def test_every_form_of_a_dump(file: Path, content: bytes) -> None:
    found = read(file, content)
    assert keys(found) == WHOLE
    assert found.inventory.now == NOW
    assert found.inventory.unseen == {}
    assert found.source == f"{file}, by the newest time in it"
    assert found.inventory.objects["Pod"]["shop/a"].metadata.labels == {"app": "web"}


def test_several_files_and_standard_input_are_one_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": TWO[2:5]}
    bare = [{key: value for key, value in each.items() if key != "kind"} for each in pods["items"]]  # type: ignore[attr-defined]
    rest = written(tmp_path, *NAMESPACES, TWO[0], TWO[1], LEASE)
    alone = tmp_path / "one.json"
    alone.write_text(json.dumps(versioned(replica_set())[0]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps({**pods, "items": bare}).encode())))
    said: list[str] = []
    found = dump.read([rest, "-", str(alone), rest], WHERE, said.append)
    assert keys(found) == WHOLE
    assert found.source == f"{rest}, standard input, {alone}, by the newest time in it"
    assert said == [f"reading {rest}", "reading standard input", f"reading {alone}"]


def test_without_times_it_is_of_when_it_was_written(file: Path) -> None:
    bare = [merged(each, {"metadata": {"creationTimestamp": None}}) for each in (*NAMESPACES, *TWO)]
    lease = {**LEASE, "spec": {}}
    file.write_text(text(*bare, lease))
    os.utime(file, (0, datetime(2026, 2, 1, tzinfo=UTC).timestamp()))
    found = dump.read([str(file)], WHERE)
    assert found.inventory.now == datetime(2026, 2, 1, tzinfo=UTC)
    assert found.source == f"{file}, by when it was written"


def test_times_that_lie_ahead_are_not_of_when_it_is(file: Path) -> None:
    dying = replica("d", "n2", metadata={"deletionTimestamp": "2026-01-01T12:05:00Z"})
    planned = replica("e", "n2", metadata={"annotations": {"time": "2026-01-01T13:00:00"}})
    ahead = {**LEASE, "metadata": {"name": "n2", "namespace": "x"}, "spec": {"renewTime": "2999-01-01T00:00:00Z"}}
    assert read(file, text(*CLUSTER, dying, planned, ahead)).inventory.now == NOW
    impossible = {**LEASE, "spec": {"renewTime": "2026-02-31T00:00:00Z"}}
    found = read(file, text(*NAMESPACES, *TWO, impossible))
    assert found.source.endswith("by when it was written")


def test_pods_are_compact_and_templates_are_kept(file: Path) -> None:
    found = read(file, text(*CLUSTER)).inventory.objects["Pod"]
    one, other = found["shop/a"], found["shop/b"]
    assert isinstance(one, Pod)
    assert isinstance(other, Pod)
    assert one.spec.containers is other.spec.containers


# --- what is odd in one object ---


def test_an_odd_object_costs_only_what_it_decides(file: Path) -> None:
    odd = merged(replica("d", "n2"), {"spec": {"tolerations": "all"}, "status": {"conditions": None}})
    found = read(file, text(*CLUSTER, odd)).inventory
    assert "shop/d" not in found.objects["Pod"]
    unread = found.unread["Pod"]["shop/d"]
    assert unread.fields == ("spec.tolerations",)
    assert unread.rest.spec.node_name == "n2"
    assert "Expected `array`, got `str`" in unread.reason
    assert "all" not in unread.reason, "what objects hold is not repeated"


def test_nulls_are_what_was_left_out(file: Path) -> None:
    bare = merged(replica("d", "n2"), {"metadata": {"labels": None}, "spec": {"volumes": None}, "status": None})
    found = read(file, text(*CLUSTER, bare)).inventory
    assert found.unread == {}
    assert found.objects["Pod"]["shop/d"].metadata.labels == {}


# --- what the dump says besides ---


def test_configuration_in_the_dump_is_used(file: Path) -> None:
    rules = config_map("castai-evictor-config", "config.yaml", {"evictionConfig": [ENTRY]})
    prices = config_map("castai-evictor-prices", "prices.yaml", {"prices": []})
    found = read(file, text(*CLUSTER, rules, prices, resource({"scopedMode": True}))).found
    assert found.rules == json.dumps({"evictionConfig": [ENTRY]})
    assert found.prices == '{"prices": []}'
    assert found.resource is not None
    assert found.resource["spec"] == {"config": {"scopedMode": True}}
    assert found.wrong == ()


def test_configuration_that_cannot_be_used_is_wrong(file: Path) -> None:
    empty = {**config_map("castai-evictor-config", "config.yml", []), "data": {"config.yml": "[]"}}
    odd = {**config_map("castai-evictor-prices", "prices.yaml", []), "data": 5}
    found = read(file, text(*CLUSTER, empty, odd)).found
    assert [str(each) for each in found.wrong] == [
        "ConfigMap castai-agent/castai-evictor-config: data: config.yaml is missing; there is config.yml",
        "ConfigMap castai-agent/castai-evictor-prices: data: is no map of texts",
    ]
    assert found.rules is None


def test_what_is_not_looked_at_is_counted_and_never_shown(file: Path) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}, "data": {"key": "aGlkZGVu"}}
    elsewhere = config_map("castai-evictor-config", "config.yaml", [], namespace="other")
    job = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "j", "namespace": "shop"}}
    odd = {"apiVersion": "v1", "kind": "\x1b[31m", "metadata": 5}
    found = read(file, text(*CLUSTER, secret, secret, elsewhere, job, odd, resource() | {"metadata": {"name": "b"}}))
    assert found.notes[1:] == (
        "not looked at: 2 Secret, 1 Job, 1 of odd kinds",
        "ConfigMap other/castai-evictor-config is not read: --namespace is castai-agent",
    )
    assert "aGlkZGVu" not in repr(found)
    assert found.found.resource is None


# --- what absence means ---


def test_kinds_to_which_nothing_leads_are_taken_for_none(file: Path) -> None:
    found = read(file, text(*CLUSTER))
    (note,) = found.notes
    assert note.startswith("none in the dump, so taken for none in the cluster: StorageClass, ")
    assert "PodDisruptionBudget" in note
    assert "ReplicaSet" not in note


@pytest.mark.parametrize(
    ("manifests", "unseen"),
    [
        ([*TWO, LEASE], {"Namespace": "none in the dump, and every cluster has some"}),
        (
            [*NAMESPACES, *TWO[:-1], LEASE],
            {"ReplicaSet": "none in the dump, and Pod shop/a belongs to ReplicaSet web-1"},
        ),
        (
            [
                *NAMESPACES,
                *TWO[:-1],
                replica_set(
                    metadata={"ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]}
                ),
                LEASE,
            ],
            {"Deployment": "none in the dump, and ReplicaSet shop/web-1 belongs to Deployment web"},
        ),
        (
            [*CLUSTER, replica("d", "n2", spec=PVC)],
            {
                "PersistentVolumeClaim": "none in the dump, and Pod shop/d uses one",
                "CSINode": "none in the dump, and every node has one",
                "VolumeAttachment": "none in the dump, and Pod shop/d uses volumes",
            },
        ),
        (
            [*CLUSTER, CLAIM],
            {
                "PersistentVolume": "none in the dump, and PersistentVolumeClaim shop/data has one",
                "StorageClass": "none in the dump, and PersistentVolumeClaim shop/data names one",
            },
        ),
        (
            [*CLUSTER, node("n3", metadata={"labels": {"karpenter.sh/nodepool": "a"}})],
            {
                "NodeClaim": "none in the dump, and there are nodes of Karpenter's",
                "NodePool": "none in the dump, and there are nodes of Karpenter's",
            },
        ),
        (
            [*CLUSTER, {"kind": "PodDisruptionBudget", "apiVersion": "policy/v1beta1", "metadata": {}}],
            {
                "PodDisruptionBudget": "the dump has policy/v1beta1 of it, and policy/v1 is read: "
                "kubectl get poddisruptionbudgets.v1.policy"
            },
        ),
        (
            [*CLUSTER, {"kind": "Deployment", "apiVersion": "extensions/v1beta1", "metadata": {}}],
            {
                "Deployment": "the dump has extensions/v1beta1 of it, and apps/v1 is read: "
                "kubectl get deployments.v1.apps"
            },
        ),
        (
            [NAMESPACES[0], *TWO],
            {"Pod": "all of the dump is of namespace shop: was -A left out?"},
        ),
    ],
)
def test_kinds_of_which_there_must_be_some_are_unseen(file: Path, manifests: list[Json], unseen: Json) -> None:
    assert read(file, text(*manifests)).inventory.unseen == unseen


def test_who_lists_csi_nodes_lists_attachments(file: Path) -> None:
    csi = {"kind": "CSINode", "metadata": {"name": "n1"}}
    found = read(file, text(*CLUSTER, replica("d", "n2", spec=PVC), csi)).inventory.unseen
    assert set(found) == {"PersistentVolumeClaim"}


def test_the_command_asks_for_every_kind_that_every_cluster_serves() -> None:
    asked = {each.plural for each in kinds.KINDS if each.kind not in kinds.OPTIONAL} | {"leases"}
    assert set(KINDS.split(",")) == asked


# --- what is no dump ---


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"is empty. {AGAIN}"),
        (b" \n\t", f"is empty. {AGAIN}"),
        (b"{", f"is cut off in the middle: it ends in line 1, after 1 byte. {AGAIN}"),
        (text(*CLUSTER)[:-200], "is cut off in the middle: it ends in line "),
        (text(*CLUSTER).replace('"Node"', "Node", 1), "is no JSON: invalid character in line "),
        (text(*CLUSTER) + text(*CLUSTER), "holds something else behind its first list, in line "),
        (gzip.compress(b"{}", mtime=0), "is packed with gzip; unpack it: gunzip -c "),
        (b"\xff\xfe{\0x", "looks like UTF-16 and is none"),
        (b'{"kind": "P\xff"}', "is not UTF-8"),
        (b"NAME   STATUS   ROLES\nn1   Ready", "is a table, as kubectl writes it for people: -o json is missing"),
        (b"NAMESPACE   NAME   READY\nshop   a", "is a table, as kubectl writes it for people: -o json is missing"),
        (b"Error from server (Forbidden): jobs: x", "begins with what kubectl says to people"),
        (b"error: the server doesn't have a resource type", "begins with what kubectl says to people"),
        (b"<html>", "is neither JSON nor YAML. "),
        (b"a: [", "is neither JSON nor YAML: line 2: did not find expected node content"),
        (b"just: &a [*a]", "is neither JSON nor YAML: line 1: it has an alias, which kubectl never writes"),
        (b"a: " + b"[" * 100_000, "is neither JSON nor YAML: line 1: it is nested more than 200 levels deep"),
        (b"a:\n- \x01", "is neither JSON nor YAML: it has characters that are not allowed in text"),
        (b"? [a]\n: b", "is neither JSON nor YAML: line 1: a key is no text"),
        (b"a:b", "is neither JSON nor YAML of objects"),
        (b'{"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        ("true", "is neither JSON nor YAML. "),
        ({"kind": "Status", "message": "no"}, "is an error that the API server has answered: no"),
        ({"kind": "Table"}, "is a table for kubectl, without the objects"),
        ({"kind": 5}, "holds no objects of Kubernetes: Expected `str`, got `int` - at `$.kind`"),
        ({"items": 5}, "holds no objects of Kubernetes: Expected `array | null`, got `int`"),
        ({}, "the object has no kind, so that nobody can tell what it is"),
        ({"items": [5]}, "items[0] is no object of Kubernetes: Expected `object`, got `int`"),
        ([{"kind": "Pod"}], "[0] has no apiVersion, so that nobody can tell what it is"),
        ({"items": [{"apiVersion": "v1"}]}, "items[0] has no kind, so that nobody can tell what it is"),
        (listed(pod() | {"metadata": 5}), "items[0] is a Pod without a name"),
        (listed(node() | {"metadata": {}}), "items[0] is a Node without a name"),
        (listed(pod() | {"metadata": {"name": "a"}}), "items[0] is a Pod without a namespace"),
        (listed(node(metadata={"namespace": "a"})), "items[0] is a Node in a namespace, and these are in none"),
        (listed(*CLUSTER, replica("a", "n1", metadata={"uid": "x"})), "items[9], Pod shop/a, is there twice with"),
        (listed(*CLUSTER, metadata={"continue": "x"}), "is one page of a list, and the others are missing"),
        (listed(room("n1")), "has no Pod, so that there is nothing to look at. Write a whole one: kubectl get nodes"),
        (listed(pod()), "has no Node, so that there is nothing to look at"),
        (listed(), "has no Node, so that there is nothing to look at"),
        (yaml.safe_dump(listed(pod())), "has no Node, so that there is nothing to look at"),
    ],
)
def test_what_is_no_dump_is_named(file: Path, content: Any, sentence: str) -> None:
    assert refused(file, content).startswith(sentence)


def test_where_it_is_cut_off(file: Path) -> None:
    whole = text(*CLUSTER)
    cut = whole[: len(whole) // 2]
    lines = cut.count("\n") + 1
    assert refused(file, cut).startswith(
        f"is cut off in the middle: it ends in line {lines}, after {len(cut):,} bytes."
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, why in ((str(tmp_path), "Is a directory"), (str(tmp_path / "no"), "No such file or directory")):
        with pytest.raises(DumpError) as error:
            dump.read([name], WHERE)
        assert str(error.value) == f"{name}: cannot be read: {why}"
