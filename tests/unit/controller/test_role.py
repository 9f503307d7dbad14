"""The leader's label on its own pod."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from moorage.controller.role import Role
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import ObjectMeta, Pod


class Api:
    """One pod, or none."""

    def __init__(self, pod: Pod | None) -> None:
        self.pod = pod
        self.writes = 0

    async def get(self, _resource: object, name: str, namespace: str) -> Pod:
        assert (name, namespace) == ("pinner-1", "ns")
        if self.pod is None:
            raise errors.NotFound(404, errors.Status(code=404), request="get pod")
        return self.pod

    async def patch(self, _resource: object, _name: str, _namespace: str, *, changes: Any, uid: str) -> Pod:
        assert self.pod is not None
        assert uid == self.pod.metadata.uid
        labels = {**self.pod.metadata.labels, **changes["metadata"]["labels"]}
        kept = {key: value for key, value in labels.items() if value is not None}
        self.pod = msgspec.structs.replace(self.pod, metadata=msgspec.structs.replace(self.pod.metadata, labels=kept))
        self.writes += 1
        return self.pod


def role_of(api: Api) -> Role:
    return Role(cast("Client", api), "ns", "pinner-1", "moorage.dev/role", "leader")


async def test_the_label_comes_and_goes_and_is_written_once_each() -> None:
    api = Api(Pod(ObjectMeta(name="pinner-1", namespace="ns", uid="u", labels={"app": "pinner"})))
    role = role_of(api)
    await role.show(leads=False)
    assert api.writes == 0
    for _ in range(2):
        await role.show(leads=True)
    assert api.pod is not None
    assert api.pod.metadata.labels == {"app": "pinner", "moorage.dev/role": "leader"}
    for _ in range(2):
        await role.show(leads=False)
    assert api.pod.metadata.labels == {"app": "pinner"}
    assert api.writes == 2


async def test_a_process_outside_of_a_pod_says_nothing() -> None:
    api = Api(None)
    await role_of(api).show(leads=True)
    assert api.writes == 0
