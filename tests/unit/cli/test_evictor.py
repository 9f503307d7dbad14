"""``moorage evictor --once`` and ``moorage explain``: output, exit codes, and errors for bad input."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.cli import evictor, looking, main
from moorage.evictor import kinds
from moorage.evictor.sources.command import COMMAND
from tests.examples import examples
from tests.unit.evictor.build import merged
from tests.unit.evictor.compaction.build import replica
from tests.unit.evictor.sources.dumps import CLUSTER, config_map, listed, written
from tests.unit.evictor.test_configuration import ENTRY, OTHER, resource

FAULT = "a fault of the program"


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("MOORAGE_", "KUBE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return written(tmp_path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments])
    said = capsys.readouterr()
    assert FAULT not in said.err
    return code, said.out, said.err


def file(folder: Path, content: Any, name: str = "rules.yaml") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


# --- what is seen ---


def test_a_table_of_what_could_go(dump: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "evictor", "--from", dump)
    assert code == 0
    assert out.startswith("1 of 2 nodes could go: ")
    assert err.startswith("note: none in the dump, so taken for none in the cluster: ")


def test_every_format(dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form, begin in (("wide", "1 of 2 nodes could go"), ("json", "{"), ("html", "<!DOCTYPE html>")):
        code, out, _ = run(capsys, "evictor", "--once", "--from", dump, "-o", form)
        assert code == 0
        assert out.startswith(begin)
        place = tmp_path / form
        code, nothing, _ = run(capsys, "evictor", "--from", dump, "-o", form, "--output-file", str(place))
        assert (code, nothing) == (0, "")
        assert place.read_text() == out


def test_what_cannot_be_seen_is_said_and_has_a_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = [each for each in CLUSTER if each["kind"] != "ReplicaSet"]
    code, out, _ = run(capsys, "evictor", "--from", written(tmp_path, *without))
    assert code == looking.NOT_ALL_SEEN
    assert "ReplicaSet could not be listed (none in the dump, and Pod shop/a belongs to ReplicaSet web-1)." in out
    odd = merged(replica("d", "n2"), {"spec": {"tolerations": 5}})
    code, out, _ = run(capsys, "evictor", "--from", written(tmp_path, *CLUSTER, odd))
    assert code == looking.NOT_ALL_SEEN
    assert "Not all of Pod shop/d can be read" in out


def test_explaining_a_node_and_a_pod(dump: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "explain", "node", "n1", "--from", dump)
    assert code == 0
    assert "Node n1 could go" in out
    code, out, _ = run(capsys, "explain", "pod", "shop/a", "--from", dump, "-o", "json")
    assert code == 0
    assert json.loads(out)["movesTo"] == "n2"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("node", "n3"), 1, "there is no node 'n3': "),
        (("pod", "web/a"), 1, "there is no pod 'web/a': did you mean shop/a?"),
        (("pod", "a"), 2, "pods are named with their namespace, like shop/a"),
    ],
)
def test_names_that_nothing_has(
    dump: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    found, out, err = run(capsys, "explain", *arguments, "--from", dump)
    assert (found, out) == (code, "")
    assert err.splitlines()[-1].startswith(f"moorage explain: {sentence}")


# --- rules and settings ---


def test_rules_and_prices_in_files(dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = {"podSelector": {"namespace": "shop"}, "settings": {"removalDisabled": True}}
    prices = {"prices": [{"instanceType": "m5.large", "pricePerHour": 1}]}
    for rules in (
        [keep],
        {"evictionRules": [keep]},
        config_map("x", "config.yaml", [keep]),
        resource(evictionRules=[keep]),
    ):
        code, out, _ = run(
            capsys,
            *("evictor", "--from", dump, "-o", "json", "--rules", file(tmp_path, rules)),
            *("--prices", file(tmp_path, prices, "prices.yaml")),
        )
        assert code == 0
        assert json.loads(out)["chosen"] == []


def test_rules_in_a_file_stand_in_for_those_of_the_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = {"podSelector": {"namespace": "shop"}, "settings": {"removalDisabled": True}}
    bad = config_map("castai-evictor-config", "config.yaml", {"a": 1})
    dump = written(tmp_path, *CLUSTER, bad, resource({"scopedMode": False}, evictionRules=[keep]))
    assert run(capsys, "evictor", "--from", dump)[0] == 2
    code, out, _ = run(capsys, "evictor", "--from", dump, "-o", "json", "--rules", file(tmp_path, []))
    assert code == 0
    assert [each["name"] for each in json.loads(out)["chosen"]] == ["n1"]


def test_settings_count_and_the_resource_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = written(
        tmp_path, *CLUSTER, resource({"scopedMode": True, "dryRun": False, "ignorePodDisruptionBudgets": True})
    )
    code, out, err = run(capsys, "evictor", "--from", dump, "-o", "json")
    assert code == 0
    assert json.loads(out)["chosen"] == []
    assert (
        "note: EvictorConfig evictor-config: spec.config.ignorePodDisruptionBudgets: accepted, without effect." in err
    )


CONTRADICTION = "settings: MOORAGE_MIN_TARGET_NODES_PER_CYCLE (--min-target-nodes-per-cycle): is 30, and"
TWICE = [{"instanceType": "a", "pricePerHour": 1}, {"instanceType": "a", "pricePerHour": 2}]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--target-node-percentage", "300"),
            "MOORAGE_TARGET_NODE_PERCENTAGE (--target-node-percentage): '300': write",
        ),
        (("--node-grace-period-minutes=-1",), "MOORAGE_NODE_GRACE_PERIOD_MINUTES (--node-grace-period-minutes): '-1'"),
        (("--cycle-interval", "0s"), "MOORAGE_CYCLE_INTERVAL (--cycle-interval): '0s': a duration is longer than 0"),
        (
            ("--cycle-interval", "500ms"),
            "settings: MOORAGE_CYCLE_INTERVAL (--cycle-interval): is too short, at least 1s",
        ),
        (("--min-target-nodes-per-cycle", "30"), CONTRADICTION),
        (("--rules", "/no/such/file"), "/no/such/file: cannot be read: No such file or directory"),
        (("--output-file", "/no/such/folder/a"), "--output-file: there is no folder /no/such/folder"),
        (("--output-file", "/"), "--output-file: / is a folder; name a file"),
    ],
)
def test_wrong_settings_are_named(
    dump: str, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], sentence: str
) -> None:
    code, out, err = run(capsys, "evictor", "--from", dump, *flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"moorage evictor: {sentence}")


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([{**ENTRY, **OTHER}], "rules.yaml, line 1: [0]: exactly one of podSelector, nodeSelector says what"),
        (
            [{"settings": {"disposable": True}}],
            "rules.yaml, line 1: [0]: exactly one of podSelector, nodeSelector says",
        ),
        ("a: [", "rules.yaml, line 1: not YAML: "),
        (
            [
                {
                    "podSelector": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
                    "settings": {},
                }
            ],
            "rules.yaml, line 1: [0].podSelector.labelSelector.matchExpressions[0].operator: 'Like' is none of In,",
        ),
        ({"prices": []}, "rules.yaml, line 1: prices: unknown field 'prices'; known here: evictionConfig"),
        (
            {"kind": "ConfigMap", "data": {"config.yml": ""}},
            "rules.yaml: data: config.yaml is missing; there is config.yml",
        ),
        (
            resource({"targetNodePercentage": 300}),
            "rules.yaml: spec.config.targetNodePercentage: is too large, at most",
        ),
        (resource({"cycleInterval": "0s"}), "rules.yaml: spec.config.cycleInterval: '0s' does not look like 30s, 10m"),
        (resource({"nodeGracePeriodMinutes": -5}), "rules.yaml: spec.config.nodeGracePeriodMinutes: -5 is too small"),
        (resource({"minTargetNodesPerCycle": 30}), "rules.yaml: spec.config.minTargetNodesPerCycle: is 30, and max"),
        (
            resource({"agressiveMode": True}),
            "rules.yaml: spec.config.agressiveMode: unknown field 'agressiveMode'; did",
        ),
    ],
)
def test_wrong_rules_are_named_with_their_path(
    dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: Any, sentence: str
) -> None:
    for command in (("evictor",), ("explain", "node", "n1")):
        code, out, err = run(capsys, *command, "--from", dump, "--rules", file(tmp_path, rules))
        assert (code, out) == (2, "")
        assert f"moorage {command[0]}: {tmp_path}/{sentence}" in err


def test_wrong_prices_are_named_with_their_path(dump: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "evictor", "--from", dump, "--prices", file(tmp_path, {"prices": TWICE}, "prices.yaml"))
    assert code == 2
    assert f"{tmp_path}/prices.yaml, line 1: prices[1].pricePerHour: contradicts prices[0]" in err


def test_wrong_configuration_in_the_dump_is_named_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = config_map("castai-evictor-config", "config.yaml", {"evictionConfig": [{}]})
    code, _, err = run(capsys, "evictor", "--from", written(tmp_path, *CLUSTER, bad, resource(managementMode="saas")))
    assert code == 2
    assert "ConfigMap castai-agent/castai-evictor-config, line 1: evictionConfig[0]: settings is missing" in err
    assert "EvictorConfig evictor-config: spec.managementMode: 'saas' is none of castai, self-managed" in err


# --- usage ---


def test_what_is_for_a_single_look_needs_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "evictor", "-o", "json", "--rules", "x")
    assert code == 2
    assert err == "moorage evictor: -o, --rules: only for a single report: add --once, or --from FILE\n"


def test_a_page_is_nothing_for_a_terminal(
    dump: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["evictor", "--from", dump, "-o", "html"]) == 2
    assert screen.getvalue() == ""
    assert "add --output-file report.html" in capsys.readouterr().err


def test_at_a_terminal_it_is_said_what_goes_on_and_colours_are_shown(
    dump: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["evictor", "--from", dump]) == 0
    assert f"\r\x1b[Kreading {dump} …" in errors.getvalue()
    assert "\x1b[1m" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    screen.truncate(0)
    assert main(["evictor", "--from", dump]) == 0
    assert "\x1b[1m" not in screen.getvalue()


def test_a_place_that_cannot_be_written(dump: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "evictor", "--from", dump, "--output-file", "/proc/version")
    assert code == 1
    assert "/proc/version cannot be written: " in err


def test_an_unusable_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("evictor",), ("explain", "node", "n1")):
        code, out, err = run(capsys, *command, "--from", file(tmp_path, "", "cluster.json"))
        assert (code, out) == (1, "")
        assert f"moorage {command[0]}: {tmp_path}/cluster.json: is empty. Write it anew: kubectl get nodes,pods" in err


def test_a_cluster_that_cannot_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    code, out, err = run(capsys, "evictor", "--once", "--kubeconfig", file(tmp_path, config, "kubeconfig"))
    assert (code, out) == (1, "")
    assert err.startswith("moorage evictor: ")
    assert "127.0.0.1:1" in err
    code, _, err = run(capsys, "evictor", "--once", "--kubeconfig", file(tmp_path, {}, "kubeconfig"))
    assert code == 1
    assert err.startswith("moorage evictor: ")


def test_ctrl_c(dump: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moorage.evictor.evaluation.evaluate", interrupted)
    assert run(capsys, "evictor", "--from", dump) == (130, "", "interrupted\n")


# --- whatever a dump holds ---

FIELDS = st.sampled_from(
    ["name", "namespace", "uid", "kind", "apiVersion", "labels", "a", "cpu", "key", "operator", "values", "controller"]
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(
        [
            "",
            "a",
            "1",
            "-1",
            "1e400",
            "9" * 400,
            "2026-01-01T12:00:00Z",
            "9999-99-99T99:99:99Z",
            "0",
            "Exists",
            "\x1b[2J",
            "\ud800",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = [
    *CLUSTER,
    *(
        {"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {}}
        for kind, version in (
            ("PodDisruptionBudget", "policy/v1"),
            ("Deployment", "apps/v1"),
            ("Job", "batch/v1"),
            ("PersistentVolumeClaim", "v1"),
        )
    ),
    {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d"}}},
    {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n1"}, "spec": {"drivers": None}},
    resource({"scopedMode": False}),
    config_map("castai-evictor-config", "config.yaml", [ENTRY]),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value is."""
    found = [path]
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(inner, (*path, key))
    return found


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The same with something else in one place."""
    if not path:
        return odd
    key, *rest = path
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = put(value[key], tuple(rest), odd)
    return changed


WHOLE = listed(*OBJECTS)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)), ODD), min_size=1, max_size=4))
def test_whatever_a_dump_holds_there_is_a_report_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    content: Any = WHOLE
    for path, odd in changes:
        if path in places(content):
            content = put(content, path, odd)
    dump = file(tmp_path, json.dumps(content), "odd.json")
    code, out, err = run(capsys, "evictor", "--from", dump, "-o", "json")
    assert code in (0, 1, 2, 3)
    assert "Traceback" not in err
    if code in (0, 3):
        json.loads(out)
        for form in ("table", "wide", "html"):
            assert run(capsys, "evictor", "--from", dump, "-o", form)[0] == code
        for command in (("node", "n1"), ("pod", "shop/a")):
            assert run(capsys, "explain", *command, "--from", dump)[0] in (1, code)
    else:
        assert (out, err[:17]) == ("", "moorage evictor: ")


def test_the_guide_has_the_command_the_rights_and_the_exit_codes() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/evictor-report.md").read_text()
    assert f"\n{COMMAND}\n" in guide
    (role,) = re.findall(r"```yaml\n(kind: ClusterRole\n.*?)```", guide, flags=re.DOTALL)
    may = {
        (verb, group, resource)
        for rule in yaml.safe_load(role)["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    listed = {("list", each.group_version.rpartition("/")[0], each.plural) for each in kinds.KINDS}
    read = {("get", "", "configmaps"), ("get", "autoscaling.cast.ai", "evictorconfigs")}
    assert may == listed | read
    codes = re.findall(r"^\| (\d+) \|", guide, flags=re.MULTILINE)
    assert codes == re.findall(r"^  (\d+) ", evictor.EXIT_CODES, flags=re.MULTILINE)
