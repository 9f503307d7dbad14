"""The parts of the pin benchmark that define its figures."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from moorage.planner import planfile
from moorage.protocol import Action, CreatePlaceholder, PinPods
from tools.bench.common import tables, world
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures
from tools.bench.common.world import Json
from tools.bench.pin import account, figures, issuer, picture, plan, scene
from tools.bench.pin.audit import AuditLog
from tools.bench.pin.contenders import percentile
from tools.bench.pin.figures import CEILING, CEILING_32, MOORAGE, SCHEDULER
from tools.bench.pin.installation import Checkout
from tools.bench.pin.programs import Program
from tools.bench.pin.scene import HOME
from tools.localcluster import ClusterHandle


def entry(second: float, kind: str = "create pods/binding", code: int = 201, stage: str = "ResponseComplete") -> bytes:
    """One line of an audit log: a request of 10 ms that was answered at that second."""
    verb, _, where = kind.partition(" ")
    resource, _, subresource = where.partition("/")
    fields = {
        "kind": "Event",
        "level": "Metadata",
        "stage": stage,
        "verb": verb,
        "objectRef": {"resource": resource, "namespace": "bench", "subresource": subresource},
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": f"2026-11-21T22:00:{second - 0.01:09.6f}Z",
        "stageTimestamp": f"2026-11-21T22:00:{second:09.6f}Z",
    }
    return json.dumps(fields).encode() + b"\n"


def round_of(per_s: float, **more: float) -> Figures:
    common = {"per_s": per_s, "cpu_s": 1.0, "peak_mib": 30.0, "writes_per_pod": 1.0, "server_cpu_s": 9.0}
    return common | {"others_cores": 0.1} | more


def rounds(ours: float = 500, scheduler: float = 150, **more: float) -> dict[str, list[Figures]]:
    """Three rounds on a machine that slows down, also within a round: Moorage is 10 % above and below."""
    steady = {"p50_ms": 10.0, "p99_ms": 50.0, "rss_mib": 100.0} | more
    measured: dict[str, list[Figures]] = {CEILING: [], CEILING_32: [round_of(620)], SCHEDULER: [], MOORAGE: []}
    for slow in (1, 0.5, 0.25):
        measured[CEILING] += [round_of(600 * slow * drift) for drift in (1.1, 0.9)]
        measured[MOORAGE] += [round_of(ours * slow * drift, **steady) for drift in (1.1, 0.9)]
        measured[SCHEDULER].append(round_of(scheduler * slow))
    return measured


# --- when pods were bound ---


def test_bindings_count_from_the_first_request_to_the_last_answer(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(entry(1))
    log = AuditLog(path)  # what was written before is another measurement's
    lines = [entry(3), entry(5, code=409), entry(4, "get pods", 200), entry(6), entry(4, stage="Panic")]
    lines += [entry(4, "update nodereservations", 200), entry(9, "create events")]
    path.write_bytes(path.read_bytes() + b"".join(lines) + entry(8)[:-20])  # the last line is still being written
    found = log.bindings()
    assert found.count == 2
    assert found.last - found.first == pytest.approx(3.01)
    assert found.writes == {"create pods/binding": 3, "update nodereservations": 1}, "the refused one is a request, too"


def test_a_line_that_is_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    whole = entry(3.0)
    path.write_bytes(entry(1.0) + whole[:30])
    log = AuditLog(path)
    with path.open("ab") as file:
        file.write(whole[30:] + entry(4.0)[:20])
    assert log.bindings().count == 1
    log.skip()
    assert log.bindings().count == 0


def test_no_bindings_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    assert AuditLog(path).bindings().count == 0


# --- figures ---


def test_what_is_compared_is_measured_side_by_side() -> None:
    once = list(zip(figures.ORDER, figures.ORDER[1:], strict=False))
    assert once.count((CEILING, MOORAGE)) + once.count((MOORAGE, CEILING)) == figures.ORDER.count(CEILING) == 2
    assert (MOORAGE, SCHEDULER) in once
    assert (SCHEDULER, MOORAGE) in once


def test_ratios_are_of_what_was_measured_side_by_side() -> None:
    found = figures.result(rounds(), {})
    assert (found["ceiling_per_s"], found["moorage_per_s"]) == (300, 250)
    assert found["ratio_ceiling"] == pytest.approx(0.833)
    assert found["ratio_scheduler"] == pytest.approx(3.333)


def test_the_file_has_the_names_it_was_promised_to_have() -> None:
    grown = {1000: {"cpu_us_per_pin": 900.0, "rss_mib": 80.0, "peak_mib": 90.0, "lag_ms": 8.0}}
    grown[30_000] = {"cpu_us_per_pin": 990.0, "rss_mib": 200.0, "peak_mib": 260.0, "lag_ms": 21.0}
    found = figures.result(rounds(), grown)
    promised = "ceiling_per_s kube_scheduler_per_s moorage_per_s ratio_ceiling ratio_scheduler p50_ms p99_ms rss_mib"
    assert set(promised.split()) | {"rss_mib_30k", "cpu_s"} <= set(found)
    assert (found["rss_mib_30k"], found["cost_growth"]) == (260, 1.1)
    assert found["rss_mib"] == 100, "Moorage's, not another's"


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        (rounds(ours=510), []),
        (rounds(ours=500), ["Moorage / ceiling: 0.833 instead of ≥ 0.85"]),
        (rounds(ours=510, scheduler=171), ["Moorage / kube-scheduler: 2.98 instead of ≥ 3"]),
        (rounds(ours=510, p99_ms=251), ["p99 at a steady rate, ms: 251 instead of ≤ 250"]),
        (rounds(ours=510, rss_mib=120.4), ["peak RSS, MiB: 120.4 instead of ≤ 120"]),
    ],
)
def test_each_target_is_missed_by_its_own_figure(measured: dict[str, list[Figures]], missed: list[str]) -> None:
    assert figures.missed(figures.result(measured, {})) == missed


def test_memory_and_cost_with_many_pods_are_targets_when_they_were_measured() -> None:
    grown = {1000: {"cpu_us_per_pin": 900.0, "rss_mib": 80.0, "peak_mib": 90.0, "lag_ms": 8.0}}
    grown[30_000] = {"cpu_us_per_pin": 1200.0, "rss_mib": 200.0, "peak_mib": 351.0, "lag_ms": 21.0}
    found = figures.result(rounds(ours=600), grown)
    assert [each.partition(":")[0] for each in figures.missed(found)] == [
        "peak RSS with 30,000 pods, MiB",
        "CPU per pin, largest / smallest cache",
    ]
    lines = {line[0]: line[1:] for line in figures.table(found)}
    assert lines["CPU per pin with 30,000 pods, µs"] == ("1,200", "", "")
    assert lines["Moorage / ceiling"] == ("1", "≥ 0.85", "met")


def test_percentiles_are_values_that_were_measured() -> None:
    ordered = [float(value) for value in range(1, 201)]
    assert [percentile(ordered, share) for share in (50, 99, 100)] == [100, 198, 200]
    assert percentile([7.0], 99) == 7


# --- what is measured on ---


def test_plans_are_plans_and_the_second_only_pins() -> None:
    targets = [scene.target(index, 3) for index in range(7)]
    promised = planfile.read("plan.yaml", json.dumps(plan.nodes(3)).encode())
    assert [node.name for node in promised.nodes] == [scene.node_name(index) for index in range(3)]
    assert all(node.promise is not None and not node.pods for node in promised.nodes)
    pinned = planfile.read("plan.yaml", json.dumps(plan.pins(targets)).encode())
    assert pinned.needs_cluster is None
    assert all(node.promise is None for node in pinned.nodes)
    named = {wanted.exact.uid: node.name for node in pinned.nodes for wanted in node.pods if wanted.exact is not None}
    assert named == {each.uid: each.node for each in targets}


def test_file_and_issuer_promise_the_same_nodes_and_pin_the_same_pods() -> None:
    targets = [scene.target(index, 3) for index in range(7)]
    promised = planfile.read("plan.yaml", json.dumps(plan.nodes(3)).encode())
    issued = [action.promise for action in issuer.placeholders(3) if isinstance(action, CreatePlaceholder)]
    assert [(p.name, p.allocatable, p.labels) for p in issued] == [
        (node.name, node.promise.allocatable, node.promise.labels) for node in promised.nodes if node.promise
    ]
    whole, single = issuer.pins(targets), issuer.single_pins(targets)
    assert (len(whole), len(single)) == (3, 7)
    assert set(refs(whole)) == set(refs(single))


def refs(actions: Iterable[Action]) -> Iterator[tuple[str, str]]:
    for action in actions:
        assert isinstance(action, PinPods)
        yield from ((action.node, pod.uid) for pod in action.pods)


def test_waiting_pods_have_no_node_and_no_wishes_that_cost_a_scheduler_time() -> None:
    pod = scene.plain_pod(3)
    assert not {"nodeName", "affinity", "topologySpreadConstraints", "schedulerName"} & set(pod["spec"])
    assert world.pod(3, 1)["spec"]["nodeName"], "the template itself stays as it was"
    owner, made = pod["metadata"]["ownerReferences"][0], scene.replica_set(pod)
    assert (owner["kind"], owner["name"]) == ("ReplicaSet", made["metadata"]["name"])
    assert made["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_nodes_for_the_scheduler_are_ready_and_as_promised() -> None:
    node, promised = scene.ready_node(scene.node_name(4), 4), scene.promise(4)
    assert {"type": "Ready", "status": "True"}.items() <= node["status"]["conditions"][-1].items()
    assert "taints" not in node["spec"]
    assert promised["labels"] == node["metadata"]["labels"]
    assert promised["allocatable"] == node["status"]["allocatable"]


class FakeCluster:
    """Records requests, and returns a token."""

    def __init__(self, folder: Path) -> None:
        self.server = "https://127.0.0.1:1"
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(b"the authority")
        self.api = self
        self.asked: dict[str, Json] = {}

    def request(self, method: str, path: str, body: Json) -> Json:
        assert method == "POST"
        self.asked[path] = body
        return {"status": {"token": "the token"}} if path.endswith("/token") else {}


def test_contenders_are_a_service_account_by_token_and_nothing_else(tmp_path: Path) -> None:
    cluster = FakeCluster(tmp_path)
    made = yaml.safe_load(account.kubeconfig(cast("ClusterHandle", cluster), tmp_path).read_text())
    assert [each["user"] for each in made["users"]] == [{"token": "the token"}], "no certificate, which costs more"
    name, token = (each for each in cluster.asked if "/serviceaccounts" in each)
    assert token == f"{name}/{account.NAME}/token"
    assert cluster.asked[token] == {"spec": {"expirationSeconds": 6 * 3600}}
    (grant,) = (body for path, body in cluster.asked.items() if path.endswith("/clusterrolebindings"))
    assert grant["subjects"] == [{"kind": "ServiceAccount", "name": account.NAME, "namespace": HOME}]


# --- what is measured ---


def moorage(*arguments: str, folder: Path) -> Program:
    return Program("moorage", lambda log: Checkout().spawn(arguments, log), folder)


def test_a_program_of_this_checkout_is_read_line_by_line(tmp_path: Path) -> None:
    with moorage("version", "--output=json", folder=tmp_path) as program:
        asyncio.run(program.until(lambda line: line["python"] in Checkout().title, "its version", 60))


def test_a_program_that_fails_ends_the_benchmark_with_its_last_words(tmp_path: Path) -> None:
    said = pytest.raises(BenchError, match=r"moorage ended with exit code 2: .*none\.yaml")
    with moorage("planner", "--plan=none.yaml", folder=tmp_path) as program, said:
        asyncio.run(program.until(lambda _line: False, "a miracle", 60))


# --- the picture ---


def test_a_table_that_goes_to_a_file_has_all_of_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    widest = {"burst_planner_cpu_us_per_pin": 52.0, "burst_cpu_us_per_pin": 12_345.0}
    lines = figures.table(figures.result(rounds(), {}) | widest)
    assert any(line[-1] == tables.MISSED for line in lines)
    tables.show("2 cores", ("", "figure", "target", ""), lines)
    shown = capsys.readouterr().out.splitlines()
    for line in lines:
        assert any(all(cell in text for cell in line) for text in shown)


def test_the_picture_is_well_formed_and_shows_what_needs_no_explanation_moorage_first() -> None:
    found = picture.drawn(picture.recorded(rounds(), "2 cores & <busy>"))
    root = ET.fromstring(found)  # noqa: S314 - our own text
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = [text for text in texts if text in ("Moorage", "kube-scheduler", "API server's limit")]
    assert titles == ["Moorage", "kube-scheduler", "API server's limit"]
    assert {"2 cores & <busy>", "250", "300", "median of the rounds", "one round"} <= set(texts)
    assert not any("in flight" in text for text in texts)
    (title,) = root.iter("{http://www.w3.org/2000/svg}title")
    assert "Moorage 250" in (title.text or "")
    bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if "height" in each.attrib][1:-1]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[2] / widths[0] == pytest.approx(300 / 250, rel=0.01)
    shown = sum(len(each) for name, each in rounds().items() if name != figures.CEILING_32)
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == shown + 1, "and one in the legend"
