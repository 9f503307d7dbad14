"""An API server that answers ``moorage check`` as told: an installation in order, unless told otherwise."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.ops import compat
from moorage.ops.version import version

NAMESPACE = "castai-agent"
PINNER = f"system:serviceaccount:{NAMESPACE}:castai-pod-pinner"
POLICY_NAME = f"castai-pod-pinner.{NAMESPACE}"

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/castai-pod-pinner-leader-election"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
NODES = "/api/v1/nodes"
KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
OWN_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
POLICY = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{POLICY_NAME}"
BINDING = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{POLICY_NAME}"

Answer = Callable[[], web.Response]


def status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message, "reason": "x"}, status=code)


def no_right(what: str, verb: str = "create") -> web.Response:
    """How an authorizer refuses."""
    return status(
        403, f'{what} is forbidden: User "somebody" cannot {verb} resource "{what}" in API group "" at the scope'
    )


def denied(policy: str = POLICY_NAME) -> web.Response:
    """How an admission policy refuses."""
    return status(
        403, f"nodes \"n\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding 'b' denied request: no"
    )


def _named(whole: dict[str, Any], name: str) -> web.Response:
    """An object like another, of another name; a binding is to the policy of its own name."""
    spec = whole["spec"] | ({"policyName": name} if "policyName" in whole["spec"] else {})
    return web.json_response({**whole, "metadata": {**whole["metadata"], "name": name}, "spec": spec})


class Api:
    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self.us = "admin"
        self.lacking: set[tuple[str, str]] = set()
        """Resources and verbs that the account may not use."""
        self.policy: dict[str, Any] = {
            "metadata": {"name": POLICY_NAME, "generation": 1, "labels": {"app.kubernetes.io/version": version()}},
            "spec": {"failurePolicy": "Fail", "matchConditions": [{"expression": f"user == '{PINNER}'"}]},
            "status": {"observedGeneration": 1, "typeChecking": {}},
        }
        self.binding: dict[str, Any] = {
            "metadata": {"name": POLICY_NAME},
            "spec": {"policyName": POLICY_NAME, "validationActions": ["Deny"]},
        }
        self.answers: dict[str, Answer] = {
            RESERVATIONS: lambda: web.json_response({"metadata": {"resourceVersion": "1"}, "items": []}),
            LEASE: lambda: self.lease(),
            PODS: lambda: web.json_response({"metadata": {"name": "moorage-check-x"}}, status=201),
            KUBE_SYSTEM: lambda: web.json_response({"metadata": {"name": "kube-system", "uid": "cluster-1"}}),
            SELF_REVIEW: lambda: web.json_response({"status": {"userInfo": {"username": self.us}}}, status=201),
            REVIEW: self.review,
            OWN_REVIEW: self.review,
            POLICY: lambda: web.json_response(self.policy),
            BINDING: lambda: web.json_response(self.binding),
            NODES: self.node,
        }
        for part in ("-pods", "-pod-status", "-bindings", "-leases", "-check"):
            name = POLICY_NAME.replace(".", f"{part}.", 1)
            self.answers[POLICY.replace(POLICY_NAME, name)] = partial(_named, self.policy, name)
            self.answers[BINDING.replace(POLICY_NAME, name)] = partial(_named, self.binding, name)

    def lease(self, *, holder: str = "pinner-1_ab", ago: float = 1.0) -> web.Response:
        renewed = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
        return web.json_response({"metadata": {"name": "l"}, "spec": spec})

    def review(self) -> web.Response:
        asked = self.bodies[-1]["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = (resource, asked["verb"]) not in self.lacking
        return web.json_response({"status": {"allowed": allowed}}, status=201)

    def node(self) -> web.Response:
        """The fence: a placeholder passes."""
        taints = self.bodies[-1].get("spec", {}).get("taints", ())
        if not any("pod-pinning" in each["key"] for each in taints):
            return denied()
        return web.json_response({"metadata": {"name": "n"}}, status=201)

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.can_read_body:
            self.bodies.append(await request.json())
        return self.answers[request.path]()

    def to(self, path: str) -> list[web.Request]:
        """The requests to a path."""
        return [each for each in self.asked if each.path == path]


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    """Its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.serve)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await compat.stop_accepting([listening])
        await runner.cleanup()


def kubeconfig(url: str, folder: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@asynccontextmanager
async def connected(api: Api, folder: Path) -> AsyncIterator[Client]:
    """A client of it."""
    async with serving(api) as url, Transport(credentials.load(kubeconfig(url, folder))) as transport:
        yield Client(transport)
