"""The resources that the components register, and the settings that they refuse, without an engine."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

import pulumi_moorage as moorage
from moorage.files import evictor as files_evictor
from moorage.files import values as files_values
from moorage.files.yamlfile import Document
from pulumi_moorage import inputs
from tests.frontends.bad_settings import bad_settings
from tests.frontends.samples import samples
from tests.pulumi.engine import RELEASE, Ran, later, run, secret, unknown
from tools.generate import bundle, values
from tools.generate import pulumi as generated
from tools.generate.values import CHARTS

ROOT = Path(__file__).parents[2]
HERE: dict[str, Any] = {"repository": "http://127.0.0.1:1"}
HIDDEN = "tell-nobody!"


def pinner(**settings: Any) -> Callable[[], object]:
    """A program with one component; a function among the settings is called in it, where Outputs can be made."""

    def program() -> object:
        made = {name: value() if callable(value) else value for name, value in settings.items()}
        return moorage.PodPinner("pinner", **{**HERE, **made})

    return program


def values_of(**settings: Any) -> Any:
    ran = run(pinner(**settings))
    assert ran.error is None
    return ran.release["values"]


# --- what is registered ---


def test_a_component_with_a_release_of_fixed_name() -> None:
    ran = run(pinner(replicas=3, chart_version="2.0.0", timeout=60, skip_await=True))
    assert ran.error is None
    component, release = ran.resources
    assert (component.type, component.name) == ("moorage:index:PodPinner", "pinner")
    assert (release.type, release.name, release.parent) == (RELEASE, "pinner", component.urn)
    assert release.inputs == {
        "name": "castai-pod-pinner",
        "namespace": "castai-agent",
        "createNamespace": True,
        "chart": "castai-pod-pinner",
        "repositoryOpts": {"repo": "http://127.0.0.1:1"},
        "version": "2.0.0",
        "timeout": 60,
        "skipAwait": True,
        "resetValues": True,
        "allowNullValues": True,
        "compat": "true",
        "values": {"replicas": 3},
    }
    assert ran.warnings == []


def test_typed_arguments() -> None:
    """Checked by mypy as well: this is how a program is written."""

    def program() -> None:
        moorage.PodPinner(
            "pinner",
            pulumi.ResourceOptions(protect=True),
            chart="./charts/castai-pod-pinner",
            namespace="elsewhere",
            release_name="mine",
            replicas=3,
            managed_by_castai=False,
            planner={"address": later("planner:9443"), "apiKeySecretRef": {"name": "key"}},
            tolerations=[{"key": "dedicated", "operator": "Exists"}],
            pod_labels={"team": later("platform")},
        )

    release = run(program).release
    assert (release["name"], release["namespace"]) == ("mine", "elsewhere")
    assert "repositoryOpts" not in release
    assert release["values"] == {
        "replicas": 3,
        "managedByCASTAI": False,
        "planner": {"address": "planner:9443", "apiKeySecretRef": {"name": "key"}},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "podLabels": {"team": "platform"},
    }


def test_moorage_is_every_component() -> None:
    ran = run(
        lambda: moorage.Moorage("m", **HERE, namespace="n", pod_pinner={}, planner={"namespace": "other"}, evictor={})
    )
    assert ran.error is None
    parents = {each.urn: each for each in ran.resources}
    releases = [each for each in ran.resources if each.type == RELEASE]
    assert {each.inputs["chart"]: each.inputs["namespace"] for each in releases} == {
        "castai-pod-pinner": "n",
        "moorage-planner": "other",
        "castai-evictor": "n",
    }
    assert {parents[each.parent].name for each in releases} == {"m-pod-pinner", "m-planner", "m-evictor"}
    assert {parents[parents[each.parent].parent].type for each in releases} == {"moorage:index:Moorage"}


def test_the_lines_of_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"plan": "first", "nodes": []}
    (tmp_path / "planner.yaml").write_text(json.dumps({"plan": plan}))
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "__main__.py"
    program.write_text((ROOT / "README.md").read_text().partition("```python\n")[2].partition("```")[0])
    ran = run(lambda: runpy.run_path(str(program)))
    assert ran.error is None
    releases = {each.inputs["name"]: each.inputs["values"] for each in ran.resources if each.type == RELEASE}
    assert releases == {"castai-pod-pinner": {"replicas": 2}, "moorage-planner": {"plan": plan}}


def test_a_component_without_arguments_is_left_out() -> None:
    made: list[moorage.Moorage] = []
    ran = run(lambda: made.append(moorage.Moorage("m", **HERE, pod_pinner={}, planner=None)))
    assert ran.release["name"] == "castai-pod-pinner"
    assert made[0].planner is None


def test_moorage_of_nothing_is_a_mistake() -> None:
    assert run(lambda: moorage.Moorage("m", **HERE)).refusal == ["pod_pinner, planner, evictor: one is required"]


def test_moorage_refuses_before_the_first_component() -> None:
    wrong: Any = {"api_key": {"x": 1}}
    ran = run(lambda: moorage.Moorage("m", **HERE, pod_pinner={"replicas": -1}, planner=wrong))
    assert ran.resources == []
    assert str(ran.error).splitlines() == [
        "PodPinner m-pod-pinner is not installed, because its arguments have mistakes:",
        "  replicas: -1 is too small, at least 0",
        "Planner m-planner is not installed, because its arguments have mistakes:",
        "  apiKey.x: unknown field 'x'; known here: existingSecret",
    ]


def test_options_of_the_release() -> None:
    opts = pulumi.ResourceOptions(aliases=[pulumi.Alias(name="old", parent=pulumi.ROOT_STACK_RESOURCE)])
    made: list[moorage.PodPinner] = []
    ran = run(lambda: made.append(moorage.PodPinner("pinner", **HERE, release_opts=opts)))
    assert ran.error is None
    assert made[0].release is not None


# --- the values document ---


@pytest.mark.parametrize("chart", CHARTS)
def test_every_key_becomes_what_helm_gets_from_a_values_file(chart: str) -> None:
    schema = values.bundled(chart)
    names = {key: name for name, key in generated.keys(schema).items()}
    files = samples(chart)

    def program() -> None:
        component = getattr(moorage, generated.component(chart))
        for name, file in files.items():
            ((top, value),) = file.items()
            component(f"argument {name}", **HERE, **({names[top]: value} if top in names else {"values": file}))
            component(f"values {name}", **HERE, values=file)

    ran = run(program)
    assert ran.error is None
    documents = {each.name: shown(each.inputs["values"]) for each in ran.resources if each.type == RELEASE}
    assert documents == {f"{way} {name}": file for name, file in files.items() for way in ("argument", "values")}


@pytest.mark.parametrize("chart", CHARTS)
def test_every_key_is_a_typed_argument(chart: str) -> None:
    schema = values.bundled(chart)
    typed = set(getattr(inputs, f"{generated.component(chart)}Args").__annotations__)
    only_in_values = {generated.argument(key) for key in schema["properties"]} & set(release_arguments())
    assert typed == {generated.argument(key) for key in schema["properties"]} | set(release_arguments()) | {
        name for name, _, _ in generated.short(schema)
    }
    assert only_in_values <= {"namespace"}


def release_arguments() -> dict[str, Any]:
    found: dict[str, Any] = bundle.bundled("pulumi/release.schema.json")["properties"]
    return found


def shown(document: Any) -> Any:
    """Without the marks of secrets."""
    if isinstance(document, dict):
        if set(document) == set(secret("")):
            return document["value"]
        return {name: shown(each) for name, each in document.items()}
    return [shown(each) for each in document] if isinstance(document, list) else document


def test_more_values_win_and_join() -> None:
    assert values_of(replicas=2, log={"level": "info"}, values={"log": {"format": "text"}, "replicas": 3}) == {
        "replicas": 3,
        "log": {"level": "info", "format": "text"},
    }
    joined = values_of(log={"level": "info"}, values=lambda: later({"log": {"format": "text"}}))
    assert joined == {"log": {"level": "info", "format": "text"}}


def test_none_is_not_given_and_null_below_takes_a_value_away() -> None:
    assert values_of(replicas=None, resources={"limits": None}) == {"resources": {"limits": None}}


def test_the_chart_s_own_spelling_is_an_argument_too() -> None:
    assert values_of(**{"managedByCASTAI": False, "castai-pod-pinner-ext": {}})["managedByCASTAI"] is False


# --- what is refused ---


def test_all_mistakes_at_once_and_nothing_is_registered() -> None:
    ran = run(pinner(dry_run="yes", log={"level": "loud"}, replicaz=3, timeout="5m", chart_verson="1"))
    assert ran.resources == []
    assert ran.refusal == [
        "timeout: '5m' is not a whole number",
        "chart_verson: unknown field 'chart_verson'; did you mean chart_version?",
        "dryRun: 'yes' is not true or false",
        "log.level: 'loud' is none of debug, info, warning, error",
        "replicaz: unknown field 'replicaz'; did you mean replicas?",
    ]


def test_a_chart_s_name_needs_a_repository() -> None:
    (sentence,) = run(lambda: moorage.PodPinner("pinner")).refusal
    assert sentence.startswith("repository: is missing, and castai-pod-pinner is a chart's name; ")
    for chart in ("./charts/x", "/charts/x", "oci://example.com/x"):
        assert run(lambda chart=chart: moorage.PodPinner("pinner", chart=chart)).error is None  # type: ignore[misc]


def test_contradictions() -> None:
    ran = run(pinner(api_key="0123", api_key_secret_ref={"name": "key"}))
    assert ran.refusal[0] == "planner.apiKeySecretRef.name: contradicts castai.apiKey: keep one of them"
    assert run(pinner(replicas=1, replica_count=2)).refusal == [
        "replicaCount: is 2 and replicas is 1: they mean the same; keep one of them"
    ]


def test_the_evictor_is_told_to_act() -> None:
    ran = run(lambda: moorage.Evictor("it", **HERE, dry_run=False, aggressive_mode=True, parallel_drains=1))
    assert ran.error is None
    assert ran.release["values"] == {"dryRun": False, "aggressiveMode": True, "parallelDrains": 1}


def test_several_replicas_of_the_evictor_elect_a_leader() -> None:
    ran = run(lambda: moorage.Evictor("it", **HERE, dry_run=False, leader_election={"enabled": False}, replicas=2))
    assert ran.refusal == [f"leaderElection.enabled: {files_evictor.without_election('2')}"]


def test_what_is_not_known_is_skipped_and_the_rest_is_checked() -> None:
    ran = run(
        pinner(
            castai=lambda: {"clusterID": unknown(), "grpcURL": "no address"},
            image_pull_secrets=lambda: [{"name": unknown()}, {"nam": "x"}],
            pod_labels=unknown,
            replicas=unknown,
            replica_count=3,
        ),
        preview=True,
    )
    assert ran.resources == []
    assert ran.refusal == [
        "castai.grpcURL: 'no address' does not look like moorage-planner.castai-agent:9443",
        "imagePullSecrets[1]: name is missing",
        "imagePullSecrets[1].nam: unknown field 'nam'; did you mean name?",
    ]


def test_what_is_known_a_moment_later_is_checked_before_the_release() -> None:
    ran = run(pinner(castai=lambda: {"grpcURL": later("no address"), "clusterID": unknown()}), preview=True)
    assert [each.type for each in ran.resources] == ["moorage:index:PodPinner"]
    assert ran.refusal == ["castai.grpcURL: 'no address' does not look like moorage-planner.castai-agent:9443"]


def test_what_is_only_known_later_is_no_mistake() -> None:
    ran = run(pinner(castai=unknown, values=unknown), preview=True)
    assert ran.error is None
    assert [each.type for each in ran.resources] == ["moorage:index:PodPinner", RELEASE]


@pytest.mark.parametrize("chart", CHARTS)
def test_bad_settings_are_refused_in_the_words_of_moorage_validate(chart: str) -> None:
    component = getattr(moorage, generated.component(chart))
    names = {key: name for name, key in generated.keys(values.bundled(chart)).items()}
    for bad in bad_settings(chart):
        settings = {names.get(key, key): value for key, value in bad.values.items() if key != "namespace"}
        settings |= {"values": {"namespace": bad.values["namespace"]}} if "namespace" in bad.values else {}
        ran = run(lambda settings=settings: component("it", **HERE, **settings))  # type: ignore[misc]
        expected = files_values.mistakes(chart, Document(bad.values, {}))
        assert sorted(map(quoting_no_key, ran.refusal)) == sorted(
            quoting_no_key(each.full_sentence) for each in expected
        )
        assert ran.resources == []


def quoting_no_key(sentence: str) -> str:
    """A key is not quoted here; `moorage validate` shows the file's text."""
    return re.sub(r"^(castai.apiKey: ).* (is|does) ", r"\1… \2 ", sentence)


