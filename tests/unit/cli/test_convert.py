"""`moorage convert`: values of the closed product's charts become values of the chart moorage."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.cli import main
from moorage.files import values as files
from moorage.files.yamlfile import Document

EVICTOR, PINNER, PLANNER = "castai-evictor", "castai-pod-pinner", "moorage-planner"
UMBRELLA = {
    "global": {
        "castai": {"apiKeySecretRef": "my-credentials", "apiURL": "https://api.cast.ai", "provider": "eks"},
        "registry": "us-docker.pkg.dev/castai-hub",
        "imagePullSecrets": [{"name": "registry"}],
        "theirs": 1,
    },
    "tags": {"full": True},
    "autoscaler": {
        "castai-agent": {"replicaCount": 2},
        EVICTOR: {
            "enabled": True,
            "replicaCount": 0,
            "dryRun": False,
            "managedByCASTAI": True,
            "apiKeySecretRef": "my-credentials",
            "clusterVPA": {"enabled": True},
            "resources": {"requests": {"memory": "256Mi"}},
        },
        PINNER: {
            "replicaCount": 2,
            "image": {"repository": "us-docker.pkg.dev/castai-hub/library/pod-pinner", "tag": "v1.4.2"},
            "castai": {"grpcURL": "grpc.cast.ai:443", "apiKeySecretRef": "my-credentials"},
        },
    },
}


def run(capsys: pytest.CaptureFixture[str], folder: Path, content: Any, *further: str) -> tuple[int, Any, list[str]]:
    """The exit code, the values, and each line besides without the file's name."""
    file = folder / "closed.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    code = main(["convert", "values", str(file), *further])
    written = capsys.readouterr()
    return code, yaml.safe_load(written.out), [each.removeprefix(f"{file}:") for each in written.err.splitlines()]


