"""Names are names whatever YAML would make of them, and however long they are; a chart may be there twice."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHARTS, EVICTOR, PINNER, PLANNER, Values, notes, render
from tests.charts.test_values import CONTRADICTING
from tests.unit.schemas.bad_values import merged, nested
from tools.generate import values

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
PLAIN = "abc"
MONITORED: Values = {
    "serviceMonitor": {"enabled": True, "renderMode": "alwaysRender"},
    "prometheusRule": {"enabled": True, "renderMode": "alwaysRender"},
    "grafanaDashboard": {"enabled": True},
}
GKE = ("--kube-version", "v1.34.1-gke.1293000")


def named(chart: str, name: str) -> dict[str, Any]:
    """The name for each key that takes it and takes a plain name, too."""
    content: dict[str, Any] = dict(MONITORED)
    for key in values.keys(values.bundled(chart)):
        schema = key.schema
        contradicts = any(key.path[: len(path)] == path for path in CONTRADICTING[chart])
        if schema.get("type") != "string" or "enum" in schema or contradicts:
            continue
        if all(re.search(schema.get("pattern", ""), each) for each in (name, PLAIN)):
            content = merged(content, nested(key.path, name))
    return content


def shape(found: object) -> object:
    """What a rendering is, apart from its texts."""
    if isinstance(found, dict):
        return {key: shape(inner) for key, inner in found.items()}
    return [shape(inner) for inner in found] if isinstance(found, list) else type(found)


@EACH
@pytest.mark.parametrize("name", ["123", "0x10", "no", "null"])
def test_whatever_yaml_reads_in_a_name_it_stays_a_text(chart: str, name: str) -> None:
    """Namespaces and releases may be called like that, as may most of what values name."""
    plain, odd = (
        render(chart, named(chart, each), release=each, namespace=each, options=GKE) for each in (PLAIN, name)
    )
    assert list(map(shape, odd.objects)) == list(map(shape, plain.objects))
    assert odd.one("ServiceMonitor")["metadata"]["namespace"] == name
    assert {each["metadata"]["namespace"] for each in odd.all("RoleBinding")} >= {name}


def test_the_longest_name_is_short_enough_for_every_object() -> None:
    """A Job's name is a label of its pods."""
    rendered = render(PINNER, {"fullnameOverride": "a" * 63})
    job = rendered.one("Job")["metadata"]["name"]
    assert len(job) == 63
    account = rendered.check["spec"]["serviceAccountName"]
    assert rendered.one("ServiceAccount", account)
    policies = [yaml.safe_dump(each) for each in rendered.all("ValidatingAdmissionPolicy")]
    assert [each for each in policies if f":{account}'" in each], "the policy is about the account that there is"


@EACH
def test_monitors_of_releases_share_a_namespace(chart: str) -> None:
    monitored = {"serviceMonitor": {**MONITORED["serviceMonitor"], "namespace": "monitoring"}}
    found = [render(chart, monitored, namespace=each).one("ServiceMonitor")["metadata"] for each in ("a", "b")]
    assert {each["namespace"] for each in found} == {"monitoring"}
    assert len({each["name"] for each in found}) == 2


def around(folder: Path, chart: str, aliases: tuple[str, ...]) -> Path:
    """A chart that has one of ours under each alias."""
    made = folder / "around"
    shutil.copytree(CHARTS / chart, made / "charts" / chart)
    version = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["version"]
    dependencies = [{"name": chart, "version": version, "alias": each} for each in aliases]
    described = {"apiVersion": "v2", "name": "around", "version": "1.0.0", "dependencies": dependencies}
    (made / "Chart.yaml").write_text(yaml.safe_dump(described))
    return made


@EACH
def test_a_chart_that_is_there_twice_is_two_installations(chart: str, tmp_path: Path) -> None:
    made = around(tmp_path, chart, ("one", "two"))
    one = {"fullnameOverride": "first"}
    two = {"fullnameOverride": "second"} | ({} if chart == PLANNER else {"crds": {"enabled": False}})
    rendered = render(made, {"one": one, "two": two}, release="r")
    identities = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in rendered.objects
    ]
    assert len(identities) == len(set(identities))
    selecting: dict[str, dict[str, str]] = {}
    for each in rendered.all("Deployment"):
        selecting[each["metadata"]["name"]] = each["spec"]["selector"]["matchLabels"]
    assert selecting["first"] != selecting["second"]
    for each in rendered.all("Service"):
        mine = "first" if each["metadata"]["name"].startswith("first") else "second"
        assert each["spec"]["selector"].items() >= selecting[mine].items()


@EACH
def test_commands_name_values_by_the_alias(chart: str, tmp_path: Path) -> None:
    made = around(tmp_path, chart, ("one",))
    said = notes(made, {"one": {"replicas": 0}}, options=("--dry-run=client", "--render-subchart-notes"))
    assert "--set one.replicas=" in said
    assert f"{chart}.replicas" not in said
