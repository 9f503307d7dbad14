"""`moorage validate` and files as people have them: of other tools, in other spellings, from kubectl."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.cli import main
from moorage.files.opposites import are_opposite

EVICTOR, PINNER = "castai-evictor", "castai-pod-pinner"


def said(capsys: pytest.CaptureFixture[str], folder: Path, content: Any, *kind: str) -> tuple[int, list[str]]:
    """The exit code, and each line without the file's name."""
    file = folder / "file.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    code = main(["validate", *(kind or ("values",)), str(file)])
    written = capsys.readouterr()
    return code, [line.removeprefix(f"{file}:") for line in (written.out + written.err).splitlines()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "tolerations:\n- {key: a, operator: Exist}",
            "2:12: tolerations[0].operator: 'Exist' is none of Exists, Equal, Lt, Gt",
        ),
        (
            "tolerations:\n- {key: a, operater: Exists}",
            "2:12: tolerations[0].operater: unknown field 'operater'; did you mean operator?",
        ),
        (
            "tolerations: [{key: a, operator: Exists, value: b}]",
            "1:42: tolerations[0].value: contradicts operator: Exists takes no value",
        ),
        (
            "tolerations: [{key: a, value: true}]",
            '1:24: tolerations[0].value: true is not a text; write "true" in quotes',
        ),
        (
            "securityContext: {runAsNonRoot: 'true'}",
            "1:19: securityContext.runAsNonRoot: 'true' is not true or false; in quotes it is a text: write it without",
        ),
        (
            "affinity:\n podAntiAffinity:\n  requiredDuringSchedulingIgnoredDuringExecution:\n  - labelSelector: {}",
            "4:5: affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]: topologyKey is missing",
        ),
        (
            "affinity: {nodeAfinity: {}}",
            "1:12: affinity.nodeAfinity: unknown field 'nodeAfinity'; did you mean nodeAffinity?",
        ),
    ],
)
def test_types_of_kubernetes_are_judged_field_by_field(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, line: str
) -> None:
    code, found = said(capsys, tmp_path, text, "values", "--chart", PINNER)
    assert code == 1
    assert any(each.startswith(line) for each in found), found


def flux(values: Any, chart: str = EVICTOR, **further: Any) -> Any:
    spec = {"chart": {"spec": {"chart": chart}}, "values": values, **further}
    return {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "spec": spec}


