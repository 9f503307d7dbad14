"""Creates what the demo needs in a cluster, finds it again by its label, and removes it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from moorage.kube import errors, resources
from moorage.kube.client import APPLY_PATCH, Client

from . import manifests
from .errors import DemoError
from .scenario import APPS

CRDS = Path(__file__).resolve().parents[2] / "schemas" / "crds"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ESTABLISH_SECONDS = 30.0


async def create(client: Client) -> None:
    """Create what Moorage needs, and the Deployments.

    Raises:
        KubeError: the API server refused.
        DemoError: a custom resource did not become usable.
    """
    await prepare(client)
    for app in APPS:
        await client.create(resources.DEPLOYMENTS, manifests.deployment(app), manifests.NAMESPACE)


async def prepare(client: Client) -> None:
    """Create the custom resources (unless they are there), and the namespace.

    Raises:
        KubeError: the API server refused.
        DemoError: a custom resource did not become usable.
    """
    for manifest in definitions():
        await _create_crd(client, manifest)
    with suppress(errors.Conflict):  # on a cluster of the user's the kubelets' account is in it already
        await client.create(resources.NAMESPACES, manifests.namespace())
    await _service_account(client)


def definitions() -> list[dict[str, Any]]:
    """The custom resource definitions of this checkout."""
    return [each for path in sorted(CRDS.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text()) if each]


async def _create_crd(client: Client, manifest: dict[str, Any]) -> None:
    """Create a definition with our label; one that is there already belongs to somebody and stays as it is."""
    name = manifest["metadata"]["name"]
    manifest["metadata"].setdefault("labels", {}).update(manifests.LABELS)
    path, end = f"{CRD_PATH}/{name}", time.monotonic() + _ESTABLISH_SECONDS
    while True:
        found = await get(client, path)
        if found is None:
            await _apply(client, path, manifest)
        elif "deletionTimestamp" not in found["metadata"]:  # one that is going takes no objects any more
            conditions = found.get("status", {}).get("conditions") or ()
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                return
        if time.monotonic() > end:
            raise DemoError(f"custom resource {name} is not usable after {_ESTABLISH_SECONDS:g} s: {found}")
        await asyncio.sleep(0.05)


async def _service_account(client: Client) -> None:
    """Wait for the namespace's service account: before that its Deployments' first pods fail."""
    path = f"/api/v1/namespaces/{manifests.NAMESPACE}/serviceaccounts/default"
    end = time.monotonic() + _ESTABLISH_SECONDS
    while await get(client, path) is None:
        if time.monotonic() > end:
            raise DemoError(f"namespace {manifests.NAMESPACE} got no service account in {_ESTABLISH_SECONDS:g} s")
        await asyncio.sleep(0.05)


async def get(client: Client, path: str) -> dict[str, Any] | None:
    """Read any object; None when there is none."""
    try:
        found: dict[str, Any] = json.loads(await client.transport.request("GET", path))
    except errors.NotFound:
        return None
    return found


async def _apply(client: Client, path: str, body: Mapping[str, Any]) -> None:
    await client.transport.request(
        "PATCH",
        path,
        query={"fieldManager": "moorage-demo", "force": "true"},
        body=json.dumps(body).encode(),
        content_type=APPLY_PATCH,
    )