# --- what is said ---


def test_no_replicas_are_said() -> None:
    ran = run(pinner(replicas=0))
    assert ran.release["values"] == {"replicas": 0}
    assert ran.warnings == [
        "replicas: 0 means that NOTHING RUNS, and nobody scales it up later; without it 2 would run"
    ]


def test_keys_without_effect_are_said() -> None:
    (warning,) = run(pinner(ingress={"enabled": False})).warnings
    assert warning.startswith("ingress: accepted, without effect.")


# --- secrets ---


def quotes_nothing(ran: Ran) -> Ran:
    assert HIDDEN not in str(ran.error)
    assert HIDDEN not in "".join(ran.warnings)
    return ran


@pytest.mark.parametrize(
    "settings", [{"api_key": HIDDEN}, {"castai": {"apiKey": HIDDEN}}, {"values": {"castai": {"apiKey": HIDDEN}}}]
)
def test_a_key_is_a_secret_however_it_is_given_and_the_rest_is_not(settings: dict[str, Any]) -> None:
    ran = quotes_nothing(run(pinner(replicas=1, **settings)))
    assert ran.release["values"] == {"replicas": 1, "castai": {"apiKey": secret(HIDDEN)}}
    assert ran.release["chart"] == "castai-pod-pinner"


def test_a_key_is_a_secret_where_only_all_values_together_are_known_later() -> None:
    ran = run(pinner(api_key=HIDDEN, values=lambda: later({"replicas": 1})))
    assert ran.release["values"] == secret({"replicas": 1, "castai": {"apiKey": HIDDEN}})


