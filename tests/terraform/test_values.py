"""Equal settings give equal values: Terraform's document for Helm equals the one from a values file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from moorage.files import values as files
from moorage.files.yamlfile import Document
from tests.frontends.samples import samples
from tests.terraform.instances import dealt_out
from tests.terraform.terraform import Terraform
from tools.generate.terraform.settings import settings, short_name
from tools.generate.values import bundled
from tools.toolchain import ensure

# Variables of a module that are no keys: what is written, and the values file that it stands for.
SHORT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "api_key": ({"api_key": "0123"}, {"castai": {"apiKey": "0123"}}),
    "api_key beside castai": (
        {"api_key": "0123", "castai": {"clusterID": "c-1"}},
        {"castai": {"apiKey": "0123", "clusterID": "c-1"}},
    ),
    "api_key_secret_ref": ({"api_key_secret_ref": {"name": "k"}}, {"planner": {"apiKeySecretRef": {"name": "k"}}}),
    "extra_values": (
        {"replicas": 1, "extra_values": ["replicas: 2\nlog: {level: debug}"]},
        {"replicas": 2, "log": {"level": "debug"}},
    ),
}


class Quoted(yaml.SafeDumper):
    """Marks strings: the YAML of Helm and of Python differ on 1e3."""


Quoted.add_representer(str, lambda self, text: self.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


class Case:
    """Settings of one component, and the values file that says the same."""

    def __init__(self, chart: str, name: str, given: dict[str, Any], file: dict[str, Any]) -> None:
        self.chart = chart
        self.name = f"{chart}: {name}"
        self.component = short_name(chart).replace("-", "_")
        self.given = given
        self.file = file


def cases(chart: str) -> list[Case]:
    variables = {each.key: each.variable for each in settings(chart, bundled(chart))}
    found = []
    for name, file in samples(chart).items():
        ((key, value),) = file.items()
        if key in variables:  # else the module has something better of that name, see tools.generate.terraform.settings
            found.append(Case(chart, name, {variables[key]: value}, file))
    return found


ALL = [case for chart in ("castai-pod-pinner", "moorage-planner") for case in cases(chart)]
# What the evictor has in common with the pod pinner is made by the same lines: only what is its own takes time.
SEEN = [case.file for case in ALL]
ALL += [case for case in cases("castai-evictor") if case.file not in SEEN]
ALONE = [Case("castai-pod-pinner", name, *both) for name, both in SHORT.items()]


def are_compatible(found: Sequence[Case]) -> bool:
    """Whether settings of one chart are of different keys, and no two of them contradict each other."""
    if len({key for case in found for key in case.file}) < len(found) or len({case.chart for case in found}) > 1:
        return False
    return not files.mistakes(found[0].chart, Document(merged(case.file for case in found), {}))


def merged(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for each in found for key, value in each.items()}


def as_helm_reads(folder: Path, *files: str) -> dict[str, Any]:
    """The values of a chart that has none of its own, given these files."""
    chart = folder / "chart"
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: shown\nversion: 1.0.0\n")
    (chart / "templates" / "values.yaml").write_text("{{ toJson .Values }}\n")
    command = [str(ensure(["helm"])["helm"]), "template", "shown", str(chart)]
    for number, text in enumerate(files):
        (folder / f"{number}.yaml").write_text(text)
        command.append(f"--values={folder / f'{number}.yaml'}")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def planned(terraform: Terraform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Helm reads from Terraform's documents, by case; one plan for them all, without a cluster."""
    module = {
        "source": "../terraform",
        "for_each": '${jsondecode(file("cases.json"))}',
        **{component: f"${{try(each.value.{component}, null)}}" for component in {case.component for case in ALL}},
    }
    instances = {
        str(number): cases
        for number, cases in enumerate([*dealt_out(ALL, are_compatible), *([case] for case in ALONE)])
    }
    folder = terraform.root("same-values", {"module": {"it": module}, "provider": {"helm": {}}})
    (folder / "cases.json").write_text(
        json.dumps(
            {name: {cases[0].component: merged(case.given for case in cases)} for name, cases in instances.items()}
        )
    )
    terraform(folder, "init", "-input=false")
    terraform(folder, "plan", "-input=false", "-out=plan")
    plan = json.loads(terraform(folder, "show", "-json", "plan").out)
    documents = {
        outer["address"].partition('["')[2].removesuffix('"]'): release["values"]["values"]
        for outer in plan["planned_values"]["root_module"]["child_modules"]
        for inner in outer["child_modules"]
        for release in inner["resources"]
    }
    most = max(map(len, documents.values()))
    texts = [
        together({name: each[number] for name, each in documents.items() if number < len(each)})
        for number in range(most)
    ]
    read = as_helm_reads(tmp_path_factory.mktemp("planned"), *texts)
    return {case.name: without(read[name], cases, case) for name, cases in instances.items() for case in cases}


def without(document: Mapping[str, Any], cases: Sequence[Case], case: Case) -> dict[str, Any]:
    """The part of an instance's document that no other case explains."""
    others = {key for each in cases for key in each.file if key not in case.file}
    return {key: value for key, value in document.items() if key not in others}


def together(documents: Mapping[str, str]) -> str:
    """YAML documents in one, each below its name."""
    return "".join(f"{json.dumps(name)}:\n{indent(text, '  ')}\n" for name, text in documents.items())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Helm reads from the values files."""
    return as_helm_reads(
        tmp_path_factory.mktemp("written"), yaml.dump({case.name: case.file for case in ALL + ALONE}, Dumper=Quoted)
    )


@pytest.mark.parametrize("case", ALL + ALONE, ids=lambda case: case.name)
def test_same_values(planned: Mapping[str, Any], written: Mapping[str, Any], case: Case) -> None:
    assert json.dumps(planned[case.name], sort_keys=True) == json.dumps(written[case.name], sort_keys=True)


def test_helm_has_read_them(written: Mapping[str, Any]) -> None:
    assert written == {case.name: case.file for case in ALL + ALONE}
