"""Releases of Helm: which chart each is of, how it stands, and which values its user has given.

Helm keeps each revision in a Secret (``helm.sh/helm/v4/pkg/storage/driver/secrets.go``): labels name release, revision
and status; the content is JSON, zipped and encoded.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.kube.resources import SECRETS
from moorage.objects import KubeObject, Secret

from ..installed.gathering import Hidden, seen

MAX_BYTES = 32 << 20
"""Of a release that is unpacked: a Secret has 1 MiB at most, and what is zipped may be anything."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_HIDDEN_SECRETS: Resource[KubeObject] = Resource("v1", "secrets", "Secret", KubeObject)


@dataclass(frozen=True, slots=True)
class Release:
    """The newest revision of a release.

    Attributes:
        name: its own.
        status: of Helm: deployed, failed, pending-install, pending-upgrade, pending-rollback, uninstalling.
        revision: counted from 1.
        chart: the chart's name; empty when its content could not be read.
        values: what the user has given, never shown; None when its content could not be read.
    """

    name: str
    status: str
    revision: int
    chart: str = ""
    values: Mapping[str, Any] | None = field(default=None, repr=False)

    def gives(self, *path: str) -> bool:
        """Whether the user has given a value, whatever it is."""
        value: Any = self.values
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                return False
            value = value[key]
        return True


class _Metadata(msgspec.Struct):
    """A list of objects without their content; an empty one is null."""

    items: list[KubeObject] | None = None


async def read(client: Client, namespace: str, wanted: Iterable[str]) -> Mapping[str, Release] | Hidden:
    """The releases of a namespace. Only the content of those that matter is read.

    Args:
        client: of somebody who may list Secrets; without that right Helm cannot be used either.
        namespace: of the releases.
        wanted: names of releases whose content matters.
    """
    found = await seen(_newest(client, namespace))
    if found is None or isinstance(found, Hidden):
        return found or {}
    names = set(wanted)
    result = {}
    for release, secret in found:
        whole = await seen(client.get(SECRETS, secret, namespace)) if release.name in names else None
        result[release.name] = _with_content(release, whole) if isinstance(whole, Secret) else release
    return result


async def _newest(client: Client, namespace: str) -> tuple[tuple[Release, str], ...]:
    """The newest revision of each release, and the Secret that holds it."""
    path, query = _HIDDEN_SECRETS.path(namespace), {"labelSelector": "owner=helm"}
    data = await client.transport.request("GET", path, query=query, accept=METADATA_ONLY)
    newest: dict[str, tuple[Release, str]] = {}
    for each in msgspec.json.decode(data, type=_Metadata).items or ():
        labels = each.metadata.labels
        name, revision = labels.get("name", ""), labels.get("version", "")
        if not name or not revision.isdecimal():
            continue
        release = Release(name, labels.get("status", ""), int(revision))
        if name not in newest or newest[name][0].revision < release.revision:
            newest[name] = release, each.metadata.name
    return tuple(newest.values())


def _with_content(release: Release, secret: Secret) -> Release:
    found = unpacked(secret.data.get("release", b""))
    chart, values = _map(_map(found.get("chart")).get("metadata")), found.get("config")
    if not chart:
        return release
    return Release(release.name, release.status, release.revision, str(chart.get("name") or ""), _map(values))


def unpacked(data: bytes) -> Mapping[str, Any]:
    """A release as Helm stores it; empty when it is not one."""
    try:
        text = base64.b64decode(data, validate=True)
        if text.startswith(b"\x1f\x8b"):
            text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(text, MAX_BYTES)
        return _map(msgspec.json.decode(text))
    except (ValueError, zlib.error):  # msgspec's errors are ValueErrors
        return {}


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
