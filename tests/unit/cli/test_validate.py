"""`moorage validate`: every mistake with its location and the way out, and an answer for every file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.cli import main
from tests.unit.schemas.bad_values import merged, some

PINNER = ("values", "--chart", "castai-pod-pinner")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "values.yaml"


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], str]:
    code = main(["validate", *map(str, arguments)])
    written = capsys.readouterr()
    return code, written.out.splitlines(), written.err


def lines(capsys: pytest.CaptureFixture[str], file: Path, text: str | bytes, *kind: str) -> list[str]:
    """The mistakes of a file, without its name."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, said, error = run(capsys, *(kind or PINNER), file)
    assert code == 1, said
    assert error == ""
    assert all(line.startswith(f"{file}:") for line in said)
    return [line.removeprefix(f"{file}:") for line in said]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("replicas: -1", "1:1: replicas: -1 is too small, at least 0"),
        ("replicas: '2'", "1:1: replicas: '2' is not a whole number; in quotes it is a text: write it without"),
        ("replica: 2", "1:1: replica: unknown field 'replica'; did you mean replicas?"),
        ("castai:\n  grpcUrl: a:1", "2:3: castai.grpcUrl: unknown field 'grpcUrl'; did you mean grpcURL?"),
        ("grpcURL: a:1", "1:1: grpcURL: unknown field 'grpcURL'; did you mean castai.grpcURL?"),
        (
            "apiKeySecretRef: a",
            "1:1: apiKeySecretRef: unknown field 'apiKeySecretRef'; "
            "did you mean planner.apiKeySecretRef or castai.apiKeySecretRef?",
        ),
        ("zzz: a", "1:1: zzz: unknown field 'zzz'; nothing here has a name like that"),
        ("log: {color: red}", "1:7: log.color: unknown field 'color'; known here: format, level"),
        ("log: {level: inf}", "1:7: log.level: 'inf' is none of debug, info, warning, error"),
        ("dryRun: 'true'", "1:1: dryRun: 'true' is not true or false; in quotes it is a text: write it without"),
        ("managedByCASTAI: maybe", "1:1: managedByCASTAI: 'maybe' is none of true, false"),
        ("podLabels: {a: 1}", '1:13: podLabels.a: 1 is not a text; write "1" in quotes'),
        ("podLabels: {a b: c}", "1:13: podLabels[\"a b\"]: 'a b' cannot be a name here; write example.com/team"),
        ("extraEnv:\n- value: x", "2:3: extraEnv[0]: name is missing"),
        ("tolerations: {}", "1:1: tolerations: {} is not a list"),
        ("castai: text", "1:1: castai: 'text' is not a map"),
        ("planner:\n  address: https://a", "2:3: planner.address: 'https://a' does not look like moorage-planner."),
        (
            "resources: {limits: {memory: 1XB}}",
            "1:22: resources.limits.memory: '1XB' does not look like 500m, 256Mi, 2",
        ),
        ("serviceMonitor: {interval: 30}", "1:18: serviceMonitor.interval: 30 does not look like 15s"),
        (
            "castai:\n  apiKey: a\n  apiKeySecretRef: b",
            "3:3: castai.apiKeySecretRef: contradicts castai.apiKey: keep one of them",
        ),
        (
            "castai:\n  clusterID: a\n  clusterIdSecretKeyRef: {name: b}",
            "3:27: castai.clusterIdSecretKeyRef.name: contradicts castai.clusterID: keep one of them",
        ),
        (
            "replicas: 0\nreplicaCount: 2",
            "2:1: replicaCount: is 2 and replicas is 0: they mean the same; keep one of them",
        ),
        (
            "planner: {address: 'a:1'}\ncastai: {grpcURL: 'b:1'}",
            "2:10: castai.grpcURL: is b:1 and planner.address is a:1: they mean the same; keep one of them",
        ),
        ("replicas: 1\nlog: {}\nreplicas: 2", "3:1: replicas: 'replicas' is there twice, first in line 1"),
        ("replicas: 1\n---\nreplicas: 2", "3:1: another document begins here; only the first of a file is read"),
        ("- a", '1:1: ["a"] is not a map'),
        ("text", "1:1: 'text' is not a map"),
        ("replicas: [", "1:12: not YAML: while parsing a flow node"),
        ("replicas: .nan", "1:11: replicas: '.nan' is not a number"),
        (b"log:\n  level: \xff", "2:1: is not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "1:1: not text: the character #x007f is not allowed"),
        (b"a: b\nc: \x00", "2:4: not text: the character #x0000 is not allowed"),
        (
            "a: !!python/object:os.system x",
            "1:4: a: the tag tag:yaml.org,2002:python/object:os.system is not supported",
        ),
        ("<<: [a]", "1:6: '<<' takes a map, or a list of maps"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    capsys: pytest.CaptureFixture[str], file: Path, text: str | bytes, line: str
) -> None:
    found = lines(capsys, file, text)
    assert any(each.startswith(line) for each in found), found


def test_all_mistakes_are_said_in_their_order(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    found = lines(capsys, file, "log: {level: a, format: b}\nreplicas: -1\nzzz: 1\n")
    assert [each[:5] for each in found] == ["1:7: ", "1:17:", "2:1: ", "3:1: "]


def test_a_right_file(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("castai: {grpcURL: 'grpc.cast.ai:443', apiURL: x}\nx-y: &a {level: debug}\n".replace("x-y", "log"))
    code, said, error = run(capsys, "values", file)
    assert (code, error) == (0, "")
    assert said == [
        f"{file}: right, as values of castai-pod-pinner",
        f"{file}:1:10: castai.grpcURL: 'grpc.cast.ai:443' is the closed product's, and counts as not set "
        "(not a mistake)",
        f"{file}:1:39: castai.apiURL: accepted, without effect. "
        "Address of the closed product's API. Nothing is sent there. (not a mistake)",
    ]


def notes(capsys: pytest.CaptureFixture[str], file: Path, text: str, *kind: str) -> list[str]:
    """The notes about a valid file, without its name."""
    file.write_text(text)
    code, (right, *said), error = run(capsys, *(kind or PINNER), file)
    assert (code, error) == (0, "")
    assert right.startswith(f"{file}: right, as values of ")
    assert all(line.endswith(" (not a mistake)") for line in said)
    return [line.removeprefix(f"{file}:").removesuffix(" (not a mistake)") for line in said]


@pytest.mark.parametrize("chart", ["castai-pod-pinner", "castai-evictor"])
@pytest.mark.parametrize("text", ["replicaCount: 0", "replicas: 0", "replicas: 0\nreplicaCount: 0", "replicaCount: 2"])
def test_that_nothing_runs_is_said_loudly(
    capsys: pytest.CaptureFixture[str], file: Path, text: str, chart: str
) -> None:
    said = notes(capsys, file, text, "values", "--chart", chart)
    assert len(said) == text.count(" 0")
    for line in said:
        assert " means that NOTHING RUNS, and nobody scales it up later" in line
        assert ("the chart refuses it until replicas is 0 too" in line) == ("replicaCount" in line)


def test_other_names_and_charts_that_run_nothing(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert "1:1: deploy: false means that NOTHING RUNS" in notes(capsys, file, "deploy: false")[0]
    assert notes(capsys, file, "deploy: true\nreplicas: 1") == []
    (said,) = notes(capsys, file, "replicas: 0", "values", "--chart", "moorage-planner")
    assert "without it 1 would run" in said


@pytest.mark.parametrize(
    ("image", "where"),
    [
        ("{tag: v1.4.2}", ["image.tag"]),
        ("{tag: v1.9.5-rc.1, repository: ''}", ["image.tag"]),
        ("{tag: v1.4.2, repository: ghcr.io/moorage/moorage}", ["image.tag"]),
        ("{tag: v1.4.2, repository: registry.example.com/moorage}", []),
        ("{tag: 2.0.1}", []),
        ("{tag: version-2}", []),
        (f"{{digest: 'sha256:{'0' * 64}'}}", []),
        ("{repository: us-docker.pkg.dev/castai-hub/library/pod-pinner}", ["image.repository"]),
        ("{repository: mirror.example.com/castai/pod-pinner, tag: ''}", ["image.repository"]),
        ("{repository: mirror.example.com/castai/moorage, tag: v1}", []),
        ("{repository: x/castai-hub/y, tag: mine}", ["image.repository", "image.tag"]),
        (f"{{repository: x/castai-hub/y, digest: 'sha256:{'0' * 64}'}}", ["image.repository", "image.digest"]),
    ],
)
def test_images_of_the_closed_product_count_as_not_set(
    capsys: pytest.CaptureFixture[str], file: Path, image: str, where: list[str]
) -> None:
    said = notes(capsys, file, f"image: {image}")
    assert [line.split(": ")[1] for line in said] == where
    assert all("counts as not set" in line for line in said)


def test_a_registry_of_the_closed_product_counts_as_not_set(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    for registry, count in (("us-docker.pkg.dev/castai-hub/library", 1), ("registry.example.com/castai", 0)):
        assert len(notes(capsys, file, f"global: {{registry: {registry}}}")) == count


CLOSED_KEYS = {
    "castai.apiKey": "castai: {apiKey: abc}",
    "castai.apiKeySecretRef": "castai: {apiKeySecretRef: mine}",
    "global.castai.apiKeySecretRef": "global: {castai: {apiKeySecretRef: mine}}",
    "planner.apiKeySecretRef.name": "planner: {apiKeySecretRef: {name: castai-cluster-controller}}",
}


@pytest.mark.parametrize("key", CLOSED_KEYS)
def test_a_key_of_the_closed_product(capsys: pytest.CaptureFixture[str], file: Path, key: str) -> None:
    text = CLOSED_KEYS[key]
    (said,) = notes(capsys, file, text)
    assert f"{key}: was made for the closed product, and planners are shown it; a fresh one is better" in said

    def beside(more: str) -> str:
        return yaml.safe_dump(merged(yaml.safe_load(text), yaml.safe_load(more)))

    for address in ("planner: {address: 'p.example.com:443'}", "global: {castai: {grpcURL: '10.0.0.1:443'}}"):
        (said,) = lines(capsys, file, beside(address))
        assert f"{key}: a key that was made for the closed product is not shown to" in said
        assert "planner.allowClosedKey: true" in said
    for right in (
        "planner: {address: 'p.example.com:443', allowClosedKey: true}",
        "planner: {address: 'moorage-planner.castai-agent.svc:9443'}",
        "castai: {grpcURL: 'grpc.cast.ai:443'}",
    ):
        assert any("a fresh one is better" in line for line in notes(capsys, file, beside(right)))


def test_a_key_of_its_own_goes_to_any_planner(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    own = "planner: {address: 'p.example.com:443', apiKeySecretRef: {name: planner-key}}"
    assert notes(capsys, file, own) == []
    assert notes(capsys, file, f"{own}\nglobal: {{castai: {{apiKeySecretRef: theirs}}}}") == []


WRAPPER = "castai-pod-pinner:\n  replicas: 2\n  castai: {apiURL: x}\nother: {a: b}\n"
UMBRELLA = "tags: {full: true}\nautoscaler:\n  castai-evictor: {replicas: 2}\n  castai-pod-pinner: {replicas: 3}\n"


def test_values_below_the_name_of_a_dependency_are_looked_at(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    (said,) = notes(capsys, file, WRAPPER, "values")
    assert said.startswith("3:12: castai-pod-pinner.castai.apiURL: accepted, without effect.")
    assert len(notes(capsys, file, UMBRELLA, "values")) == 1, "that moorage convert knows it"
    first = run(capsys, "values", file)[1][0]
    assert first.endswith(
        "values of castai-evictor (below autoscaler.castai-evictor), "
        "castai-pod-pinner (below autoscaler.castai-pod-pinner)"
    )
    found = lines(capsys, file, UMBRELLA.replace("replicas: 3", "replica: 3"), "values")
    assert found == [
        "4:23: autoscaler.castai-pod-pinner.replica: unknown field 'replica'; did you mean replicas?",
    ]
    (plan,) = lines(capsys, file, "moorage-planner: {plan: {delete: [Nope]}}", "values")
    assert plan.startswith("1:35: moorage-planner.plan.delete[0]: 'Nope' is not made of")


@pytest.mark.parametrize(("text", "key"), [(WRAPPER, "castai-pod-pinner"), (UMBRELLA, "autoscaler")])
def test_whoever_names_the_chart_is_told_what_such_a_file_is(
    capsys: pytest.CaptureFixture[str], file: Path, text: str, key: str
) -> None:
    (said,) = [line for line in lines(capsys, file, text) if f": {key}: " in line]
    assert "as a dependency. Without --chart, the values below" in said


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "{}", "global: &g {commonLabels: {a: b}}\nplanner: {}\n---\n"]
)
def test_files_that_change_nothing_are_right(capsys: pytest.CaptureFixture[str], file: Path, text: str) -> None:
    file.write_text(text)
    assert run(capsys, *PINNER, file)[0] == 0


def test_anchors_and_merges_mean_what_helm_makes_of_them(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    text = "livenessProbe: &probe {periodSeconds: 5}\nreadinessProbe:\n  <<: *probe\n  timeoutSeconds: 1\n"
    file.write_text(text)
    assert run(capsys, *PINNER, file)[0] == 0
    found = lines(capsys, file, text.replace("5", "0"))
    assert [each.partition(": ")[0] for each in found] == ["1:24", "1:24"]
    assert found[1].startswith("1:24: readinessProbe.periodSeconds: 0 is too small")
    # What stands in the map itself wins over what is merged into it, of several maps the first.
    file.write_text(
        "log: {<<: [{level: debug}, {level: nonsense}], format: text}\ncastai: {<<: {apiKey: 7}, apiKey: a}\n"
    )
    assert run(capsys, *PINNER, file)[0] == 0


@pytest.mark.parametrize(
    ("text", "chart"),
    [
        ("castai: {}", "castai-pod-pinner"),
        ("castia: {}\nplanner: {}", "castai-pod-pinner"),
        ("plan: {}", "moorage-planner"),
        ("aggressiveMode: true", "castai-evictor"),
        ("planner: {}\naggressiveMode: true", None),
        ("castai-evictor-ext: {enabled: false}", "castai-evictor"),
        ("castai-pod-pinner-ext: {}\nplan: {}", "moorage-planner"),
        ("replicas: 2", None),
    ],
)
def test_the_chart_is_told_by_its_own_keys(
    capsys: pytest.CaptureFixture[str], file: Path, text: str, chart: str | None
) -> None:
    file.write_text(text)
    code, said, error = run(capsys, "values", "-o", "json", file)
    (report,) = json.loads("\n".join(said))
    assert report["chart"] == chart
    if chart is None:
        assert (code, report["valid"], report["read"]) == (2, False, False)
        assert "add --chart castai-pod-pinner|moorage-planner|castai-evictor" in error


def test_rules(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    text = """\
evictionConfig:
  - podSelector: {kind: Job}
    settings: {removalDisable: {enabled: true}}
  - podSelector: {kind: job}
    nodeSelector: {labelSelector: {matchLabels: {a: b}}}
    settings: {disposable: "yes"}
"""
    assert lines(capsys, file, text, "rules") == [
        "3:16: evictionConfig[0].settings.removalDisable: unknown field 'removalDisable'; "
        "did you mean removalDisabled?",
        "4:5: evictionConfig[1]: exactly one of podSelector, nodeSelector says what the rule is about",
        "4:19: evictionConfig[1].podSelector.kind: 'job' does not look like Job",
        "6:16: evictionConfig[1].settings.disposable: 'yes' is not true or false or a map",
    ]
    assert lines(capsys, file, "evictionConfig: []\nevictionRules: []", "rules") == [
        "2:1: evictionRules: contradicts evictionConfig: keep one of them"
    ]
    text = "customConfig: |\n  - podSelector: {kind: Job}\n    settings: {aggressive: 1}\n"
    assert lines(capsys, file, text, "values") == [
        "1:1: customConfig: in line 2 of the text: [0].settings.aggressive: 1 is not true or false or a map"
    ]


def test_rules_in_resources(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    text = """\
apiVersion: autoscaling.cast.ai/v1alpha1
kind: EvictorConfig
metadata: {name: evictor-config}
spec:
  config: {ignorePodDisruptionBudgets: true, cycleInterval: 1m}
"""
    file.write_text(text)
    code, said, error = run(capsys, "rules", file)
    assert (code, error, said[0]) == (0, "", f"{file}: right, as rules")
    assert said[1:] == [
        f"{file}:5:12: spec.config.ignorePodDisruptionBudgets: accepted, without effect. Pods are always "
        "evicted, and the API server refuses evictions that a PodDisruptionBudget does not allow. (not a mistake)"
    ]
    assert lines(capsys, file, text.replace("1m", "1 m"), "rules") == [
        "5:46: spec.config.cycleInterval: '1 m' does not look like 30s, 10m"
    ]
    text = (
        "kind: ConfigMap\ndata:\n  config.yaml: |\n    - podSelector: {kind: job}\n      settings: {aggressive: true}\n"
    )
    assert lines(capsys, file, text, "rules") == [
        "3:3: data[\"config.yaml\"]: in line 1 of the text: [0].podSelector.kind: 'job' does not look like Job"
    ]


def test_plans_alone_and_in_values(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    assert lines(capsys, file, "nodes:\n- name: n\n  existing: true\n  pods: [{namespace: a, count: 0}]", "plan") == [
        "4:10: nodes[0].pods[0]: exactly one of name, owner, labels says which pods",
        "4:25: nodes[0].pods[0].count: 0 is too small, at least 1",
    ]
    assert lines(capsys, file, "plan:\n  delete: [No_]\n", "values") == [
        "2:12: plan.delete[0]: 'No_' is not made of lower-case letters, digits and '-', in parts separated by '.'"
    ]
    assert lines(capsys, file, "plan: {delete: [node]}\nexistingConfigMap: a", "values") == [
        "2:1: existingConfigMap: contradicts plan: keep one of them"
    ]


def test_json(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("log: {level: inf}\nisTest: true\n")
    missing = file.with_name("missing.yaml")
    code, said, error = run(capsys, *PINNER, "-o", "json", file, missing)
    assert code == 2
    assert error == f"moorage validate: {missing}: cannot be read: No such file or directory\n"
    first, second = json.loads("\n".join(said))
    assert first == {
        "file": str(file),
        "kind": "values",
        "chart": "castai-pod-pinner",
        "valid": False,
        "read": True,
        "mistakes": [
            {
                "line": 1,
                "column": 7,
                "path": "log.level",
                "message": "log.level: 'inf' is none of debug, info, warning, error",
            }
        ],
        "notes": [],
    }
    assert (second["valid"], second["read"]) == (False, False)


def test_several_files_and_the_worst_code(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("replicas: 1\n")
    wrong = file.with_name("wrong.yaml")
    wrong.write_text("replicas: x\n")
    code, said, _ = run(capsys, *PINNER, file, wrong, file)
    assert code == 1
    assert [line.partition(":")[0] for line in said] == [str(file), str(wrong), str(file)]
    code, said, error = run(capsys, *PINNER, wrong, file.parent)
    assert code == 2
    assert len(said) == 1
    assert "Is a directory" in error


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"replicas: x")))
    assert run(capsys, *PINNER, "-")[:2] == (1, ["<stdin>:1:1: replicas: 'x' is not a whole number"])


def bomb() -> str:
    rows = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8))
    return f"a: &a [x, x, x, x, x, x, x, x, x, x]\n{rows}"


def chain(link: str) -> str:
    return "a0: &a0 {x: y}\n" + "".join(f"a{i + 1}: &a{i + 1} {link.format(i)}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("#" * (9 << 20), "too large, at most 1048576 bytes are read", id="9 MiB"),
        pytest.param(bomb(), "too large with its aliases", id="aliases"),
        pytest.param("a: &a [*a]", "too large with its aliases", id="endless alias"),
        pytest.param("a: &a\n  <<: *a\n", "too large with its aliases", id="endless merge"),
        pytest.param("[\n" * 5000, "nested too deeply", id="deep"),
        pytest.param("{a: " * 40 + "}" * 40, "nested too deeply", id="deep maps"),
        pytest.param(chain("[*a{}]"), "nested too deeply", id="deep aliases"),
        pytest.param(chain("{{<<: *a{}}}"), "nested too deeply", id="deep merges"),
        pytest.param("".join(f"k{i}: 1\n" for i in range(2000)), "more wrong than these 100 mistakes", id="many"),
        pytest.param("replicas: " + "9" * 10000, "is not a whole number", id="many digits"),
        pytest.param(f"podLabels: {{{'a' * 900}: b}}", "cannot be a name here", id="long name"),
        pytest.param(f"? x{'y' * 100000}\n: 1", "nothing here has a name like that", id="long key"),
    ],
)
@pytest.mark.parametrize("kind", [PINNER, ("rules",), ("plan",)], ids=["values", "rules", "plan"])
def test_files_that_are_too_much_have_an_answer(
    capsys: pytest.CaptureFixture[str], file: Path, text: str, sentence: str, kind: tuple[str, ...]
) -> None:
    found = lines(capsys, file, text, *kind)
    assert len(found) <= 101
    assert all(len(line) < 1500 for line in found)
    if kind is PINNER:
        assert any(sentence in line for line in found), found


@pytest.mark.parametrize("chart", ["castai-pod-pinner", "moorage-planner", "castai-evictor"])
def test_200_bad_files_are_refused_with_the_key_named(
    capsys: pytest.CaptureFixture[str], file: Path, chart: str
) -> None:
    for bad in some(chart, 200):
        found = lines(capsys, file, yaml.safe_dump(bad.values, allow_unicode=True), "values", "--chart", chart)
        assert any(bad.key in line for line in found), f"{bad.reason}: {found}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rules", "--chart", "castai-evictor", "x"], "--chart is for values, not for rules"),
        (["secrets", "x"], "invalid choice: 'secrets'"),
        (["values"], "the following arguments are required: FILE"),
        (["values", "--chart", "evictor", "x"], "invalid choice: 'evictor'"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    code, said, error = run(capsys, *arguments)
    assert (code, said) == (2, [])
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_as_a_process_from_a_pipe() -> None:
    command = [sys.executable, "-m", "moorage.cli", "validate", *PINNER, "-o", "json", "-"]
    done = subprocess.run(command, input=b"replicas: 1", capture_output=True, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert (done.returncode, done.stderr, found[0]["valid"], found[0]["file"]) == (0, b"", True, "<stdin>")
