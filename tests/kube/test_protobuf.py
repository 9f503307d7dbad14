"""Pods in protobuf and in JSON from the real API server: the same structs, the same refusals."""

from __future__ import annotations

import asyncio
import http.client
import math
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from moorage.kube import credentials, errors, resources, watch
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.kube.watch import ListWatch, Selection, Unreadable
from moorage.kube.wire._generated import kubernetes_pb2 as pb
from moorage.kube.wire.as_protobuf import ProtobufDecoder
from moorage.objects import Pod
from tests.kube import pods_with_everything as everything
from tests.kube.accounts import account
from tests.kube.support import pod
from tools.localcluster import ClusterHandle
from tools.localcluster.binaries import OLDEST

NodeName = Callable[..., str]

IN_JSON = replace(resources.PODS, protobuf=None)
BOTH = pytest.mark.parametrize("resource", [resources.PODS, IN_JSON], ids=["protobuf", "json"])
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was decoded as protobuf: nobody should believe that two answers in JSON are a comparison."""
    decoded: list[str] = []
    page, event = ProtobufDecoder.page, ProtobufDecoder.event

    def noted_page(self: Any, body: bytes) -> Any:
        decoded.append("page")
        return page(self, body)

    def noted_event(self: Any, data: bytes) -> Any:
        decoded.append("event")
        return event(self, data)

    monkeypatch.setattr(ProtobufDecoder, "page", noted_page)
    monkeypatch.setattr(ProtobufDecoder, "event", noted_event)
    return decoded


async def listed(client: Client, resource: Resource[Pod], namespace: str) -> dict[str, Pod]:
    found: dict[str, Pod] = {}
    async for _, items in ListWatch(client.transport, resource, Selection(namespace=namespace)).pages():
        for item in items:
            assert isinstance(item, Pod), item
            found[item.metadata.name] = item
    return found


async def watched(
    client: Client, resource: Resource[Pod], namespace: str, since: str, until: float
) -> list[tuple[str, Pod | Unreadable[Pod]]]:
    """All events after a version until another one, or until a deletion."""
    reader = ListWatch(client.transport, resource, Selection(namespace=namespace))
    found: list[tuple[str, Pod | Unreadable[Pod]]] = []
    async with reader.watch(since) as events:
        async for kind, item in events:
            assert isinstance(item, Pod), item
            found.append((kind, item))
            if kind == "DELETED" or int(item.metadata.resource_version) >= until:
                return found
    raise AssertionError(f"the watch ended before {until}: {found}")


# --- every field ---


def spoken(value: Any, path: str = "Pod") -> Iterator[tuple[type, str]]:
    """Which fields of which structs say something in a value."""
    if isinstance(value, tuple):
        for each in value:
            yield from spoken(each, path)
    elif isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(type(value)):
            inner = getattr(value, field.name)
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            if inner != default:
                yield type(value), field.name
            yield from spoken(inner)


def declared(struct: Any) -> Iterator[tuple[type, str]]:
    """Every field of every struct inside a struct."""
    for field in msgspec.structs.fields(struct):
        yield struct, field.name
        for kind in (field.type, *get_args(field.type)):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from declared(kind)


async def test_every_field_is_the_same_in_both_encodings(
    client: Client, namespace: str, node_name: NodeName, asked: list[str]
) -> None:
    begin = (await client.create(resources.PODS, pod("first", schedulerName="nobody"), namespace)).metadata
    async with everything.created(client, namespace, node_name()):
        in_json = await listed(client, IN_JSON, namespace)
        assert asked == []
        in_protobuf = await listed(client, resources.PODS, namespace)
        assert asked == ["page"]
        assert len(in_json) == everything.COUNT + 1
        for name, expected in in_json.items():
            assert in_protobuf[name] == expected, name
        newest = max(int(found.metadata.resource_version) for found in in_json.values())
        events = [
            await watched(client, each, namespace, begin.resource_version, newest) for each in (IN_JSON, resources.PODS)
        ]
        assert events[0] == events[1]
        assert len(events[0]) == len(asked) - 1 > everything.COUNT
    said = {field for found in in_json.values() for field in spoken(found)}
    assert set(declared(Pod)) - said == set(), "not tried"


async def test_texts_that_are_not_utf8_are_the_same_in_both_encodings(
    client: Client, cluster: ClusterHandle, namespace: str
) -> None:
    """A client that writes protobuf, as kubelets do, can store them; in JSON every bad byte is U+FFFD."""
    template = pb.Pod(
        metadata=pb.ObjectMeta(name="odd", annotations=[pb.StringEntry(key="moorage.dev/x", value="####")])
    )
    template.spec.scheduler_name = "nobody"
    template.spec.containers.add(name="main").MergeFromString(b"\x12\x05image")
    raw = template.SerializeToString().replace(b"####", b"a\xe2\x82b")
    await asyncio.to_thread(_post, cluster, f"/api/v1/namespaces/{namespace}/pods", raw)
    found = await listed(client, resources.PODS, namespace)
    assert found["odd"].metadata.annotations == {"moorage.dev/x": "a\ufffd\ufffdb"}
    assert found == await listed(client, IN_JSON, namespace)


def _post(cluster: ClusterHandle, path: str, raw: bytes) -> None:
    body = b"k8s\0" + pb.Unknown(type_meta=pb.TypeMeta(api_version="v1", kind="Pod"), raw=raw).SerializeToString()
    address = urlsplit(cluster.server)
    tls = ssl.create_default_context(cafile=str(cluster.ca_file))
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=15, context=tls)
    headers = {"Authorization": f"Bearer {cluster.admin_token}", "Content-Type": PROTOBUF, "Accept": "application/json"}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()


async def test_deletions_come_through(client: Client, namespace: str, asked: list[str]) -> None:
    begin = await client.create(resources.PODS, pod("gone", schedulerName="nobody"), namespace)
    await client.delete(resources.PODS, "gone", namespace, uid=begin.metadata.uid, grace_seconds=0)
    since = begin.metadata.resource_version
    in_protobuf = await watched(client, resources.PODS, namespace, since, math.inf)
    assert asked
    assert in_protobuf == await watched(client, IN_JSON, namespace, since, math.inf)
    assert in_protobuf[-1][0] == "DELETED"


# --- streamed lists ---


@BOTH
async def test_a_streamed_list_is_the_list(
    client: Client, namespace: str, resource: Resource[Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        await client.create(resources.PODS, pod(f"p{n}", schedulerName="nobody"), namespace)
    in_pages = await listed(client, resource, namespace)
    monkeypatch.setattr(watch, "PAGE_SIZE", 2)
    monkeypatch.setattr(watch, "LARGE", 1)
    reader = ListWatch(client.transport, resource, Selection(namespace=namespace))
    found: dict[str, Pod] = {}
    version = ""
    async for version, items in reader.pages():  # noqa: B007 - the last page's is the list's
        found |= {item.metadata.name: item for item in items if isinstance(item, Pod)}
    assert reader._streams_lists is (os.environ.get("MOORAGE_KUBERNETES") != OLDEST), "off by default in 1.33"
    assert found == in_pages
    newest = max((item.metadata.resource_version for item in found.values()), key=int)
    assert int(version) >= int(newest)
    later = await client.create(resources.PODS, pod("later", schedulerName="nobody"), namespace)
    seen = await watched(client, resource, namespace, version, int(later.metadata.resource_version))
    assert [(kind, item.metadata.name) for kind, item in seen if isinstance(item, Pod)] == [("ADDED", "later")]


# --- refusals ---


async def refusal(transport: Transport, resource: Resource[Pod], verb: str, namespace: str = "") -> errors.ApiError:
    reader = ListWatch(transport, resource, Selection(namespace=namespace))

    async def ask() -> None:
        if verb == "list":
            await anext(reader.pages())
        async with reader.watch("1") as events:
            await anext(events)

    with pytest.raises(errors.ApiError) as refused:
        await ask()
    return refused.value


@BOTH
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_404(client: Client, resource: Resource[Pod], verb: str) -> None:
    found = await refusal(client.transport, replace(resource, plural="podz"), verb)
    assert isinstance(found, errors.NotFound)
    assert found.status.reason == "NotFound"
    assert found.status.message == "the server could not find the requested resource"


@BOTH
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_403(cluster: ClusterHandle, namespace: str, tmp_path: Path, resource: Resource[Pod], verb: str) -> None:
    stranger = account(cluster, namespace, f"{namespace}-nobody", tmp_path, everywhere=[], here=[])
    async with Transport(credentials.load(stranger)) as transport:
        found = await refusal(transport, resource, verb)
    assert isinstance(found, errors.Forbidden)
    assert found.status.reason == "Forbidden"
    assert f'cannot {verb} resource "pods"' in found.status.message
    assert found.status.details is not None
    assert found.status.details.kind == "pods"
