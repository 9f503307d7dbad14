"""Signs of a kubelet, and that a pod with such a sign is not deleted by old knowledge."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from moorage.controller.fence import Fence
from moorage.kube import errors, resources
from moorage.kube.clock import micro_time
from moorage.objects import Lease, ObjectMeta
from moorage.objects.coordination import LeaseSpec
from moorage.pinner.decisions.signs import NONE, QUIET
from moorage.pinner.decisions.steps import DeletePod
from moorage.pinner.names import RENEWED_ANNOTATION
from moorage.pinner.node.attempts import Attempts
from moorage.pinner.node.executor import Executor
from moorage.pinner.node.sign_reader import SignReader
from moorage.pinner.refusal import Refusal
from moorage.protocol import ReasonCode
from tests.unit.kube.simulated import EPOCH, Time, refusal
from tests.unit.pinner import model

LEASE, CSI_NODE = "somebody else has renewed its Lease", "it has a CSINode"
MUST_NOT = "whether it has a CSINode must not be asked"


class Cluster:
    """A client, its transport and its clock: one Lease, one CSINode, or none."""

    def __init__(self) -> None:
        self.time = Time()
        self.lease: Lease | None = None
        self.csi_node: bytes | errors.ApiError = refusal(404, "NotFound", "none")
        self.transport = self.clock = self

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.time.now)

    def renewed(self, *, ago: float, by_us: bool) -> None:
        text = micro_time(self.now() - timedelta(seconds=ago))
        version = str(int(self.lease.metadata.resource_version) + 1 if self.lease else 1)
        marks = {RENEWED_ANNOTATION: text if by_us else micro_time(EPOCH)}
        meta = ObjectMeta(name=model.NAME, resource_version=version, annotations=marks)
        self.lease = Lease(metadata=meta, spec=LeaseSpec(renew_time=text))

    async def get(self, resource: object, name: str, namespace: str) -> Lease:
        assert (resource, name, namespace) == (resources.LEASES, model.NAME, "kube-node-lease")
        if self.lease is None:
            raise refusal(404, "NotFound", "none")
        return self.lease

    async def request(self, method: str, path: str) -> bytes:
        assert (method, path) == ("GET", f"/apis/storage.k8s.io/v1/csinodes/{model.NAME}")
        if isinstance(self.csi_node, errors.ApiError):
            raise self.csi_node
        return self.csi_node


def looking() -> tuple[Cluster, SignReader]:
    cluster = Cluster()
    return cluster, SignReader(cast("Any", cluster), cast("Any", cluster), cluster.time.monotonic)


@pytest.mark.parametrize(
    ("ago", "by_us", "signs"),
    [
        (None, False, NONE),
        (0, True, NONE),
        (3600, True, NONE),
        (0, False, (LEASE, True)),
        (39, False, (LEASE, True)),
        (41, False, (LEASE, False)),
        (-3600, False, (LEASE, True)),
    ],
)
async def test_a_lease_tells_of_a_kubelet_when_it_is_not_ours(ago: float | None, by_us: bool, signs: Any) -> None:
    cluster, lookout = looking()
    if ago is not None:
        cluster.renewed(ago=ago, by_us=by_us)
    assert await lookout.read(model.NAME) == signs


@pytest.mark.parametrize("ago", [1, -3600])
async def test_a_lease_that_nobody_renews_tells_of_no_living_kubelet_for_long(ago: float) -> None:
    cluster, lookout = looking()
    cluster.renewed(ago=ago, by_us=False)
    assert (await lookout.read(model.NAME)).alive
    cluster.time.now += QUIET.total_seconds() - 10
    cluster.renewed(ago=ago, by_us=False)
    assert (await lookout.read(model.NAME)).alive
    cluster.time.now += QUIET.total_seconds() - 5
    assert (await lookout.read(model.NAME)).alive, "it was renewed in between"
    cluster.time.now += 5
    assert await lookout.read(model.NAME) == (LEASE, False)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"spec": {"drivers": null}}', CSI_NODE),
        (b"not even an object", CSI_NODE),
        (refusal(403, "Forbidden", "no right"), MUST_NOT),
    ],
)
async def test_a_csi_node_tells_of_a_kubelet_whatever_it_says(answer: Any, text: str) -> None:
    cluster, lookout = looking()
    cluster.csi_node = answer
    assert await lookout.read(model.NAME) == (text, False)
    cluster.renewed(ago=1, by_us=False)
    assert await lookout.read(model.NAME) == (LEASE, True)


async def test_what_cannot_be_known_now_is_no_answer() -> None:
    cluster, lookout = looking()
    cluster.csi_node = refusal(500, "InternalError", "later")
    with pytest.raises(errors.KubeError):
        await lookout.read(model.NAME)


# --- the pod itself ---


class Api:
    """Records requested deletions, and answers that the pod has changed meanwhile."""

    def __init__(self, answer: errors.ApiError | None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.read: list[str] = []
        self._answer = answer
        self.transport = SimpleNamespace(clock=None)

    async def delete(self, _resource: object, _name: str, _namespace: str, **how: Any) -> None:
        self.asked.append(how)
        if self._answer is not None:
            raise self._answer

    async def get(self, _resource: object, name: str, _namespace: str) -> str:
        self.read.append(name)
        return "as it is now"


@pytest.mark.parametrize(("grace", "version"), [(0, "7"), (None, "")])
@pytest.mark.parametrize("changed", [False, True])
async def test_without_grace_a_pod_is_deleted_only_exactly_as_it_was_seen(
    grace: int | None, version: str, changed: bool
) -> None:
    conflict = refusal(409, "Conflict", "Precondition failed: ResourceVersion in precondition: 7, in object meta: 8")
    api = Api(conflict if changed else None)
    told: list[tuple[str, Any]] = []
    known: list[Any] = []
    latest = SimpleNamespace(wrote=known.append, get=lambda _: None)
    world = SimpleNamespace(pods=latest, deleted_pod=lambda one: told.append(("gone", one)))
    reporter = SimpleNamespace(pod_deleted=lambda *_, **__: told.append(("said", None)))
    others: Any = SimpleNamespace()
    executor = Executor(
        cast("Any", api),
        cast("Any", world),
        cast("Any", reporter),
        others,
        others,
        Fence(lambda: True, 1),
        Attempts(0.5, 60.0, lambda: 0.0),
        received=lambda _: None,
        monotonic=lambda: 0.0,
    )
    one = model.pod(1, node=model.NAME)
    pod = msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, resource_version="7"))
    await executor.run(model.NAME, [DeletePod(pod, grace, Refusal(ReasonCode.NODE_FAILED))])
    assert api.asked == [{"uid": "u1", "resource_version": version, "grace_seconds": grace}]
    if changed:
        assert (told, known, api.read) == ([], ["as it is now"], ["p1"])
    else:
        assert ("said", None) in told
