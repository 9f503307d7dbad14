"""Finds and removes what a demo made in a cluster of the user's; only what bears its label or name is touched."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from moorage.kube import errors
from moorage.kube.client import MERGE_PATCH, Client

from . import kubelet_access, manifests, world
from .errors import DemoError

PATIENCE = 90.0
_NODE_NAME = re.compile(r"moorage-demo-\d+")
_RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"


@dataclass(frozen=True)
class Kind:
    """Objects of one kind that a demo makes.

    Attributes:
        name: for people.
        path: of the collection.
        labelled: whether the demo's label marks them; else their names do.
        body: further options of the deletion.
    """

    name: str
    path: str
    labelled: bool = True
    body: tuple[tuple[str, Any], ...] = ()


_INSIDE = f"namespaces/{manifests.NAMESPACE}"
KINDS = (
    Kind("Deployment", f"/apis/apps/v1/{_INSIDE}/deployments"),
    # A placeholder has no kubelet that would end its pods.
    Kind("Pod", f"/api/v1/{_INSIDE}/pods", body=(("gracePeriodSeconds", 0),)),
    Kind("NodeReservation", _RESERVATIONS, labelled=False),
    Kind("Node", "/api/v1/nodes"),
    Kind("ClusterRoleBinding", f"{kubelet_access.RBAC}/clusterrolebindings"),
    Kind("ClusterRole", f"{kubelet_access.RBAC}/clusterroles"),
    Kind("CustomResourceDefinition", world.CRD_PATH),
    Kind("Namespace", "/api/v1/namespaces"),
)


@dataclass(frozen=True)
class Leftover:
    """One object of a demo."""

    kind: str
    name: str
    uid: str
    path: str
    body: tuple[tuple[str, Any], ...]
    held: bool = False
    """Whether finalizers keep it until a pod pinner has tidied up, of which none runs any more."""


def our_crds() -> list[str]:
    """Names of the custom resource definitions that a demo creates when they are missing."""
    return [manifest["metadata"]["name"] for manifest in world.definitions()]


async def refuse_foreign(client: Client) -> None:
    """See that nobody else's work is in the way.

    Raises:
        DemoError: a namespace of the demo's name is not the demo's, or Moorage is at work in this cluster.
    """
    namespace = await world.get(client, f"/api/v1/namespaces/{manifests.NAMESPACE}")
    if namespace and manifests.LABEL not in (namespace["metadata"].get("labels") or {}):
        raise DemoError(
            f"namespace {manifests.NAMESPACE} exists and does not bear the label {manifests.LABEL}: it is not the "
            "demo's. Delete it if it is nobody's, or choose another cluster"
        )
    foreign = [
        item["metadata"]["name"]
        for item in await _items(client, _RESERVATIONS, "")
        if not _NODE_NAME.fullmatch(item["metadata"]["name"])
    ]
    if foreign:
        raise DemoError(
            f"this cluster has {len(foreign)} NodeReservations ({foreign[0]} …): Moorage is at work here, and the "
            "demo's pod pinner would follow them, too. Choose another cluster"
        )


async def find(client: Client) -> Sequence[Leftover]:
    """Everything of a demo that is there, in the order of removal."""
    found = []
    for kind in KINDS:
        for item in await _items(client, kind.path, manifests.SELECTOR if kind.labelled else ""):
            name = item["metadata"]["name"]
            if kind.name in ("Node", "NodeReservation") and not _NODE_NAME.fullmatch(name):
                continue  # a label alone may be copied by anybody
            held = kind.path == _RESERVATIONS and bool(item["metadata"].get("finalizers"))
            found.append(Leftover(kind.name, name, item["metadata"]["uid"], f"{kind.path}/{name}", kind.body, held))
    return found


async def remove_all(client: Client) -> Sequence[Leftover]:
    """Remove everything of a demo; pods of a Deployment may be made again meanwhile, so until nothing is left.

    Returns:
        What is still there after a minute and a half.

    Raises:
        KubeError: the API server refused.
    """
    end = time.monotonic() + PATIENCE
    while (left := await find(client)) and time.monotonic() < end:
        for each in left:
            await _remove(client, each)
        await asyncio.sleep(0.3)
    return left


async def _remove(client: Client, each: Leftover) -> None:
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": each.uid},
        "propagationPolicy": "Background",
        **dict(each.body),
    }
    # Gone, another object by now, or a namespace that is ending: the next look tells.
    with suppress(errors.NotFound, errors.Conflict):
        if each.held:
            changes = {"metadata": {"uid": each.uid, "finalizers": None}}
            await _request(client, "PATCH", each.path, body=json.dumps(changes).encode(), content_type=MERGE_PATCH)
        await _request(client, "DELETE", each.path, body=json.dumps(options).encode())


async def _items(client: Client, path: str, labels: str) -> list[dict[str, Any]]:
    try:
        answer = json.loads(await _request(client, "GET", path, query={"labelSelector": labels} if labels else None))
    except errors.NotFound:  # the kind itself is not there
        return []
    items: list[dict[str, Any]] = answer["items"]
    return items


async def _request(client: Client, method: str, path: str, **rest: Any) -> bytes:
    """Ask again while the server says 429, as it does of a custom resource whose definition has just come or goes."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await client.transport.request(method, path, **rest)
        except errors.TooManyRequests:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.5)
