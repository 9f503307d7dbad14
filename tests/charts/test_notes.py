"""The notes that Helm shows after an installation."""

from __future__ import annotations

import pytest

from tests.charts.rendering import PINNER, PLANNER, Values, notes, render


def test_a_bare_install_says_what_is_missing_and_the_next_command() -> None:
    said = notes(PINNER)
    assert "Deployment castai-pod-pinner in namespace castai-agent, replicas: 2." in said
    assert "There is no planner yet" in said
    assert "kube-scheduler places every pod" in said
    assert "helm upgrade --install moorage-planner moorage/moorage-planner -n castai-agent" in said
    assert "only the label charts.cast.ai/managed" in said
    assert (
        "kubectl scale deployment castai-pod-pinner -n castai-agent --replicas=0 moorage cleanup helm uninstall" in said
    )
    assert "The definitions nodereservations.moorage.dev and slotreservations.moorage.dev stay," in said
    assert "closed product" not in said
    assert "without effect" not in said


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        ({"replicas": 0}, ["replicas: 0."]),
        ({"dryRun": True}, ["dry run (instructions are answered, nothing in the cluster is changed)"]),
        (
            {"planner": {"address": "p.example.com:443"}},
            [
                "It follows the planner at p.example.com:443, with the key in Secret moorage-planner-client (API_KEY)",
                "helm test castai-pod-pinner -n castai-agent",
            ],
        ),
        (
            {"envFrom": [{"secretRef": {"name": "x"}}]},
            ["at API_GRPC_URL of envFrom, or else moorage-planner.castai-agent"],
        ),
        (
            {"castai": {"grpcURL": "grpc.cast.ai:443"}},
            [
                "castai.grpcURL grpc.cast.ai:443 is an address of the closed product: it counts as unset",
                "no planner yet",
            ],
        ),
        (
            {"global": {"castai": {"grpcURL": "grpc.cast.ai:443"}}},
            ["global.castai.grpcURL grpc.cast.ai:443 is an address"],
        ),
        (
            {"image": {"repository": "us-docker.pkg.dev/castai-hub/library/pod-pinner"}},
            [
                "image.repository us-docker.pkg.dev/castai-hub/library/pod-pinner is an image of the closed product",
                "The pods run ghcr.io/moorage/moorage:2.0.0.",
            ],
        ),
        (
            {"image": {"tag": "v1.4.2"}},
            [
                "image.tag v1.4.2 is a tag of the closed product (ours have no v): it counts as unset.",
                "The pods run ghcr.io/moorage/moorage:2.0.0.",
            ],
        ),
        (
            {"global": {"registry": "us-docker.pkg.dev/castai-hub/library"}},
            ["global.registry us-docker.pkg.dev/castai-hub/library is the closed product's: it counts as unset."],
        ),
        (
            {"planner": {"apiKeySecretRef": {"name": "mine"}}},
            [
                "moorage/moorage-planner -n castai-agent --reset-then-reuse-values --set apiKey.existingSecret=mine",
                "The planner must accept the key in Secret mine",
            ],
        ),
        (
            {"castai": {"apiURL": "https://x"}, "ingress": {"enabled": False}, "enabled": True},
            ["Accepted, without effect: castai.apiURL, ingress."],
        ),
        (
            {"webhook": {"failurePolicy": "Fail"}},
            ["webhook.failurePolicy Fail counts as Ignore: while the webhook does not answer, pods are created"],
        ),
        (
            {"webhook": {"hostNetwork": True}},
            ["webhook.hostNetwork: each replica needs a node of its own.", "has maxSurge 0 and maxUnavailable 1."],
        ),
        (
            {"serviceMonitor": {"enabled": True}},
            ["does not know monitoring.coreos.com/v1 ServiceMonitor, so there is none"],
        ),
        ({"rbac": {"create": False}}, ["somebody else grants service account castai-pod-pinner its rights"]),
        ({"crds": {"enabled": False}}, ["somebody else defines nodereservations.moorage.dev"]),
    ],
)
def test_each_setting_that_people_ought_to_know_about(values: Values, sentences: list[str]) -> None:
    said = notes(PINNER, values)
    for sentence in sentences:
        assert sentence in said


UPGRADE = "helm upgrade castai-pod-pinner moorage/castai-pod-pinner -n castai-agent --reset-then-reuse-values --set "
ZERO = f"{UPGRADE}replicas=2"


