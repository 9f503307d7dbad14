"""A release of the closed chart upgrades in place, because names, labels and selectors are the closed chart's."""

from __future__ import annotations

import tomllib

import pytest
import yaml

from tests.charts.rendering import CHARTS, EVICTOR, NAMESPACE, PINNER, PLANNER, Values, render

# Facts of the closed chart 1.12, release castai-pod-pinner: a Deployment's selector cannot change, and a Service or
# service account of another name would leave the old one's users behind.
NAMED_AS_BEFORE = ["Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"]
SELECTOR = {"app.kubernetes.io/name": "castai-pod-pinner", "app.kubernetes.io/instance": "castai-pod-pinner"}


@pytest.mark.parametrize("kind", NAMED_AS_BEFORE)
def test_names_are_those_of_the_closed_chart(kind: str) -> None:
    found = render(PINNER).one(kind, PINNER)
    assert found["metadata"]["namespace"] == NAMESPACE


def test_selectors_labels_and_container_are_those_of_the_closed_chart() -> None:
    rendered = render(PINNER)
    deployment = rendered.one("Deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": SELECTOR}
    assert rendered.pod["metadata"]["labels"].items() >= SELECTOR.items()
    assert rendered.one("Service", PINNER)["spec"]["selector"] == SELECTOR
    assert rendered.one("PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": SELECTOR}
    assert deployment["metadata"]["labels"].items() >= (SELECTOR | {"app.kubernetes.io/managed-by": "Helm"}).items()
    assert rendered.container["name"] == "castai-pod-pinner"
    assert rendered.env["MOORAGE_LEASE_NAME"] == "castai-pod-pinner-leader-election"
    assert {"name": "healthz", "containerPort": 9091} in rendered.container["ports"]


def test_the_release_counts_only_where_the_full_name_is_taken_away() -> None:
    assert render(PINNER, release="other").one("Deployment")["metadata"]["name"] == "castai-pod-pinner"
    free = {"global": {"fullnameOverride": ""}}
    assert render(PINNER, free, release="other").one("Deployment")["metadata"]["name"] == "other-castai-pod-pinner"
    assert render(PINNER, free, release="my-castai-pod-pinner").one("Deployment")["metadata"]["name"] == (
        "my-castai-pod-pinner"
    )


@pytest.mark.parametrize(
    ("values", "name", "full"),
    [
        ({"global": {"nameOverride": "pinner"}}, "pinner", "castai-pod-pinner"),
        ({"nameOverride": "pinner", "global": {"nameOverride": "other"}}, "pinner", "castai-pod-pinner"),
        ({"global": {"fullnameOverride": "mine"}}, "castai-pod-pinner", "mine"),
        ({"fullnameOverride": "old", "global": {"fullnameOverride": "mine"}}, "castai-pod-pinner", "old"),
    ],
)
def test_overrides(values: Values, name: str, full: str) -> None:
    rendered = render(PINNER, values)
    assert rendered.one("Deployment")["metadata"]["name"] == full
    assert {each["metadata"]["name"] for each in rendered.all("ServiceAccount")} == {full, f"{full}-check"}
    assert rendered.pod["metadata"]["labels"]["app.kubernetes.io/name"] == name
    assert rendered.env["MOORAGE_LEASE_NAME"] == f"{full}-leader-election"


LONG = "a" * 53  # Helm takes no longer name for a release


@pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
def test_long_release_names_are_cut_to_what_names_may_be(chart: str) -> None:
    values = {"global": {"fullnameOverride": ""}} if chart == PINNER else {"fullnameOverride": ""}
    for found in render(chart, values, release=LONG).objects:
        assert len(found["metadata"]["name"]) <= (63 if found["kind"] in {"Service", "Deployment"} else 253), found
        for value in found["metadata"]["labels"].values():
            assert len(value) <= 63
            assert not value.endswith("-")
        assert not found["metadata"]["name"].endswith("-")


@pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
def test_releases_in_two_namespaces_share_no_object(chart: str) -> None:
    values: Values = {} if chart == PLANNER else {"crds": {"enabled": False}}

    def identities(namespace: str) -> set[tuple[str, str, str]]:
        found = render(chart, values, namespace=namespace).objects
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in found}

    # "a" and "a-check" would meet if a suffix were put behind the namespace.
    assert identities("a").isdisjoint(identities("a-check"))
    assert identities("a").isdisjoint(identities("b"))


def test_two_releases_in_one_namespace_share_no_object_when_they_have_names() -> None:
    def identities(name: str) -> set[tuple[str, str, str]]:
        values = {"crds": {"enabled": False}, "global": {"fullnameOverride": name}}
        found = render(PINNER, values, release=name).objects
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in found}

    assert identities("one").isdisjoint(identities("two"))


def test_all_charts_have_the_same_version_for_chart_and_program() -> None:
    versions = set()
    for chart in (PINNER, PLANNER, EVICTOR):
        described = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
        versions |= {described["version"], described["appVersion"]}
        assert described["kubeVersion"] == ">=1.33.0-0"
    project = tomllib.loads((CHARTS.parent / "runtime" / "pyproject.toml").read_text())["project"]
    assert versions == {project["version"]}
