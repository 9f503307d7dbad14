"""``helm test`` and ``moorage check`` on an installed chart, with a real API server and a real planner."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.cli import check as command
from moorage.controller.pki import KeyPair
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from tests.charts.paths import collection
from tests.charts.rendering import PINNER, Object, Rendered, annotations_of, render
from tests.unit.protocol.support import Authority, authority
from tools.localcluster import ClusterHandle
from tools.localcluster.kubeconfig import write_kubeconfig

ACCESS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
FENCE = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
KEY = "the planner's key"
CHECK = "castai-pod-pinner-check"
PATIENCE = 60.0

Change = Callable[[Object], Object | None]


@dataclass(frozen=True)
class Installed:
    """A release without its pods."""

    cluster: ClusterHandle
    namespace: str
    rendered: Rendered
    folder: Path

    def as_account(self, account: str) -> Path:
        """A kubeconfig with a token, as the pods of a service account have one."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        found = self.cluster.api.request("POST", path, {"spec": {"expirationSeconds": 3600}})
        return write_kubeconfig(
            self.folder / account,
            server=self.cluster.server,
            ca=self.cluster.ca_file.read_bytes(),
            user=account,
            token=found["status"]["token"],
        )


@contextmanager
def installed(cluster: ClusterHandle, namespace: str, folder: Path, change: Change) -> Iterator[Installed]:
    """Create the chart's objects, changed or left out, and the Lease of a leader."""
    rendered = render(PINNER, namespace=namespace)
    changed = (change(json.loads(json.dumps(each))) for each in rendered.objects if each["kind"] in ACCESS | FENCE)
    wanted: list[Object] = [each for each in changed if each]
    definitions = rendered.all("CustomResourceDefinition")
    there = [cluster.api.answers_ok(f"{collection(each)}/{each['metadata']['name']}") for each in definitions]
    wanted[:0] = [each for each, known in zip(definitions, there, strict=True) if not known]
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    leads = {"holderIdentity": "pinner-0", "leaseDurationSeconds": 600, "renewTime": now}
    lease = {"metadata": {"name": rendered.env["MOORAGE_LEASE_NAME"]}, "spec": leads}
    made: list[Object] = []
    try:
        for each in wanted:
            cluster.api.request("POST", collection(each), each)
            made.append(each)
        cluster.api.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
        yield Installed(cluster, namespace, rendered, folder)
    finally:
        for each in made:  # those of the namespace go with it
            if each["metadata"].get("namespace") != namespace:
                cluster.api.request("DELETE", f"{collection(each)}/{each['metadata']['name']}")


@asynccontextmanager
async def planning(pair: Authority) -> AsyncIterator[int]:
    """A planner with TLS and a key; its port."""
    board = InstructionStore()
    board.start("first-pods", timedelta(minutes=10))
    settings = ServerSettings(
        address=Address("127.0.0.1", 0),
        pair=lambda: KeyPair(pair.certificate, pair.key),
        api_key=lambda: Secret(KEY),
    )
    server = PlannerServer(board, settings)
    await server.start()
    try:
        yield server.port
        assert board.clusters == (), "nobody has come"
    finally:
        await server.stop()


@dataclass(frozen=True)
class Planner:
    """Files that lead to a planner."""

    port: int
    key: Path
    authority: Path

    @property
    def flags(self) -> list[str]:
        address = f"--planner-address=127.0.0.1:{self.port}"
        return [address, f"--api-key-file={self.key}", f"--planner-ca-file={self.authority}"]


@pytest.fixture
async def planner(tmp_path: Path) -> AsyncIterator[Planner]:
    pair = authority("ours")
    key, file = tmp_path / "api-key", tmp_path / "ca.crt"
    key.write_text(KEY)
    file.write_bytes(pair.certificate)
    async with planning(pair) as port:
        yield Planner(port, key, file)


Checks = dict[str, dict[str, Any]]