@pytest.mark.parametrize(
    ("values", "why", "command"),
    [
        ({"replicaCount": 0}, "replicaCount is 0", f"{ZERO},replicaCount=null"),
        ({"replicas": 0}, "replicas is 0", ZERO),
        ({"replicas": 0, "replicaCount": 0}, "replicas is 0, replicaCount is 0", f"{ZERO},replicaCount=null"),
        ({"deploy": False}, "deploy is false", f"{ZERO},deploy=null"),
        (
            {"deploy": False, "replicaCount": 0},
            "replicaCount is 0, deploy is false",
            f"{ZERO},replicaCount=null,deploy=null",
        ),
        ({"deploy": False, "replicaCount": 2}, "deploy is false", f"{ZERO},replicaCount=null,deploy=null"),
    ],
)
def test_that_nothing_runs_is_said_loudly_with_the_way_out(values: Values, why: str, command: str) -> None:
    said = notes(PINNER, values)
    assert f"NOTHING RUNS: {why}. Nobody scales it up later" in said
    assert f"{command} There is no planner yet" in said  # and no more than that
    assigned = command.rpartition("--set ")[2]
    assert render(PINNER, values, options=("--set", assigned)).one("Deployment")["spec"]["replicas"] == 2


def test_that_the_planner_does_not_run_is_said_too() -> None:
    said = notes(PLANNER, {"replicas": 0})
    assert "NOTHING RUNS: replicas is 0." in said
    assert "moorage/moorage-planner -n castai-agent --reset-then-reuse-values --set replicas=1" in said


@pytest.mark.parametrize("chart", [PINNER, PLANNER])
def test_nothing_is_loud_where_something_runs(chart: str) -> None:
    assert "NOTHING RUNS" not in notes(chart)


CLOSED_KEYS: list[tuple[str, Values]] = [
    ("castai.apiKey", {"castai": {"apiKey": "abc"}}),
    ("castai.apiKeySecretRef", {"castai": {"apiKeySecretRef": "mine"}}),
    ("global.castai.apiKeySecretRef", {"global": {"castai": {"apiKeySecretRef": "mine"}}}),
    ("planner.apiKeySecretRef.name", {"planner": {"apiKeySecretRef": {"name": "castai-cluster-controller"}}}),
]


@pytest.mark.parametrize(("key", "values"), CLOSED_KEYS)
def test_a_fresh_key_is_advised_in_place_of_the_closed_products(key: str, values: Values) -> None:
    said = notes(PINNER, values)
    assert f"The planner is shown the key of {key} (Secret " in said
    assert said.count(f"{UPGRADE}{key}=null") == 2, "as the next command too"
    assert "It goes to no planner outside this namespace." in said
    assert "moorage/moorage-planner -n castai-agent Note:" in said, "the planner is not told to accept the old one"
    options = ("--set", "planner.allowClosedKey=true,planner.address=p.example.com:443", "--dry-run=client")
    anywhere = notes(PINNER, values, options=options)
    assert "planner.allowClosedKey lets it go to planners anywhere." in anywhere
    assert "planner.apiKeySecretRef.name=SECRET" in anywhere


def test_a_key_in_the_environment_is_the_closed_products() -> None:
    said = notes(PINNER, {"envFrom": [{"secretRef": {"name": "x"}}]})
    assert "API_KEY of envFrom, if there is one, is shown to the planner while" in said
    assert "made for the closed product" not in notes(PINNER, {"planner": {"apiKeySecretRef": {"name": "mine"}}})


def test_the_key_itself_is_not_shown() -> None:
    assert "abcdef-secret" not in notes(PINNER, {"castai": {"apiKey": "abcdef-secret"}})


def test_self_managed_says_nothing_of_managers() -> None:
    assert "managedByCASTAI" not in notes(PINNER, {"managedByCASTAI": False})


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        (
            {},
            [
                "the plan in ConfigMap moorage-planner-plan (plan.yaml) at moorage-planner.castai-agent.svc:9443",
                "The plan is empty: nothing is pinned yet.",
                "moorage validate plan plan.yaml",
                "--set existingConfigMap=pinning-plan",
                "Pod pinners of this namespace find it by themselves.",
            ],
        ),
        ({"existingConfigMap": "mine"}, ["the plan in ConfigMap mine (plan.yaml)"]),
        (
            {"fullnameOverride": "other"},
            ["planner.address=other.castai-agent.svc:9443", "planner.caSecretRef.name=other-client there"],
        ),
        ({"tls": {"existingSecret": "mine"}}, ["trust the ca.crt in Secret mine"]),
    ],
)
def test_the_planner(values: Values, sentences: list[str]) -> None:
    said = notes(PLANNER, values)
    for sentence in sentences:
        assert sentence in said
    if "existingConfigMap" in values:
        assert "The plan is empty" not in said
