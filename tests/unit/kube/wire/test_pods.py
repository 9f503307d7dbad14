"""Pods from protobuf equal those from JSON, with equal parts shared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.kube.compact import compact_pod
from moorage.kube.wire._generated import kubernetes_pb2 as pb
from moorage.kube.wire.messages import Converter, text, timestamp
from moorage.kube.wire.pods import Known, read_pod
from moorage.objects import Condition, ObjectMeta, Pod
from moorage.objects.pod import ContainerState, PodSpec, PodStatus, StateDetail, Volume
from tests.examples import examples
from tests.unit.kube.hostile import Json
from tests.unit.kube.hostile.protobuf import BROKEN_SPEC, fill, instant
from tests.unit.kube.test_compact_memory import pod as whole_pod

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(150))


def from_json(document: Json) -> Pod:
    return compact_pod(msgspec.json.decode(json.dumps(document), type=Pod))


def message(document: Json) -> pb.Pod:
    filled: pb.Pod = fill(pb.Pod(), document)
    return filled


def raw(document: Json) -> bytes:
    return message(document).SerializeToString()


# --- the same as JSON ---

_KEYS = st.sampled_from(["moorage.dev/x", "karpenter.sh/do-not-disrupt", "app", "checksum/config", "é", ""])
_TEXTS = st.text("aé\U0001f600", max_size=3)
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 31)).map(
    lambda t: t.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
)
_NUMBERS = st.integers(-(1 << 31), (1 << 31) - 1)
_INLINE = "volume_source"


def documents(descriptor: Any) -> st.SearchStrategy[Json]:
    """Documents as JSON has them, with any of the fields that a message declares."""
    own = {field.json_name: values(field) for field in descriptor.fields if field.name != _INLINE}
    found = st.fixed_dictionaries({}, optional=own)
    for field in descriptor.fields:
        if field.name == _INLINE:
            return st.tuples(found, documents(field.message_type)).map(lambda pair: pair[0] | pair[1])
    return found


def values(field: Any) -> st.SearchStrategy[Any]:
    """Values of a field as in JSON. The API server omits empty ones, except for pointers."""
    if field.message_type == pb.StringEntry.DESCRIPTOR:
        return st.dictionaries(_KEYS, _TEXTS, min_size=1, max_size=3)
    if field.message_type == pb.QuantityEntry.DESCRIPTOR:
        return st.dictionaries(_KEYS, st.sampled_from(["1", "500m", "2Gi", "0"]), min_size=1, max_size=3)
    if field.name == "volumes":
        return st.lists(documents(pb.Volume.DESCRIPTOR), min_size=1, max_size=3)
    if field.message_type is not None:
        one: st.SearchStrategy[Any] = st.deferred(lambda: documents(field.message_type))
    elif field.type == FieldDescriptor.TYPE_BYTES:
        one = _TIMES
    elif field.type == FieldDescriptor.TYPE_STRING:
        one = _TEXTS if field.name in _POINTERS or field.is_repeated else _TEXTS.filter(bool)
    else:
        one = st.booleans() if field.type == FieldDescriptor.TYPE_BOOL else _NUMBERS
    return st.lists(one, min_size=1, max_size=3) if field.is_repeated else one


_POINTERS = {"node_affinity_policy", "node_taints_policy"}
"""Texts that are pointers in Go and None in our structs: there may be an empty one."""


def write_empty_ones(into: Any) -> None:
    """Go writes every field that is no pointer, also an empty one."""
    for field, value in into.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                write_empty_ones(each)
    for field in into.DESCRIPTOR.fields:
        missing = not field.is_repeated and not into.HasField(field.name)
        if missing and field.type == FieldDescriptor.TYPE_STRING and field.name not in _POINTERS:
            setattr(into, field.name, "")
        if missing and field.type == FieldDescriptor.TYPE_BYTES:
            setattr(into, field.name, b"")  # a time that is not set


@relaxed
@given(documents(pb.Pod.DESCRIPTOR), st.booleans())
def test_any_pod_is_the_one_that_json_gives(document: Json, as_go_does: bool) -> None:
    made = message(document)
    if as_go_does:
        write_empty_ones(made)
    assert read_pod(made.SerializeToString()) == from_json(document)


def test_a_pod_with_every_field_is_the_one_that_json_gives() -> None:
    document = whole_pod("a")
    assert read_pod(raw(document)) == from_json(document)


def test_defaults_are_those_of_json() -> None:
    document = {"spec": {"containers": [{"ports": [{}]}], "volumes": [{"rbd": {}}], "topologySpreadConstraints": [{}]}}
    found = read_pod(raw(document))
    assert found == from_json(document)
    assert found.spec.containers[0].ports[0].protocol == "TCP"
    assert found.spec.volumes[0].rbd is not None
    assert found.spec.volumes[0].rbd.pool == "rbd"
    assert read_pod(b"") == compact_pod(Pod())


def test_no_and_not_said_are_told_apart() -> None:
    for said in ({}, {"hostUsers": False}, {"hostUsers": True}, {"priority": 0}, {"terminationGracePeriodSeconds": 0}):
        assert read_pod(raw({"spec": said})) == from_json({"spec": said})
    assert read_pod(raw({"spec": {"hostUsers": False}})).spec.host_users is False
    assert read_pod(raw({})).spec.host_users is None


@relaxed
@given(_TIMES)
def test_times_are_those_of_json(written: str) -> None:
    assert timestamp(instant(written)) == written


def test_odd_times() -> None:
    assert timestamp(b"") is None  # how Go writes one that is not set
    assert timestamp(pb.Time(seconds=0).SerializeToString()) == "1970-01-01T00:00:00Z"
    assert timestamp(b"\x08\x00\x10\x07") == "1970-01-01T00:00:00Z"  # JSON has no nanoseconds either
    with pytest.raises(OverflowError):
        timestamp(pb.Time(seconds=1 << 62).SerializeToString())
    with pytest.raises(DecodeError):
        timestamp(b"\x08")


_BAD_TEXTS = {
    b"\xff\xfe\xfdabcd": "\ufffd\ufffd\ufffdabcd",
    b"abcd\xe2\x82xy": "abcd\ufffd\ufffdxy",
    b"\xed\xa0\x80abcd": "\ufffd\ufffd\ufffdabcd",
    b"a\xf0\x9f\x98\x80\xc3a": "a\U0001f600\ufffda",
}


@pytest.mark.parametrize(("bad", "good"), _BAD_TEXTS.items())
@pytest.mark.parametrize(
    "path",
    ["metadata.name", "metadata.labels.app", "spec.nodeName", "spec.schedulerName", "status.message", "conditions"],
)
def test_what_is_not_utf8_is_replaced_byte_by_byte_as_go_does_it(path: str, bad: bytes, good: str) -> None:
    """Kubelets report termination messages in protobuf, and no program before us checks the encoding."""

    def document(value: str) -> Json:
        if path == "conditions":
            return {"status": {"conditions": [{"type": "Ready", "message": value}]}}
        part, *rest = path.split(".")
        inner: Any = value
        for name in reversed(rest):
            inner = {name: inner}
        return {part: inner}

    stand_in = "#" * len(bad)
    damaged = raw(document(stand_in)).replace(stand_in.encode(), bad)
    assert read_pod(damaged) == from_json(document(good))
    assert text(bad) == good


# --- the declarations ---

_TOP = [(ObjectMeta, pb.ObjectMeta), (PodSpec, pb.PodSpec), (PodStatus, pb.PodStatus), (Volume, pb.Volume)]
_NEVER_SAID = {(StateDetail, "ContainerStateRunning"): {"reason"}}
"""Fields of a struct that serves several messages, one of which has not all of them."""


def pairs(struct: Any, descriptor: Any) -> Iterator[tuple[Any, Any]]:
    """Each struct with the message it is made from, inside a struct."""
    yield struct, descriptor
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for field in descriptor.fields:
        for kind in (fields.get(field.name), *get_args(fields.get(field.name))):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and field.message_type is not None:
                yield from pairs(kind, field.message_type)


@pytest.mark.parametrize(("struct", "declared"), _TOP)
def test_every_field_of_a_struct_is_declared_for_protobuf(struct: Any, declared: Any) -> None:
    found = list(pairs(struct, declared.DESCRIPTOR))
    for inner, descriptor in found:
        names = {field.name for field in descriptor.fields}
        if _INLINE in names:
            names |= {field.name for field in pb.VolumeSource.DESCRIPTOR.fields}
        missing = {field.name for field in msgspec.structs.fields(inner)} - names
        assert missing == _NEVER_SAID.get((inner, descriptor.name), set()), (inner, descriptor.name)
    if struct is PodStatus:
        assert (ContainerState, pb.ContainerState.DESCRIPTOR) in found


def test_a_field_that_a_struct_has_not_is_noticed_when_the_converter_is_built() -> None:
    with pytest.raises(TypeError, match=r"Condition has no field name, which moorage\.kube\.v1\.ObjectMeta"):
        Converter(Condition, pb.ObjectMeta.DESCRIPTOR)


# --- sharing ---


def test_siblings_share_their_parts_and_keep_their_own() -> None:
    def sibling(number: int) -> Json:
        document = whole_pod(str(number), started=f"2026-01-01T00:00:0{number}Z")
        document["spec"] |= {"nodeName": f"n{number}", "volumes": [{"name": f"kube-api-access-{number}"}]}
        return document

    one, two = (read_pod(raw(sibling(number))) for number in (1, 2))
    for name in ("containers", "init_containers", "tolerations", "affinity", "node_selector", "overhead"):
        assert getattr(one.spec, name) is getattr(two.spec, name), name
    assert one.metadata.labels is two.metadata.labels
    assert one.metadata.annotations is two.metadata.annotations
    assert one.metadata.owner_references is two.metadata.owner_references
    assert one.status.container_statuses is two.status.container_statuses
    for number, found in ((1, one), (2, two)):
        assert found == from_json(sibling(number))
        assert (found.metadata.name, found.spec.node_name) == (str(number), f"n{number}")


def test_both_encodings_share_with_each_other() -> None:
    one, two = read_pod(raw(whole_pod("1"))), from_json(whole_pod("2"))
    assert one.spec.containers is two.spec.containers
    assert one.metadata.labels is two.metadata.labels


def test_what_nobody_reads_makes_no_difference() -> None:
    """A container's securityContext, a pod's managedFields, its status' resourceClaimStatuses."""
    plain, more = message(whole_pod("1")), message(whole_pod("1"))
    more.spec.containers[0].MergeFromString(b"\x7a\x03abc")
    more.metadata.MergeFromString(b"\x8a\x01\x03abc")
    more.status.MergeFromString(b"\x7a\x03abc")
    assert len(more.SerializeToString()) > len(plain.SerializeToString()) + 10
    one, two = read_pod(plain.SerializeToString()), read_pod(more.SerializeToString())
    assert one == two
    assert one.spec.containers is two.spec.containers


def test_a_spec_that_is_none_is_refused_and_leaves_nothing_behind() -> None:
    whole = raw(whole_pod("1"))
    for _ in range(2):
        with pytest.raises(DecodeError):
            read_pod(whole + BROKEN_SPEC)
    assert read_pod(whole) == from_json(whole_pod("1"))


@relaxed
@given(st.lists(st.binary(max_size=6)), st.integers(1, 5), st.integers(1, 20))
def test_what_is_known_is_bounded_and_right(keys: list[bytes], limit: int, limit_bytes: int) -> None:
    known = Known[bytes, list[int]](list, len, limit=limit, limit_bytes=limit_bytes)
    for key in keys:
        assert known.get(key) == list(key)
        assert len(known._values) <= limit
        assert sum(map(len, known._values)) == known._bytes <= limit_bytes
        if len(key) <= limit_bytes:
            assert known.get(key) is known.get(key)
