"""What Helm tells the user after an installation."""

from __future__ import annotations

import pytest

from tests.charts.rendering import PINNER, PLANNER, Values, notes


def test_a_bare_install_says_what_is_missing_and_the_next_command() -> None:
    said = notes(PINNER)
    assert "Deployment castai-pod-pinner in namespace castai-agent, replicas: 2." in said
    assert "There is no planner yet" in said
    assert "kube-scheduler places every pod" in said
    assert "helm upgrade --install moorage-planner castai-helm/moorage-planner -n castai-agent" in said
    assert "only the label charts.cast.ai/managed" in said
    assert (
        "kubectl scale deployment castai-pod-pinner -n castai-agent --replicas=0 moorage cleanup helm uninstall" in said
    )
    assert "The definition nodereservations.moorage.dev stays" in said
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
            {"castai": {"apiKey": "abc"}},
            ["apiKey.existingSecret=castai-pod-pinner", "The planner must accept the key in Secret castai-pod-pinner"],
        ),
        (
            {"castai": {"apiURL": "https://x"}, "webhook": {"url": ""}, "ingress": {"enabled": False}, "enabled": True},
            ["Accepted, without effect: castai.apiURL, webhook.url, ingress."],
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
