"""A planner in a cluster: it keeps running, is ready only when it serves, and reports what prevents that."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from moorage.kube.events import ObjectRef
from moorage.ops import compat, health, pod
from moorage.ops.configuration import SettingsError, load
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.planner import file_source, service
from moorage.planner.operation import Operation, OperationError, operation
from moorage.planner.service import Planner
from moorage.planner.settings import PlannerSettings
from tests.unit.planner.test_secrets import CLIENT, NAMES, TLS, Store, make
from tests.unit.protocol.support import LOOPBACK, Pinner, authority, eventually, settings

PLAN = "nodes: [{name: n-1, allocatable: {cpu: 2, memory: 4Gi, pods: 10}}]\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "POLL_SECONDS", 0.01)
    for name in ("SETTLE_SECONDS", "REFRESH_SECONDS"):
        monkeypatch.setattr(service, name, 0.01)


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.regarding: list[ObjectRef] = []

    def record(self, regarding: ObjectRef, *, type: str, reason: str, action: str, note: str) -> None:
        assert action
        self.regarding.append(regarding)
        self.events.append((type, reason, note))

    async def run(self) -> None:
        await asyncio.Event().wait()

    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.events]


def made(plan: Path, **changes: Any) -> PlannerSettings:
    found = load(PlannerSettings, {}, {"plan": str(plan), "listen": "127.0.0.1:0", "output": "json"})
    return dataclasses.replace(found, in_cluster=True, pod_name="planner-1", pod_uid="uid-1", **changes)


@asynccontextmanager
async def running(planner: Planner) -> AsyncIterator[asyncio.Task[int]]:
    task = asyncio.create_task(planner.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def unmet(checks: health.Health) -> set[str]:
    return {check.name for check in checks.ready() if not check.passed}


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_plan_that_cannot_be_used_is_waited_out_and_a_later_one_keeps_the_last_good(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("nodez: []")
    recorder, checks = Recorder(), health.Health()
    chosen = made(path)
    any_recorder: Any = recorder
    planner = Planner(chosen, Operation(chosen, recorder=any_recorder, checks=checks))
    refused = sample("moorage_planner_plan_loads_total", result="refused")
    async with running(planner) as task:
        await eventually(lambda: len(recorder.events) == 1)
        kind, reason, note = recorder.events[0]
        assert (kind, reason) == ("Warning", "PlanInvalid")
        assert "nothing is served until it is valid" in note
        assert "line 1: unknown field 'nodez'" in note
        assert recorder.regarding[0] == ObjectRef("v1", "Pod", "planner-1", "castai-agent", "uid-1")
        assert unmet(checks) == {"plan", "server"}
        assert planner.server.port == 0  # nobody is told that there is nothing to do
        assert sample("moorage_planner_plan_valid") == 0

        path.write_text(PLAN)
        await eventually(lambda: recorder.reasons() == ["PlanInvalid", "PlanServed"])
        assert unmet(checks) == set()
        assert sample("moorage_planner_plan_valid") == 1
        async with Pinner(InstructionStream(settings(planner.server.port))) as pinner:
            await pinner.until(lambda p: len(p.ids) == 1)
            path.write_text("nodes: 7")
            await eventually(lambda: recorder.reasons()[2:] == ["PlanInvalid"])
            assert "plan plan is still served" in recorder.events[2][2]
            assert unmet(checks) == set()
            assert sample("moorage_planner_plan_valid") == 0
            assert sample("moorage_planner_plan_loads_total", result="refused") == refused + 2
        async with Pinner(InstructionStream(settings(planner.server.port))) as later:
            await later.until(lambda p: len(p.received) == 1)
        assert not task.done()


@pytest.mark.parametrize("text", ["{}", "nodes: []\n"])
async def test_an_empty_plan_is_served(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    planner = Planner(made(path))
    async with running(planner):
        await eventually(lambda: planner.server.port != 0)
        async with Pinner(InstructionStream(settings(planner.server.port))) as pinner:
            await pinner.until(lambda p: len(p.received) == 1)
            assert pinner.ids == []
            path.write_text(PLAN)
            await pinner.until(lambda p: len(p.ids) == 1)
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events[:1] == ["serving"]


async def test_it_serves_with_the_secrets_it_keeps_and_a_renewed_certificate_is_noticed_by_nobody(
    tmp_path: Path,
) -> None:
    path, store = tmp_path / "plan.yaml", Store(TLS, CLIENT)
    path.write_text(PLAN)
    recorder, checks = Recorder(), health.Health()
    chosen = made(path, tls_secret=TLS, client_secret=CLIENT)
    keeper = make(store, names=(*NAMES, LOOPBACK), now=lambda: datetime.now(UTC))
    any_recorder: Any = recorder
    planner = Planner(chosen, Operation(chosen, recorder=any_recorder, secret_controller=keeper, checks=checks))
    async with running(planner):
        await eventually(lambda: planner.server.port != 0 and unmet(checks) == set())
        async with _connected(planner, store, tmp_path) as before:
            first = await _served(planner)
            assert first == store.data(TLS)["tls.crt"]
            store.put(TLS, **{"tls.crt": b""})
            await keeper.ensure()
            async with _connected(planner, store, tmp_path):
                assert await _served(planner) == store.data(TLS)["tls.crt"] != first
            assert before.stream.connected


@asynccontextmanager
async def _connected(planner: Planner, store: Store, tmp_path: Path) -> AsyncIterator[Pinner]:
    """A pinner with the credentials of the client Secret."""
    ca, key = tmp_path / "ca.crt", tmp_path / "api-key"
    ca.write_bytes(store.data(CLIENT)["ca.crt"])
    key.write_bytes(store.data(CLIENT)["API_KEY"])
    endpoint = PlannerEndpoint(address=Address(LOOPBACK, planner.server.port), ca_file=ca, key_file=key)
    async with Pinner(InstructionStream(settings(planner.server.port, endpoint=endpoint))) as pinner:
        await pinner.until(lambda p: len(p.received) >= 1)
        yield pinner


async def _served(planner: Planner) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(LOOPBACK, planner.server.port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    compat.abort(writer.transport)
    return ssl.DER_cert_to_PEM_cert(shown).encode()


async def test_while_a_secret_is_missing_it_is_up_and_not_ready(tmp_path: Path) -> None:
    path, store = tmp_path / "plan.yaml", Store(TLS)
    path.write_text(PLAN)
    checks, recorder = health.Health(), Recorder()
    chosen = made(path, tls_secret=TLS, client_secret=CLIENT)
    operated: list[Operation] = []
    keeper = make(store, on_problem=lambda sentence: operated[0].trouble(sentence))
    any_recorder: Any = recorder
    operated.append(Operation(chosen, recorder=any_recorder, secret_controller=keeper, checks=checks))
    async with running(Planner(chosen, operated[0])) as task:
        await eventually(lambda: recorder.reasons() == ["SecretsInvalid"])
        assert CLIENT in recorder.events[0][2]
        assert unmet(checks) == {"certificate and key", "plan", "server"}
        assert all(check.passed for check in checks.live())
        assert not task.done()


async def test_probes_are_served_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("nodez: []")
    chosen = dataclasses.replace(made(path), in_cluster=False, health_address=Address(LOOPBACK, 0))
    with pytest.raises(OperationError, match="cannot be used: "):
        async with operation(dataclasses.replace(chosen, health_address=Address("203.0.113.1", 1))):
            pass
    lines: list[str] = []
    async with operation(chosen) as operated, aiohttp.ClientSession() as session:
        waiting = dataclasses.replace(chosen, in_cluster=True)
        planner = Planner(waiting, Operation(waiting, checks=operated._checks))
        assert operated._checks is not None
        assert operated.address is not None
        port = operated.address.port
        async with running(planner):
            for probe, status in (("livez", 200), ("healthz", 200), ("readyz", 503)):
                async with session.get(f"http://{LOOPBACK}:{port}/{probe}") as answer:
                    assert answer.status == status
                    lines.append(await answer.text())
            path.write_text(PLAN)
            await eventually(lambda: planner.server.port != 0)
            async with session.get(f"http://{LOOPBACK}:{port}/readyz") as answer:
                assert answer.status == 200
            async with session.get(f"http://{LOOPBACK}:{port}/metrics") as answer:
                assert "moorage_planner_plan_valid 1.0" in await answer.text()
    assert "[-] plan: not yet" in lines[2]


async def test_files_that_do_not_belong_together_end_it_with_a_sentence(tmp_path: Path) -> None:
    one, other = authority("one"), authority("other")
    (tmp_path / "tls.crt").write_bytes(one.certificate)
    (tmp_path / "tls.key").write_bytes(other.key)
    (tmp_path / "plan.yaml").write_text(PLAN)
    chosen = made(tmp_path / "plan.yaml", tls_cert_file=tmp_path / "tls.crt", tls_key_file=tmp_path / "tls.key")
    with pytest.raises(OperationError, match="it is not the private key of"):
        Operation(chosen)


# --- settings ---


def test_the_environment_of_the_chart_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    monkeypatch.setattr(pod, "TOKEN", token)
    environ = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "MOORAGE_PLAN": "/etc/moorage/plan/plan.yaml",
        "MOORAGE_LISTEN": ":9443",
        "MOORAGE_NAMESPACE": "moorings",
        "MOORAGE_POD_NAME": "moorage-planner-1",
        "MOORAGE_TLS_SECRET": TLS,
        "MOORAGE_CLIENT_SECRET": CLIENT,
        "MOORAGE_HEALTH_ADDRESS": ":9091",
        "MOORAGE_OUTPUT": "json",
    }
    found = load(PlannerSettings, environ)
    assert found.in_cluster
    assert found.plan == Path("/etc/moorage/plan/plan.yaml")  # it need not be there yet
    assert "moorage-planner.moorings.svc" in found.tls_names
    named = load(PlannerSettings, {**environ, "MOORAGE_TLS_NAMES": "A.example, 10.0.0.7,FD00:0::7"})
    assert named.tls_names == ("a.example", "10.0.0.7", "fd00::7")
    with pytest.raises(SettingsError, match="both set"):
        load(PlannerSettings, {**environ, "MOORAGE_TLS_CERT_FILE": _pem(tmp_path), "MOORAGE_TLS_KEY_FILE": str(token)})
    with pytest.raises(SettingsError, match="neither a DNS name nor an IP address"):
        load(PlannerSettings, {**environ, "MOORAGE_TLS_NAMES": "a b"})
    without_secret = {key: value for key, value in environ.items() if key != "MOORAGE_CLIENT_SECRET"}
    with pytest.raises(SettingsError, match="anybody could ask"):
        load(PlannerSettings, without_secret)
    assert load(PlannerSettings, {**without_secret, "MOORAGE_API_KEY": "sesame-1234"}).api_key == Secret("sesame-1234")


def _pem(tmp_path: Path) -> str:
    path = tmp_path / "cert.pem"
    path.write_bytes(authority("a").certificate)
    return str(path)
