"""The chart moorage: pod pinner, evictor and planner in one release, each as its own chart renders it."""

from __future__ import annotations

import pytest
import yaml

from moorage.files import umbrella
from moorage.files.converting import convert
from moorage.files.yamlfile import parse
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Values, annotations_of, notes, refusal, render

UMBRELLA = "moorage"
RELEASE = "moorage"
PARTS = (PINNER, EVICTOR, PLANNER)
ALL_NOTES = ("--dry-run=client", "--render-subchart-notes")
GLOBAL: Values = {
    "imageRegistry": "registry.example.com",
    "imagePullSecrets": [{"name": "registry"}],
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "labels": {"team": "platform"},
    "annotations": {"example.com/owner": "platform"},
}
CLOSED: Values = {
    "global": {"castai": {"apiKeySecretRef": "theirs"}, "registry": "us-docker.pkg.dev/castai-hub"},
    "autoscaler": {
        "castai-agent": {"replicaCount": 1},
        EVICTOR: {"replicaCount": 0, "KarpenterMode": {"enabled": False}},
        PINNER: {"replicaCount": 3, "castai": {"grpcURL": "grpc.cast.ai:443"}},
    },
}


def test_each_part_is_what_its_own_chart_renders_under_that_release() -> None:
    alone = [
        *render(PINNER, release=RELEASE).objects,
        *render(EVICTOR, release=RELEASE).objects,
        *render(PLANNER, {"fullnameOverride": PLANNER}, release=RELEASE).objects,
    ]
    together = render(UMBRELLA).objects
    assert sorted(map(repr, together)) == sorted(map(repr, alone))


def test_one_command_is_enough_and_evicts_nothing() -> None:
    rendered = render(UMBRELLA)
    assert {each["metadata"]["name"] for each in rendered.all("Deployment")} == set(PARTS)
    assert rendered.one("Service", PLANNER)["spec"]["ports"][0]["port"] == 9443, "where pod pinners look for it"
    (container,) = rendered.one("Deployment", EVICTOR)["spec"]["template"]["spec"]["containers"]
    assert {"name": "MOORAGE_DRY_RUN", "value": "true"} in container["env"]
    assert {annotations_of(each).get("helm.sh/hook", "test") for each in rendered.objects} == {"test"}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_has_a_switch(part: str) -> None:
    without = render(UMBRELLA, {part: {"enabled": False}})
    assert {each["metadata"]["name"] for each in without.all("Deployment")} == set(PARTS) - {part}