def test_a_closed_umbrella(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, made, said = run(capsys, tmp_path, UMBRELLA)
    assert code == 0
    assert made == {
        "global": {"imagePullSecrets": [{"name": "registry"}]},
        EVICTOR: {"enabled": True, "dryRun": False, "resources": {"requests": {"memory": "256Mi"}}},
        PINNER: {"replicas": 2},
    }
    left_out = [each.partition(": ")[2].partition(":")[0] for each in said if each.endswith(" (left out)")]
    assert left_out == [
        *(f"global.castai.{key}" for key in ("apiKeySecretRef", "apiURL", "provider")),
        *("global.registry", "global.theirs", "tags", "autoscaler.castai-agent"),
        *(
            f"autoscaler.{EVICTOR}.{key}"
            for key in ("replicaCount", "managedByCASTAI", "apiKeySecretRef", "clusterVPA")
        ),
        *(f"autoscaler.{PINNER}.image.{key}" for key in ("repository", "tag")),
        *(f"autoscaler.{PINNER}.castai.{key}" for key in ("grpcURL", "apiKeySecretRef")),
    ]
    (remark,) = (each for each in said if not each.endswith(" (left out)"))
    assert f"autoscaler.{EVICTOR}.dryRun: false: the evictor acts as soon as this is installed" in remark


def test_what_comes_out_is_right_and_says_nothing_in_vain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, made, _ = run(capsys, tmp_path, UMBRELLA)
    shared = made.pop("global")
    for chart, found in made.items():
        found.pop("enabled", None)
        document = Document({**found, "global": shared}, {})
        assert files.mistakes(chart, document) == []
        assert list(files.notes(chart, document)) == []
    code, again, said = run(capsys, tmp_path, {"global": shared, **made})
    assert (code, again) == (0, {"global": shared, **made}), "converted again it stays the same"
    assert not [each for each in said if each.endswith(" (left out)")]


def test_the_address_of_a_planner_of_ones_own_is_kept_for_all(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    theirs = {"grpcURL": "planner.mine:9443", "apiKeySecretRef": "my-credentials", "apiKey": "k"}
    code, made, said = run(capsys, tmp_path, {"global": {"castai": theirs}, PINNER: {"replicas": 2}})
    assert (code, made) == (0, {"global": {"castai": {"grpcURL": "planner.mine:9443"}}, PINNER: {"replicas": 2}})
    assert said == [
        "4:5: global.castai.apiKeySecretRef: is the closed product's key; pod pinners find that of the planner by "
        "themselves (left out)",
        "5:5: global.castai.apiKey: no part of Moorage makes use of it (left out)",
    ]
    assert run(capsys, tmp_path, made) == (0, made, [])


def test_values_of_one_chart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, made, said = run(capsys, tmp_path, {"aggressiveMode": True, "global": {"commonLabels": {"a": "b"}}})
    assert (code, made) == (0, {EVICTOR: {"aggressiveMode": True}, "global": {"commonLabels": {"a": "b"}}})
    assert f"the chart moorage installs {PINNER} and {PLANNER}, too" in said[0]
    assert "dryRun is not set: the closed chart evicts then, this one only says what it would do" in said[1]
    assert run(capsys, tmp_path, {"replicas": 3}, "--chart", PINNER)[1] == {PINNER: {"replicas": 3}}


def test_what_cannot_be_converted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, made, said = run(capsys, tmp_path, {"replicaCount": 1})
    assert (code, made) == (2, None)
    assert "its keys do not show which chart they are for; add --chart" in said[0]
    code, made, said = run(capsys, tmp_path, {EVICTOR: {"dryrun": False}})
    assert (code, made) == (1, None)
    assert f"{EVICTOR}.dryrun: unknown field 'dryrun'; did you mean dryRun?" in said[0]
    assert main(["convert", "values", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_file_of_another_tool_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    release = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "spec": {"values": {"dryRun": True}}}
    code, made, said = run(capsys, tmp_path, release, "--chart", EVICTOR)
    assert (code, made) == (2, None)
    assert said[0].endswith("is a HelmRelease of Flux: give the values in it alone, in a file of their own")
    code, made, said = run(capsys, tmp_path, ["a"])
    assert (code, made) == (1, None)
    assert said[0].endswith("1:1: is not a map; values are a map of keys")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"autoscaler": {EVICTOR: {"dryRun": True}}, EVICTOR: {"dryRun": False}},
            f"{EVICTOR}: is there twice, first as autoscaler.{EVICTOR}; keep one of them",
        ),
        ({EVICTOR: False, PINNER: {"replicas": 1}}, f"{EVICTOR}: is not a map"),
        ({"global": [1], PINNER: {"replicas": 1}}, "global: is not a map"),
        ({"global": {"labels": ""}, PINNER: {"replicas": 1}}, "global.labels: '' is not a map"),
    ],
)
def test_what_is_there_twice_or_is_no_map_is_not_converted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Any, words: str
) -> None:
    code, made, said = run(capsys, tmp_path, content)
    assert (code, made) == (1, None)
    assert words in said[0]


def test_nothing_is_lost_without_a_word(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    content = {
        PINNER: {"global": {"registry": "a"}},
        EVICTOR: {"global": {"registry": "b"}, "dryRun": None},
        "global": None,
    }
    code, made, said = run(capsys, tmp_path, content)
    assert (code, made) == (0, {"global": {"registry": "a"}, EVICTOR: {"dryRun": None}})
    assert f"{EVICTOR}.global.registry: is another one than that of all parts or of the part before, which" in said[0]
    assert f"{EVICTOR}: dryRun is not set: the closed chart evicts then" in said[1]
    assert len(said) == 2


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = "evictionConfig:\n- podSelector: {kind: Job}\n  settings: {aggressive: {enabled: true}}\n"
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({EVICTOR: {"customConfig": rules}}))
    assert main(["convert", "values", str(file)]) == 0
    made = capsys.readouterr().out
    assert yaml.safe_load(made)[EVICTOR]["customConfig"] == rules
    assert "    - podSelector: {kind: Job}\n" in made


def test_from_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"castai-pod-pinner: {replicas: 3}")))
    assert main(["convert", "values", "-"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {PINNER: {"replicas": 3}}


def test_what_helm_get_values_writes_is_taken_and_terraform_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("USER-SUPPLIED VALUES:\naggressiveMode: true\n")
    assert main(["convert", "values", str(file)]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"castai-evictor": {"aggressiveMode": True}}
    file.write_text('set {\n  name = "dryRun"\n  value = "false"\n}\n')
    assert main(["convert", "values", str(file)]) == 2
    assert "is in Terraform's language, not YAML" in capsys.readouterr().err
