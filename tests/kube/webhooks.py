"""A pod pinner with its webhook in the test's process, and other mutating webhooks."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from moorage.controller import certificates
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops import compat
from moorage.ops.parsing import Address
from moorage.ops.settings import PinnerSettings
from moorage.pinner import service
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from tests.kube import pinning
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle
from tools.localcluster.ports import free_ports

Json = dict[str, Any]
Change = Callable[[Json], list[Json]]
"""What a webhook makes of a pod: a JSON patch."""

POD = "our-pod"
"""The name of the first replica's pod."""


@asynccontextmanager
async def pinner(
    client: Client, cluster: ClusterHandle, namespace: str, board: InstructionStore, *, destinations: str = "hard"
) -> AsyncIterator[str]:
    """A pod pinner with its webhook, beside a planner; yields the name of the webhook configuration."""
    async with pinners(client, cluster, namespace, board, free_ports(1), destinations=destinations) as name:
        yield name


@asynccontextmanager
async def pinners(
    client: Client,
    cluster: ClusterHandle,
    namespace: str,
    board: InstructionStore,
    ports: Sequence[int],
    secret: Mapping[str, bytes] | None = None,
    *,
    destinations: str = "hard",
) -> AsyncIterator[str]:
    """One pod pinner for each port of a webhook; yields the name of the webhook configuration and of the Secret."""
    server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
    await server.start()
    name = f"moorage-{namespace}"
    body = {"metadata": {"name": name}, "data": encoded(secret or {})}
    kept = await client.create(resources.SECRETS, body, namespace)
    made = await client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": name}, "webhooks": []})
    tasks = []
    for number, port in enumerate(ports):
        settings = PinnerSettings(
            kubeconfig=Path(cluster.kubeconfig),
            planner_address=Address("127.0.0.1", server.port),
            planner_plaintext=True,
            namespace=namespace,
            pod_name=f"{POD}-{number}" if number else POD,
            health_address=Address("127.0.0.1", 0),
            webhook=True,
            webhook_address=Address("127.0.0.1", port),
            webhook_url=f"https://127.0.0.1:{port}/mutate",
            webhook_configuration=name,
            webhook_secret=name,
            destinations=destinations,
            webhook_timeout=30,  # a busy machine is no reason to create pods unchanged here
        )
        tasks.append(asyncio.create_task(service.run(settings)))
    try:
        yield name
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()
        await client.delete(resources.MUTATING_WEBHOOKS, name, uid=made.metadata.uid)
        await client.delete(resources.SECRETS, name, namespace, uid=kept.metadata.uid)
        for node in {each.action.node for each in board}:
            await _forget(client, node)


async def _forget(client: Client, node: str) -> None:
    """Take a reservation away: whoever pins next in this cluster would go on with it."""
    try:
        found = await client.get(resources.NODE_RESERVATIONS, node)
        uid = found.metadata.uid
        await client.patch(resources.NODE_RESERVATIONS, node, changes={"metadata": {"finalizers": None}}, uid=uid)
        await client.delete(resources.NODE_RESERVATIONS, node, uid=uid)
    except errors.NotFound:
        pass


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """The data of a Secret as it is written."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def deployment(name: str, count: int, pool: str, **spec: Any) -> Json:
    """A Deployment whose pods only nodes of a pool take."""
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": name}},
            "template": pinning.template(name, pool, **spec),
        },
    }


def expected_pod(namespace: str, app: str, pool: str, **spec: Any) -> Json:
    """A pod as the controller of a Deployment's ReplicaSet creates it."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-1", "uid": "none", "controller": True}
    template = pinning.template(app, pool, **spec)
    labels = {**template["metadata"]["labels"], "pod-template-hash": "1"}
    metadata = {"generateName": f"{app}-1-", "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
    return {**template, "metadata": metadata}


async def pinning_works(client: Client, namespace: str, app: str, pool: str) -> None:
    """Wait until the API server asks: it learns of the configuration by a watch of its own."""
    body = expected_pod(namespace, app, pool)

    async def pinned() -> bool:
        made = await client.create(resources.PODS, body, namespace, dry_run=True)
        return bool(made.spec.node_name)

    await eventually(pinned, "pods to be pinned")


async def asked(client: Client, name: str, *, wanted: bool) -> None:
    """Wait until the webhook is registered, or removed."""

    async def found() -> bool:
        made = await client.get(resources.MUTATING_WEBHOOKS, name)
        return bool(made.webhooks) is wanted

    await eventually(found, f"webhook configuration {name}: {wanted}")


async def failed_calls(client: Client, webhook: str) -> float:
    """How many calls of a webhook have failed so far, as the API server counts them; their pods passed unchanged."""
    text = (await client.transport.request("GET", "/metrics", accept="text/plain")).decode()
    metric, label = "apiserver_admission_webhook_fail_open_count{", f'name="{webhook}"'
    lines = [line for line in text.splitlines() if line.startswith(metric) and label in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


# --- others ---


@asynccontextmanager
async def other(client: Client, name: str, namespace: str, folder: Path, change: Change) -> AsyncIterator[None]:
    """A mutating webhook for the pods of one namespace, called once more if others change a pod after it.

    Args:
        client: the API server.
        name: of its configuration: API servers ask in the order of these names.
        namespace: the namespace of its pods.
        folder: of the test, for its certificate.
        change: its change of a pod.
    """
    data = certificates.fill(datetime.now(UTC), ["127.0.0.1"], "test")
    runner = web.AppRunner(_application(change), access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening, ssl_context=_context(folder / name, data)).start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
    entry = _entry(f"{name}.moorage.test", url, data[certificates.AUTHORITY], namespace)
    made = await client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": name}, "webhooks": [entry]})
    try:
        yield
    finally:
        await client.delete(resources.MUTATING_WEBHOOKS, name, uid=made.metadata.uid)
        await compat.stop_accepting([listening])
        await runner.cleanup()


def _application(change: Change) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        review = await request.json()
        patch = change(review["request"]["object"])
        response: Json = {"uid": review["request"]["uid"], "allowed": True}
        if patch:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})

    application = web.Application()
    application.router.add_post("/", answer)
    return application


def _context(folder: Path, data: Mapping[str, bytes]) -> ssl.SSLContext:
    folder.mkdir()
    for file in (certificates.CERTIFICATE, certificates.CERTIFICATE_KEY):
        (folder / file).write_bytes(data[file])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / certificates.CERTIFICATE, folder / certificates.CERTIFICATE_KEY)
    return context


def _entry(name: str, url: str, authority: bytes, namespace: str) -> Json:
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "reinvocationPolicy": "IfNeeded",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "sideEffects": "None",
        "timeoutSeconds": 30,
    }