def argo(helm: Any, **source: Any) -> Any:
    spec = {"source": {"chart": EVICTOR, "helm": helm, **source}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": spec}


def test_a_helm_release_of_flux(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = said(capsys, tmp_path, flux({"dryRun": "false"}))
    assert (code, len(found)) == (1, 1)
    assert "spec.values.dryRun: 'false' is not true or false; in quotes it is a text" in found[0]
    code, found = said(capsys, tmp_path, flux({"dryRun": False}, valuesFrom=[{"kind": "ConfigMap", "name": "more"}]))
    assert code == 0
    assert found[0] == f" right, as values of {EVICTOR}, in a HelmRelease of Flux"
    assert found[1].endswith("spec.valuesFrom: is not checked (not a mistake)")


def test_the_closed_umbrellas_nesting(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = said(capsys, tmp_path, {"tags": {"full": True}, "autoscaler": {PINNER: {"replicas": 2}}})
    assert (code, found[0]) == (0, f" right, as values of {PINNER} (below autoscaler.{PINNER})")
    assert "autoscaler: nests as the closed umbrella does; moorage convert values" in found[1]


def test_a_release_of_a_chart_around_ours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, found = said(capsys, tmp_path, flux({PINNER: {"replicas": -1}}, chart="moorage"))
    assert code == 1
    assert f"spec.values.{PINNER}.replicas: -1 is too small" in found[0]


@pytest.mark.parametrize("path", ["charts/castai-evictor", "castai-evictor/"])
def test_an_application_of_argo_cd(capsys: pytest.CaptureFixture[str], tmp_path: Path, path: str) -> None:
    code, found = said(capsys, tmp_path, argo({"valuesObject": {"dryrun": False}}, chart=None, path=path))
    assert code == 1
    assert "spec.source.helm.valuesObject.dryrun: unknown field 'dryrun'; did you mean dryRun?" in found[0]
    code, found = said(capsys, tmp_path, argo({"values": "a: &b 1\nreplicas: many\n"}))
    assert code == 1
    assert any("values: in line 2 of the text: replicas: 'many' is not a whole number" in each for each in found)
    code, found = said(capsys, tmp_path, argo({"values": "dryRun: false\n", "valueFiles": ["a.yaml"]}))
    assert code == 0
    assert found[0] == f" right, as values of {EVICTOR}, in an Application of Argo CD"
    assert "spec.source.helm.valueFiles: is not checked" in found[1]


def test_a_file_of_another_tool_without_values_is_not_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, found = said(capsys, tmp_path, argo({}))
    assert code == 2
    assert found[0].endswith("is an Application of Argo CD, and has no values for a chart of Moorage in it")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            {"dry_run": False, "aggressive_mode": True},
            "1:1: dry_run: unknown field 'dry_run'; did you mean dryRun? Underscores are Terraform's spelling.",
        ),
        (
            {"managedByCASTAI": True, "evictor": {"aggressive_mode": False, "dry_run": False, "enabled": True}},
            "2:1: evictor: is what Terraform and charts around this one call it, and no key of its values; "
            "write what is below it at the top level: aggressiveMode, dryRun",
        ),
        (
            {"aggressiveMode": True, "softTainting": False},
            "2:1: softTainting: false is not a map; write enabled: false",
        ),
    ],
)
def test_other_spellings_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Any, line: str) -> None:
    code, found = said(capsys, tmp_path, content)
    assert code == 1
    assert any(each.startswith(line) for each in found), found


@pytest.mark.parametrize(
    ("content", "key"),
    [({"rbac": {"volumes": {"enabled": True}}}, "rbac.volumes"), ({"KarpenterMode": {}}, "KarpenterMode")],
)
def test_old_published_keys_are_taken_and_tell_whose_values_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Any, key: str
) -> None:
    code, found = said(capsys, tmp_path, content)
    assert (code, found[0]) == (0, f" right, as values of {EVICTOR}")
    assert f"{key}: accepted, without effect" in found[1]


@pytest.mark.parametrize(
    ("kind", "content", "key"),
    [
        (("values", "--chart", EVICTOR), {"cleanupKarpenterNodes": True}, "cleanupKarpenterNodes"),
        (("rules",), [{"podSelector": {"kind": "Job"}, "settings": {"removable": True}}], "removable"),
        (("values", "--chart", EVICTOR), {"karpenter_mode": True}, "karpenter_mode"),
    ],
)
def test_nothing_is_meant_that_is_the_opposite_or_in_vain(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: tuple[str, ...], content: Any, key: str
) -> None:
    code, found = said(capsys, tmp_path, content, *kind)
    assert code == 1
    (line,) = (each for each in found if f"unknown field '{key}'" in each)
    assert "did you mean" not in line


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("removable", "removalDisabled"),
        ("removalEnabled", "removalDisabled"),
        ("removalEnabld", "removalDisabled"),
        ("removalAllowed", "removalDisabled"),
        ("disableDryRun", "dryRun"),
        ("disabled", "enabled"),
        ("nonDisposable", "disposable"),
        ("notDisposable", "forceDisposable"),
        ("undisposable", "disposable"),
        ("neverAggressive", "aggressive"),
        ("disallowSpot", "allowSpot"),
        ("unallowSpot", "allowSpot"),
        ("notNamespace", "namespace"),
        ("maxAvailable", "maxUnavailable"),
        ("replicasMax", "replicasMin"),
        ("minimumNodesToEvictPerCycle", "maxNodesToEvictPerCycle"),
        ("mismatchLabelKeys", "matchLabelKeys"),
        ("podAffinity", "podAntiAffinity"),
    ],
)
def test_the_opposite_is_not_what_was_meant(key: str, other: str) -> None:
    assert are_opposite(key, other)
    assert are_opposite(other, key)