def test_what_is_global_is_understood_by_all() -> None:
    rendered = render(UMBRELLA, {"global": GLOBAL})
    for each in rendered.objects:
        assert each["metadata"]["labels"]["team"] == "platform"
        assert annotations_of(each)["example.com/owner"] == "platform"
    for deployment in rendered.all("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        assert spec["containers"][0]["image"] == "registry.example.com/moorage/moorage:2.0.0"
        assert spec["imagePullSecrets"] == GLOBAL["imagePullSecrets"]
        assert GLOBAL["tolerations"][0] in spec["tolerations"]


def test_two_names_of_one_registry_must_say_the_same() -> None:
    two = {"global": {"registry": "a.example.com", "imageRegistry": "b.example.com"}}
    assert "global.registry is a.example.com and global.imageRegistry is b.example.com" in refusal(EVICTOR, two)
    closed = {"global": {"registry": "us-docker.pkg.dev/castai-hub", "imageRegistry": "b.example.com"}}
    assert render(EVICTOR, closed).container["image"] == "b.example.com/moorage/moorage:2.0.0"


def test_no_part_says_to_upgrade_the_release_to_itself_alone() -> None:
    """That would remove the other parts."""
    said = notes(UMBRELLA, {PINNER: {"replicaCount": 0}}, options=ALL_NOTES)
    upgrades = [each.split(" ")[:7] for each in said.split("helm upgrade ")[1:] if not each.startswith("--install")]
    assert len(upgrades) >= 3
    for release, chart, *_, changed in upgrades:  # … -n NAMESPACE --reset-then-reuse-values --set KEY=VALUE
        assert (release, chart) == (UMBRELLA, "moorage/moorage")
        assert changed.partition(".")[0] in PARTS, changed


def test_no_part_says_to_install_another_part_beside_the_release() -> None:
    """Notes are rendered before anything is there, and the chart that they would name is in the release already."""
    said = notes(UMBRELLA, options=ALL_NOTES)
    assert "It follows moorage-planner in this namespace, which the same release has" in said
    assert "--install" not in said
    assert "helm upgrade --install moorage-planner" in notes(PINNER)


@pytest.mark.parametrize(
    ("values", "part", "why", "command"),
    [
        ({PINNER: {"replicas": 0}}, PINNER, "replicas is 0", f"{PINNER}.replicas=1"),
        ({PLANNER: {"replicas": 0}}, PLANNER, "replicas is 0", f"{PLANNER}.replicas=1"),
        (
            {EVICTOR: {"replicaCount": 0}},
            EVICTOR,
            "replicaCount is 0",
            f"{EVICTOR}.replicas=1,{EVICTOR}.replicaCount=null",
        ),
        ({PINNER: {"deploy": False}}, PINNER, "deploy is false", f"{PINNER}.replicas=1,{PINNER}.deploy=null"),
    ],
)
def test_parts_that_do_not_run_are_named(values: Values, part: str, why: str, command: str) -> None:
    """What a part says itself is not shown unless somebody asks for it."""
    said = notes(UMBRELLA, values)
    assert f"NOTHING RUNS of {part}: {why}." in said
    assert f"--reset-then-reuse-values --set {command}" in said
    assert ("It acts after" in said) == (part != EVICTOR)
    assert "NOTHING RUNS" not in notes(UMBRELLA, {part: {**values[part], "enabled": False}})


def test_an_evictor_that_is_switched_off_acts_after_no_dry_run() -> None:
    said = notes(UMBRELLA, {EVICTOR: {"evictorEnabled": False}})
    assert "--set castai-evictor.evictorEnabled=true" in said
    assert "dryRun=false" not in said


def test_what_moorage_convert_makes_is_taken() -> None:
    document = parse("values.yaml", yaml.safe_dump(CLOSED).encode())
    made = convert("values.yaml", document)
    assert made is not None
    assert made.left_out
    rendered = render(UMBRELLA, made.values)
    assert rendered.one("Deployment", PINNER)["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"castai-evictr": {"enabled": False}}, "castai-evictr"),
        ({EVICTOR: {"dryrun": False}}, "dryrun"),
        ({PLANNER: {"enabled": "yes"}}, "enabled"),
    ],
)
def test_every_key_is_judged(values: Values, named: str) -> None:
    said = refusal(UMBRELLA, values)
    assert "values don't meet the specifications of the schema" in said
    assert named in said


@pytest.mark.parametrize(
    "values",
    [
        {"dryRun": False},
        {EVICTOR: {"cycleInterval": "often"}},
        {EVICTOR: {"enabled": "no"}},
        {EVICTOR: False},
        {"enabled": "yes"},
        {"enabled": None},
        {PLANNER: {"enabled": None}},
        {"global": {"imagePullSecrets": "x"}},
        {"global": []},
        {PLANNER: {"plan": {"nodes": {}}}},
    ],
)
def test_what_helm_refuses_moorage_validate_refuses(values: Values) -> None:
    assert refusal(UMBRELLA, values)
    assert umbrella.mistakes(parse("values.yaml", yaml.safe_dump(values).encode()))


@pytest.mark.parametrize(
    "values",
    [
        {},
        GLOBAL,
        {"enabled": True},
        {"tags": {"a": True}},
        {"global": {"theirs": 1}},
        {EVICTOR: {"dryRun": False, "enabled": True}},
    ],
)
def test_what_helm_takes_moorage_validate_takes(values: Values) -> None:
    given = values if values is not GLOBAL else {"global": GLOBAL}
    assert render(UMBRELLA, given).objects
    assert umbrella.mistakes(parse("values.yaml", yaml.safe_dump(given).encode())) == []
