"""``null`` equals a missing field, in every field of every kind and in every encoding."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from moorage.cluster.daemons import DAEMON_SETS
from moorage.kube import client, errors, resources
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.kube.wire import refusals
from moorage.kube.wire.as_json import JsonDecoder
from tests.unit.kube.hostile import status

KINDS: list[Resource[Any]] = [r for r in vars(resources).values() if isinstance(r, Resource)]
KINDS = [*(kind for kind in KINDS if kind.plural != "daemonsets"), DAEMON_SETS]
Path = tuple[str | int, ...]


def whole(kind: Any) -> Any:
    """JSON in which every field of a struct is set."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return whole(next(each for each in typing.get_args(kind) if each is not type(None)))
    if typing.get_origin(kind) is tuple:
        return [whole(typing.get_args(kind)[0])]
    if typing.get_origin(kind) is dict:
        return {"key": whole(typing.get_args(kind)[1])}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: whole(field.type) for field in msgspec.structs.fields(kind)}
    return {str: "1", int: 1, bool: True, bytes: "YQ==", Any: {}}[kind]


def fields(value: Any, kind: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all fields of structs in it, those in lists included."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    if isinstance(value, list):
        yield from fields(value[0], typing.get_args(kind)[0], (*path, 0))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield (*path, field.encode_name)
            yield from fields(value[field.encode_name], field.type, (*path, field.encode_name))


def changed(value: Any, path: Path, *, null: bool) -> Any:
    """The same with a field that is null, or without it."""
    step, rest = path[0], path[1:]
    if rest and isinstance(value, list):
        return [changed(value[0], rest, null=null)]
    if rest:
        return value | {step: changed(value[step], rest, null=null)}
    return value | {step: None} if null else {key: item for key, item in value.items() if key != step}


def read(decoder: JsonDecoder[Any], value: Any) -> list[Any]:
    """An object as a watch, a list, and a list with something odd in it read it."""
    obj = json.dumps(value).encode()
    odd = b'{"metadata":{"name":"odd","resourceVersion":"1","labels":7}}'
    return [
        decoder.event(b'{"type":"MODIFIED","object":%s}' % obj)[1],
        decoder.page(b'{"metadata":{"resourceVersion":"9","continue":null},"items":[%s]}' % obj)[1][0],
        decoder.page(b'{"metadata":{"resourceVersion":"9"},"items":[%s,%s]}' % (odd, obj))[1][1],
    ]


def asked_for(resource: Resource[Any], value: Any) -> Any:
    """An object as a single request reads it."""
    return client._decode(json.dumps(value).encode(), resource.type)


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: r.kind)
def test_a_field_that_is_null_is_one_that_was_left_out(resource: Resource[Any]) -> None:
    value, decoder = whole(resource.type), JsonDecoder(resource, "/x")
    paths = set(fields(value, resource.type)) - {("metadata",), ("metadata", "name"), ("metadata", "resourceVersion")}
    assert len(paths) >= 10
    for path in paths:
        absent, null = changed(value, path, null=False), changed(value, path, null=True)
        expected = asked_for(resource, absent)
        assert asked_for(resource, null) == expected, path
        compacted = resource.compact(expected) if resource.compact else expected
        assert read(decoder, null) == [compacted] * 3, path


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: r.kind)
def test_everything_that_is_null_at_once(resource: Resource[Any]) -> None:
    value: dict[str, Any] = {field.encode_name: None for field in msgspec.structs.fields(resource.type)}
    value["metadata"] = {**dict.fromkeys(whole(resource.type)["metadata"]), "name": "a", "resourceVersion": "1"}
    for each in (*read(JsonDecoder(resource, "/x"), value), asked_for(resource, value)):
        assert each == resource.type(metadata=each.metadata)
        assert each.key == "a"


def test_a_null_does_not_hide_what_is_wrong_elsewhere_and_the_rest_is_known() -> None:
    value = whole(resources.PODS.type)
    value["spec"] |= {"nodeName": {"not": "a text"}, "containers": None, "tolerations": [{"key": "a"}, {"key": 7}]}
    for each in read(JsonDecoder(resources.PODS, "/x"), value):
        assert isinstance(each, Unreadable)
        assert "spec.nodeName" in each.reason or "spec.tolerations" in each.reason
        assert set(each.fields) == {"spec.nodeName", "spec.tolerations"}
        assert each.rest.metadata.labels == {"key": "1"}
        assert (each.rest.spec.node_name, each.rest.spec.tolerations, each.rest.spec.priority) == ("", (), 1)


def test_a_bookmark_and_an_error_may_hold_nulls() -> None:
    decoder = JsonDecoder(resources.PODS, "/x")
    mark = {"metadata": {"resourceVersion": "7", "labels": None}, "spec": {"containers": None}}
    kind, found = decoder.event(json.dumps({"type": "BOOKMARK", "object": mark}).encode())
    assert (kind, found) == ("BOOKMARK", resources.PODS.type(metadata=found.metadata))  # type: ignore[union-attr]
    gone = {**status(410, "Expired", "too old"), "details": {"causes": None, "name": None}}
    with pytest.raises(errors.Gone, match="too old"):
        decoder.event(json.dumps({"object": gone, "type": "ERROR"}).encode())
    assert refusals.decode_status(json.dumps(gone).encode(), 410).reason == "Expired"


def test_what_is_no_object_at_all_is_still_nothing() -> None:
    decoder = JsonDecoder(resources.CSI_NODES, "/x")
    for body in (b'{"metadata":{"resourceVersion":null},"items":null}', b"null", b'{"items":[null]}'):
        with pytest.raises(errors.Undecodable):
            decoder.page(body)
    for line in (b'{"type":null,"object":{}}', b'{"type":"ADDED","object":null}', b'{"type":"ADDED","object":[null]}'):
        with pytest.raises(errors.Undecodable):
            decoder.event(line)
