"""A TEST DOUBLE of Pulumi's Kubernetes provider: only ``kubernetes:helm.sh/v3:Release``, with the real helm.

The provider itself cannot be built from a registry. What this one does is what tests need of it: a chart that cannot be
had fails the preview, a release that was made and failed is kept in the state, so that the next run upgrades it, and
names and namespaces are not changed in place. `MOORAGE_PULUMI_KUBERNETES=real` runs the same tests with the real one.

Run by the engine as ``pulumi-resource-kubernetes ADDRESS``, or once for many engines that attach to it
(PULUMI_DEBUG_PROVIDERS); HELM names the program, KUBECONFIG the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.provider.experimental import provider, server
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime import rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from tools.toolchain.guard import interrupt_with_parent

VERSION = "4.34.2"
_INPUTS = (
    "chart",
    "name",
    "namespace",
    "createNamespace",
    "repositoryOpts",
    "version",
    "timeout",
    "skipAwait",
    "resetValues",
    "values",
)
_IDENTITY = ("name", "namespace")

Properties = dict[str, PropertyValue]


class ReleaseFailed(Exception):
    """Helm has created or changed the release, and it has failed."""

    def __init__(self, identity: str, state: Properties, inputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identity, self.state, self.inputs, self.reason = identity, state, inputs, reason


class Kubernetes(provider.Provider):
    """Releases of Helm charts."""

    def __init__(self) -> None:
        self._helms: set[asyncio.subprocess.Process] = set()
        self._kubeconfig = os.environ.get("KUBECONFIG", "")

    async def get_schema(self, _request: provider.GetSchemaRequest) -> provider.GetSchemaResponse:
        return provider.GetSchemaResponse(json.dumps({"name": "kubernetes", "version": VERSION}))

    async def configure(self, request: provider.ConfigureRequest) -> provider.ConfigureResponse:
        given = request.args.get("kubeconfig")
        self._kubeconfig = str(given.value) if given is not None else self._kubeconfig
        return await super().configure(request)

    async def check(self, request: provider.CheckRequest) -> provider.CheckResponse:
        inputs = {name: value for name, value in request.new_inputs.items() if value.value is not None}
        known = _plain({name: value for name, value in inputs.items() if name != "values"})
        if rpc.UNKNOWN in json.dumps(known):
            return provider.CheckResponse(inputs)
        try:
            await self._helm("show", "chart", *_source(known))
        except HelmError as error:
            return provider.CheckResponse(inputs, [provider.CheckFailure("chart", str(error))])
        return provider.CheckResponse(inputs)

    async def diff(self, request: provider.DiffRequest) -> provider.DiffResponse:
        changed = [
            name
            for name in _INPUTS
            if _plain_of(request.old_state.get(name)) != _plain_of(request.new_inputs.get(name))
        ]
        return provider.DiffResponse(
            changes=bool(changed),
            diffs=changed,
            replaces=[name for name in changed if name in _IDENTITY],
            delete_before_replace=True,
        )

    async def create(self, request: provider.CreateRequest) -> provider.CreateResponse:
        if request.preview:
            return provider.CreateResponse(None, {**request.properties, "status": PropertyValue(rpc.UNKNOWN)})
        wanted = _plain(request.properties)
        identity = f"{wanted['namespace']}/{wanted['name']}"
        namespace = ["--create-namespace"] if wanted.get("createNamespace") else []
        state = await self._apply("install", namespace, identity, request.properties, wanted)
        return provider.CreateResponse(identity, state)

    async def update(self, request: provider.UpdateRequest) -> provider.UpdateResponse:
        if request.preview:
            return provider.UpdateResponse({**request.news, "status": PropertyValue(rpc.UNKNOWN)})
        reset = ["--reset-values"] if _plain_of(request.news.get("resetValues")) else []
        state = await self._apply("upgrade", reset, request.resource_id, request.news, _plain(request.news))
        return provider.UpdateResponse(state)

    async def delete(self, request: provider.DeleteRequest) -> None:
        namespace, _, name = request.resource_id.partition("/")
        await self._helm("uninstall", name, "--namespace", namespace, "--ignore-not-found", "--wait", "--timeout=2m")

    async def read(self, request: provider.ReadRequest) -> provider.ReadResponse:
        namespace, _, name = request.resource_id.partition("/")
        status = await self._status(namespace, name)
        if status is None:
            return provider.ReadResponse()
        if request.inputs:
            return provider.ReadResponse(
                request.resource_id, {**request.properties, "status": _property(status)}, request.inputs
            )
        values = json.loads(await self._helm("get", "values", name, "--namespace", namespace, "--output=json"))
        found = {"name": name, "namespace": namespace, "chart": status["chart"], "values": values or {}}
        inputs = {key: _property(value) for key, value in found.items()}
        return provider.ReadResponse(request.resource_id, {**inputs, "status": _property(status)}, inputs)

    async def cancel(self) -> None:
        for helm in self._helms:
            helm.terminate()

    def kill(self) -> None:
        """Kill every helm at once, as the end of this program does in the real provider."""
        for helm in self._helms:
            helm.kill()

    async def _apply(
        self, verb: str, options: list[str], identity: str, given: Properties, wanted: dict[str, Any]
    ) -> Properties:
        """Install or upgrade. The state of a failed release differs from one that never began."""
        wait = [] if wanted.get("skipAwait") else ["--wait", f"--timeout={int(wanted.get('timeout', 300))}s"]
        place = ["--namespace", wanted["namespace"]]
        command = [verb, wanted["name"], *_source(wanted), *place, *options, *wait, "--values", "-"]
        before = await self._status(wanted["namespace"], wanted["name"])
        reason = ""
        try:
            await self._helm(*command, text=json.dumps(wanted.get("values", {})))
        except HelmError as error:
            reason = str(error)
        after = await self._status(wanted["namespace"], wanted["name"])
        if reason and after == before:
            raise HelmError(reason)
        state = {**given, "status": _property(after)}
        if reason:
            raise ReleaseFailed(identity, state, given, reason)
        return state

    async def _status(self, namespace: str, name: str) -> dict[str, Any] | None:
        listed = await self._helm("list", "--namespace", namespace, "--filter", f"^{name}$", "--output=json")
        for each in json.loads(listed):
            chart, _, version = each["chart"].rpartition("-")
            return {
                "name": name,
                "namespace": namespace,
                "chart": chart,
                "version": version,
                "appVersion": each["app_version"],
                "revision": float(each["revision"]),
                "status": each["status"],
            }
        return None

    async def _helm(self, *arguments: str, text: str = "") -> str:
        helm = await asyncio.create_subprocess_exec(
            os.environ["HELM"],
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": self._kubeconfig},
        )
        self._helms.add(helm)
        try:
            out, err = await helm.communicate(text.encode())
        finally:
            self._helms.discard(helm)
        if helm.returncode:
            raise HelmError(err.decode().strip() or f"helm {arguments[0]} was ended")
        return out.decode()


class HelmError(Exception):
    """Helm refuses, in its own words."""


class Servicer(server.ProviderServicer):
    """Answers with helm's messages. The SDK's servicer cannot report a resource that was created and failed."""

    async def Attach(self, _request: Any, _context: Any) -> Any:  # noqa: N802 (gRPC's names)
        return empty_pb2.Empty()  # nothing is asked of the engine

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(super().Check(request, context), context)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(super().Create(request, context), context)

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(super().Read(request, context), context)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(super().Update(request, context), context)

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(super().Delete(request, context), context)


async def _answer(answer: Awaitable[Any], context: Any) -> Any:
    try:
        return await answer
    except Exception as error:
        failed = error.__context__  # the SDK's servicer raises another one, with a traceback in its text
        if not isinstance(failed, HelmError | ReleaseFailed):
            raise
        status = grpc.Status()
        status.code, status.details, status.trailing_metadata = grpc.StatusCode.UNKNOWN, str(failed), ()
        if isinstance(failed, ReleaseFailed):
            detail = provider_pb2.ErrorResourceInitFailed(
                id=failed.identity,
                properties=PropertyValue.marshal_map(failed.state),
                inputs=PropertyValue.marshal_map(failed.inputs),
                reasons=[failed.reason],
            )
            packed = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=failed.reason)
            packed.details.add().Pack(detail)
            status.trailing_metadata = (("grpc-status-details-bin", packed.SerializeToString()),)
        return await context.abort_with_status(status)


async def serve(engine: str) -> None:
    """Say the port on standard output, as the engine expects, and serve until it ends us."""
    served = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    kubernetes = Kubernetes()
    servicer = Servicer([], VERSION, kubernetes, engine_address=engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, served)
    port = served.add_insecure_port("127.0.0.1:0")
    await served.start()
    print(port, flush=True)
    try:
        await served.wait_for_termination()
    finally:
        kubernetes.kill()
        await served.stop(None)


def _source(wanted: Mapping[str, Any]) -> list[str]:
    repository = (wanted.get("repositoryOpts") or {}).get("repo")
    version = wanted.get("version")
    return [
        wanted["chart"],
        *(["--repo", repository] if repository else []),
        *(["--version", version] if version else []),
    ]


def _plain(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    return {name: _plain_of(value) for name, value in properties.items()}


def _plain_of(given: PropertyValue | None) -> Any:
    value = None if given is None else given.value
    if isinstance(value, Computed):
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain_of(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _property(value: Any) -> PropertyValue:
    if isinstance(value, dict):
        return PropertyValue({name: _property(each) for name, each in value.items()})
    if isinstance(value, list):
        return PropertyValue([_property(each) for each in value])
    return PropertyValue(float(value) if type(value) is int else value)


if __name__ == "__main__":
    interrupt_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1]))