async def check(
    release: Installed,
    planner: Planner,
    capsys: pytest.CaptureFixture[str],
    expected: dict[str, str],
    *flags: str,
    account: str = "",
) -> tuple[int, Checks]:
    """The exit code and the checks, once those not in order are as expected: roles take a moment to count.

    Args:
        release: the release to check.
        planner: where it is.
        capsys: has the output.
        expected: states by name.
        flags: more of the command.
        account: of the release; an administrator unless named.
    """
    kubeconfig = release.as_account(account) if account else release.cluster.kubeconfig
    given = [f"--kubeconfig={kubeconfig}", f"--namespace={release.namespace}", "--timeout=100ms", "-o", "json"]
    arguments = command.parser("moorage check").parse_args([*given, *planner.flags, *flags])
    end = time.monotonic() + PATIENCE
    while True:
        capsys.readouterr()
        code = await asyncio.to_thread(command.main, arguments)
        checks: Checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
        if unwell(checks) == expected:
            return code, checks
        assert time.monotonic() < end, checks


def as_is(found: Object) -> Object:
    return found


def unwell(checks: Checks) -> dict[str, str]:
    """The states of those that are not in order."""
    return {name: each["state"] for name, each in checks.items() if each["state"] != "ok"}


@pytest.fixture(scope="module")
def release(cluster: ClusterHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """As the chart makes it."""
    namespace = f"check-{secrets.token_hex(3)}"
    cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        with installed(cluster, namespace, tmp_path_factory.mktemp("release"), as_is) as made:
            yield made
    finally:
        cluster.api.request("DELETE", f"/api/v1/namespaces/{namespace}")


@pytest.mark.cluster
async def test_an_administrator_finds_all_in_order_and_has_tried_the_fence(
    release: Installed, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = await check(release, planner, capsys, {})
    assert code == 0
    assert "took the key and serves plan 'first-pods'" in checks["planner"]["detail"]
    assert f"system:serviceaccount:{release.namespace}:castai-pod-pinner has all" in checks["rights"]["detail"]
    assert "a Node without its taint was refused, a placeholder was not" in checks["fence"]["detail"]
    nodes = {each["metadata"]["name"] for each in release.cluster.api.get("/api/v1/nodes")["items"]}
    assert not [name for name in nodes if name.startswith("moorage-check")]


@pytest.mark.cluster
async def test_the_pinner_itself_has_tried_the_fence_and_may_try_no_pod(
    release: Installed, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = await check(release, planner, capsys, {"admission": "unknown"}, account=PINNER)
    assert code == 3
    assert "cannot create resource" in checks["admission"]["detail"]
    assert "a Node without its taint was refused" in checks["fence"]["detail"]


@pytest.mark.cluster
async def test_helm_test_passes_with_the_rights_it_brings(release: Installed, planner: Planner) -> None:
    """As its pod runs it: the process, the account, the environment."""
    (container,) = release.rendered.check["spec"]["containers"]
    env = {each["name"]: each.get("value", release.namespace) for each in container["env"]}
    env |= {
        "MOORAGE_KUBECONFIG": str(release.as_account(CHECK)),
        "MOORAGE_PLANNER_ADDRESS": f"127.0.0.1:{planner.port}",
        "MOORAGE_API_KEY_FILE": str(planner.key),
        "MOORAGE_PLANNER_CA_FILE": str(planner.authority),
    }
    words = [sys.executable, "-m", "moorage.cli", *container["args"], "-o", "json"]
    done = await asyncio.to_thread(subprocess.run, words, env={**os.environ, **env}, capture_output=True, text=True)
    checks: Checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert unwell(checks) == {}, done.stdout
    assert done.returncode == 0
    assert "not tried, because whoever asks may not act as the account" in checks["fence"]["detail"]


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("port", "refuses connections"),
        ("key", "does not take the key in "),
        ("authority", "comes from none of the authorities in "),
        ("name", "certificate is not for localhost"),
    ],
)
async def test_a_planner_that_cannot_be_used_is_all_that_is_wrong(
    wrong: str, words: str, release: Installed, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    flags: list[str] = []
    if wrong == "port":
        flags = ["--planner-address=127.0.0.1:1"]
    elif wrong == "key":
        planner.key.write_text("another key")
    elif wrong == "authority":
        planner.authority.write_bytes(authority("others").certificate)
    else:
        flags = [f"--planner-address=localhost:{planner.port}"]
    code, checks = await check(release, planner, capsys, {"planner": "failed"}, *flags)
    assert code == 1
    assert words in checks["planner"]["detail"]


def without(kind: str, group: str, resource: str, verb: str) -> Change:
    """Take a verb off a role of the pinner."""

    def change(found: Object) -> Object:
        if found["kind"] == kind and "helm.sh/hook" not in annotations_of(found):
            for rule in found["rules"]:
                if (group, resource) in {(g, r) for g in rule["apiGroups"] for r in rule["resources"]}:
                    rule["verbs"] = [each for each in rule["verbs"] if each != verb]
            found["rules"] = [rule for rule in found["rules"] if rule["verbs"]]
        return found

    return change


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        (without("ClusterRole", "", "nodes", "delete"), "failed", ["[nodes], verbs: [delete]"]),
        (without("ClusterRole", "events.k8s.io", "events", "patch"), "warning", ["[events], verbs: [patch]"]),
        (
            without("Role", "coordination.k8s.io", "leases", "update"),
            "failed",
            ["Role in kube-node-lease: ", "resourceNames: [castai-pod-pinner-leader-election], verbs: [update]"],
        ),
    ],
)
async def test_a_missing_right_is_named_with_the_rule_to_add(
    change: Change,
    state: str,
    words: Sequence[str],
    cluster: ClusterHandle,
    namespace: str,
    planner: Planner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with installed(cluster, namespace, tmp_path, change) as release:
        code, checks = await check(release, planner, capsys, {"rights": state})
    assert code == int(state == "failed")
    for each in words:
        assert each in checks["rights"]["detail"]


def no(kind: str) -> Change:
    return lambda found: None if found["kind"] == kind else found


def policy(**spec: Any) -> Change:
    return lambda found: {**found, "spec": {**found["spec"], **spec}} if found["kind"] in FENCE else found


def only(kind: str, change: Change) -> Change:
    return lambda found: change(found) if found["kind"] == kind else found


HOLDS_NOTHING = [{"expression": "request.operation == request.operation"}]


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no("ValidatingAdmissionPolicy"), "ValidatingAdmissionPolicy castai-pod-pinner."),
        (no("ValidatingAdmissionPolicyBinding"), "ValidatingAdmissionPolicyBinding castai-pod-pinner."),
        (
            only("ValidatingAdmissionPolicyBinding", policy(validationActions=["Audit"])),
            "does not deny (Audit)",
        ),
        (only("ValidatingAdmissionPolicy", policy(failurePolicy="Ignore")), "what it cannot judge"),
        (
            only("ValidatingAdmissionPolicy", policy(validations=HOLDS_NOTHING)),
            "a Node without the taint scheduling.cast.ai/pod-pinning-preparing was accepted",
        ),
        (
            only("ValidatingAdmissionPolicy", policy(validations=[{"expression": "false"}])),
            "cannot create placeholders",
        ),
    ],
)
async def test_a_fence_that_is_missing_or_does_not_hold_is_told(
    change: Change,
    words: str,
    cluster: ClusterHandle,
    namespace: str,
    planner: Planner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with installed(cluster, namespace, tmp_path, change) as release:
        for _ in range(30):  # an API server takes notice of a policy some time after it has stored it
            code, checks = await check(release, planner, capsys, {"fence": "failed"})
            if words in checks["fence"]["detail"]:
                break
            await asyncio.sleep(1)
    assert code == 1
    assert words in checks["fence"]["detail"]