def test_a_wrong_secret_is_not_quoted() -> None:
    for wrong in (f"{HIDDEN}\n", [HIDDEN], {HIDDEN: HIDDEN}, f"{HIDDEN}{'x' * 5000}"):
        ran = run(pinner(api_key=wrong))
        if not isinstance(wrong, dict):
            quotes_nothing(ran)
        assert any("castai.apiKey" in line for line in ran.refusal)


@pytest.mark.parametrize("wrong", [HIDDEN, f'{HIDDEN}"\n', HIDDEN * 20])
def test_a_wrong_secret_elsewhere_is_not_quoted_either(wrong: str) -> None:
    ran = quotes_nothing(run(pinner(planner=lambda: {"address": pulumi.Output.secret(wrong)})))
    assert ran.refusal == ["planner.address: (a secret) does not look like moorage-planner.castai-agent:9443"]
    ran = quotes_nothing(run(pinner(planner=lambda: later({"address": [1, pulumi.Output.secret(wrong)]}))))
    assert ran.refusal == ["planner.address: (a secret) is not a text"]


def test_what_is_quoted_of_a_secret_elsewhere_is_not_said() -> None:
    both = {"planner": {"address": "aaaa:1"}, "castai": {"grpcURL": "bbbb:2"}}
    ran = run(pinner(values=lambda: pulumi.Output.secret(both)))
    assert ran.refusal == ["castai.grpcURL: is not valid; it depends on a secret, which is not shown"]