def test_a_slip_of_the_finger_is_no_opposite() -> None:
    assert not are_opposite("removalDisbled", "removalDisabled")
    assert not are_opposite("removalDisable", "removalDisabled")
    assert not are_opposite("agressive", "aggressive")
    assert not are_opposite("podAnitAffinity", "podAntiAffinity")
    assert not are_opposite("replicas", "replicasMin")
    assert not are_opposite("maxNodesToEvict", "maxNodesToEvictPerCycle")
    assert not are_opposite("runAsNonroot", "runAsNonRoot")


@pytest.mark.parametrize("key", ["nodeGracePeriodSeconds", "nodeGracePeriod"])
def test_another_unit_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str) -> None:
    code, found = said(capsys, tmp_path, {key: 300}, "values", "--chart", EVICTOR)
    assert (code, found[0].partition("; ")[2]) == (1, "did you mean nodeGracePeriodMinutes? Its value is in minutes.")


@pytest.mark.parametrize(
    "key", ["removalEnabled", "nonDisposable", "undisposable", "aggressiveDisabled", "neverDisposable", "unaggressive"]
)
def test_what_is_like_an_opposite_only_is_not_suggested_either(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str
) -> None:
    rules = [{"podSelector": {"kind": "Job"}, "settings": {key: {"enabled": True}}}]
    code, found = said(capsys, tmp_path, rules, "rules")
    assert code == 1
    assert f"unknown field '{key}'; known here: aggressive, disposable, forceDisposable" in found[0]


@pytest.mark.parametrize("text", ["a:\n\tb: c\n", "a:\n  b:\n  \tc: d\n", "a:\n- b\n\t- c\n"])
def test_a_tab_is_called_a_tab(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    for kind in ("values", "rules"):
        code, found = said(capsys, tmp_path, text, kind)
        assert code == 1
        assert found[0].endswith(": a tab: YAML is indented by spaces; write spaces instead")


RULES = textwrap.dedent("""\
    evictionConfig:
    - podSelector: {kind: Job, replicasMin: null}
      settings: {aggressive: {enabled: true}}
    """)
OF_THE_API = {"creationTimestamp": None, "generation": 3, "managedFields": [{"manager": "kubectl"}], "uid": "u"}
CONFIG_MAP = {
    "apiVersion": "v1",
    "data": {"config.yaml": RULES},
    "kind": "ConfigMap",
    "metadata": {"name": "castai-evictor-config", "annotations": {"a/b": "{}"}, **OF_THE_API},
}
RESOURCE = {
    "apiVersion": "autoscaling.cast.ai/v1alpha1",
    "kind": "EvictorConfig",
    "metadata": {"name": "evictor-config", **OF_THE_API},
    "spec": {"evictionRules": yaml.safe_load(RULES)["evictionConfig"]},
    "status": {"conditions": []},
}


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps])
def test_rules_as_kubectl_shows_them(capsys: pytest.CaptureFixture[str], tmp_path: Path, dump: Any) -> None:
    both = {"apiVersion": "v1", "kind": "List", "items": [CONFIG_MAP, RESOURCE], "metadata": {"resourceVersion": ""}}
    for content in (CONFIG_MAP, RESOURCE, both):
        code, found = said(capsys, tmp_path, dump(content), "rules")
        assert (code, found) == (0, [" right, as rules"])
    wrong = {**RESOURCE, "spec": {"evictionRules": [{"podSelector": {"kind": "Job"}, "settings": {"agressive": True}}]}}
    code, found = said(capsys, tmp_path, dump({**both, "items": [CONFIG_MAP, wrong]}), "rules")
    assert code == 1
    assert "items[1].spec.evictionRules[0].settings.agressive: unknown field 'agressive'" in found[0]
