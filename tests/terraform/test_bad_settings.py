"""Terraform refuses at plan what `moorage validate` refuses: for the same key, with the same message."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import yaml

from moorage.files import values as files
from moorage.files.yamlfile import parse
from tests.frontends.bad_settings import BadSetting, bad_settings
from tests.terraform.instances import dealt_out
from tests.terraform.terraform import Terraform, literal
from tools.generate.terraform.settings import Setting, short_name
from tools.generate.terraform.settings import settings as settings_of
from tools.generate.values import CHARTS, bundled

# What Terraform cannot guess.
_GUESS = re.compile(r"; (did you mean|known here|nothing here|modules/).*")


def in_words_of_validate(bad: BadSetting) -> set[str]:
    document = parse("values.yaml", yaml.safe_dump(bad.values, allow_unicode=True).encode())
    return {_GUESS.sub("", each.full_sentence) for each in files.mistakes(bad.chart, document)}


def component(chart: str) -> str:
    return short_name(chart).replace("-", "_")


def as_variables(bad: BadSetting) -> dict[str, Any]:
    """The values for the root module. A key without a variable stays unchanged."""
    known = by_key(bad.chart)
    return {known[key].variable if key in known else key: value for key, value in bad.values.items()}


@cache
def by_key(chart: str) -> dict[str, Setting]:
    """The keys that have a variable: asked for several times of each setting, and read from many files."""
    return {each.key: each for each in settings_of(chart, bundled(chart))}


def variable_of(bad: BadSetting) -> Setting | None:
    return by_key(bad.chart).get(str(bad.path[0]))


def is_of_another_type(bad: BadSetting) -> bool:
    """Whether the whole value has another type than the variable."""
    found = variable_of(bad)
    return found is not None and found.type != "any" and not isinstance(bad.values[found.key], _PYTHON[found.type])


def is_converted(bad: BadSetting) -> bool:
    """Whether Terraform converts the value: 7 becomes "7" for a string, and "3" becomes 3 for a number."""
    found = variable_of(bad)
    if found is None or not is_of_another_type(bad):
        return False
    value = bad.values[found.key]
    plain = isinstance(value, bool | int | float) if found.type == "string" else value in ("3", "true")
    return plain and not in_words_of_validate(bad._replace(values={found.key: _converted(value, found.type)}))


def _converted(value: Any, kind: str) -> Any:
    return json.dumps(value) if kind == "string" else json.loads(value)


_PYTHON: dict[str, Any] = {"number": (int, float), "bool": bool, "string": str}
ALL = [bad for chart in CHARTS for bad in bad_settings(chart) if not is_converted(bad)]
# What the evictor has in common with the pod pinner is made by the same lines: only what is its own takes time.
SEEN = [bad.values for bad in ALL if bad.chart != "castai-evictor"]
ALL = [bad for bad in ALL if bad.chart != "castai-evictor" or bad.values not in SEEN]
THEIRS = [bad for bad in ALL if variable_of(bad) is None or is_of_another_type(bad)]
OURS = [bad for bad in ALL if bad not in THEIRS]

# Keys that may contradict each other: of each line, one instance has one.
TIED = (
    {"castai", "planner", "global"},
    {"replicas", "replicaCount", "leaderElection"},
    {"service", "serviceMonitor"},
    {"plan", "existingConfigMap"},
)


def are_compatible(found: Sequence[BadSetting]) -> bool:
    """Whether settings of one chart are of different keys, and of none that contradict each other."""
    keys = [next((str(sorted(line)) for line in TIED if key in line), key) for bad in found for key in bad.values]
    return len({bad.chart for bad in found}) == 1 and len(set(keys)) == len(keys)


def cases(found: list[BadSetting]) -> list[Any]:
    return [pytest.param(number, id=f"{bad.chart}: {bad.reason}") for number, bad in enumerate(found)]


@pytest.fixture(scope="module")
def ours(terraform: Terraform) -> Counter[str]:
    """What one plan of them all says, how often; Terraform does not say of which."""
    calls = {
        component(chart): {
            "source": f"../terraform/modules/{short_name(chart)}",
            "for_each": f'${{local.cases["{chart}"]}}',
            **{each.variable: f"${{try(each.value.{each.variable}, null)}}" for each in by_key(chart).values()},
        }
        for chart in CHARTS
    }
    content = {"locals": {"cases": '${jsondecode(file("cases.json"))}'}, "module": calls, "provider": {"helm": {}}}
    folder = terraform.root("ours", content)
    found: dict[str, dict[int, Any]] = {chart: {} for chart in CHARTS}
    for number, together in enumerate(dealt_out(OURS, are_compatible)):
        found[together[0].chart][number] = {key: value for bad in together for key, value in as_variables(bad).items()}
    (folder / "cases.json").write_text(json.dumps(found))
    terraform(folder, "init", "-input=false")
    said = terraform.said(folder, "plan")
    assert said.code == 1
    errors = [each["detail"] for each in said.diagnostics if each["severity"] == "error"]
    return Counter(_GUESS.sub("", line) for detail in errors for line in detail.splitlines())


@pytest.mark.parametrize("number", cases(OURS))
def test_refused_at_plan_in_the_words_of_validate(ours: Counter[str], number: int) -> None:
    assert in_words_of_validate(OURS[number]) <= set(ours)


def test_nothing_else_is_said(ours: Counter[str]) -> None:
    assert ours == Counter(line for bad in OURS for line in in_words_of_validate(bad))


@pytest.fixture(scope="module")
def theirs(terraform: Terraform) -> dict[int, list[str]]:
    """What one validation of them all says of each: these do not even need a plan."""
    calls = {
        f"case-{number}": {"source": "../terraform", component(bad.chart): literal(as_variables(bad))}
        for number, bad in enumerate(THEIRS)
    }
    folder = terraform.root("theirs", {"module": calls, "provider": {"helm": {}}})
    terraform(folder, "init", "-input=false")
    said = json.loads(terraform.run(folder, "validate", "-json").out)
    found = defaultdict(list)
    for each in said["diagnostics"]:
        found[int(each["snippet"]["context"].rpartition("-")[2])].append(each["detail"])
    return found


@pytest.mark.parametrize("number", cases(THEIRS))
def test_refused_for_its_type_with_the_variable_named(theirs: dict[int, list[str]], number: int) -> None:
    bad = THEIRS[number]
    (variable,) = as_variables(bad)
    (said,) = theirs[number]
    assert said.startswith(f"{component(bad.chart)}.{variable}: ")
