"""How an installed pinner finds its planner, key and cluster name."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from moorage.ops import parsing
from moorage.pinner.stream import credentials
from tests.charts.rendering import PINNER, Refused, Rendered, Values, annotations_of, refusal, render


def sources(rendered: Rendered) -> dict[str, tuple[str, str]]:
    """Where the files below /etc/moorage/planner come from: file to Secret and key."""
    (volume,) = [each for each in rendered.pod["spec"]["volumes"] if each["name"] == "planner"]
    found = {}
    for each in volume["projected"]["sources"]:
        assert each["secret"]["optional"] is True  # a planner may be installed later
        (item,) = each["secret"]["items"]
        found[item["path"]] = (each["secret"]["name"], item["key"])
    return found


DEFAULT_KEY = ("moorage-planner-client", "API_KEY")
DEFAULT_CA = ("moorage-planner-client", "ca.crt")


def test_without_any_setting() -> None:
    rendered = render(PINNER)
    assert sources(rendered) == {"api-key": DEFAULT_KEY, "ca.crt": DEFAULT_CA}
    assert "MOORAGE_PLANNER_ADDRESS" not in rendered.env  # so that API_GRPC_URL of envFrom can say it
    assert rendered.env["MOORAGE_API_KEY_FILE"] == "/etc/moorage/planner/api-key"
    assert rendered.env["MOORAGE_PLANNER_CA_FILE"] == "/etc/moorage/planner/ca.crt"
    assert "MOORAGE_CLUSTER_ID" not in rendered.env
    assert [(each["metadata"]["name"], "data" in each) for each in rendered.all("Secret")] == [
        ("castai-pod-pinner-webhook", False)
    ]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"castai": {"apiKeySecretRef": "mine"}}, ("mine", "API_KEY")),
        ({"global": {"castai": {"apiKeySecretRef": "ours"}}}, ("ours", "API_KEY")),
        (
            {"castai": {"apiKeySecretRef": "mine"}, "global": {"castai": {"apiKeySecretRef": "ours"}}},
            ("mine", "API_KEY"),
        ),
        ({"planner": {"apiKeySecretRef": {"name": "p", "key": "k"}}}, ("p", "k")),
        ({"castai": {"apiKey": "abc"}}, ("castai-pod-pinner", "API_KEY")),
    ],
)
def test_key(values: Values, key: tuple[str, str]) -> None:
    assert sources(render(PINNER, values)) == {"api-key": key, "ca.crt": DEFAULT_CA}


def test_authority() -> None:
    values = {"planner": {"caSecretRef": {"name": "p", "key": "root.pem"}}}
    assert sources(render(PINNER, values)) == {"api-key": DEFAULT_KEY, "ca.crt": ("p", "root.pem")}


def test_a_key_given_as_a_value_becomes_a_secret_and_restarts_the_pods_when_it_changes() -> None:
    first, second = (render(PINNER, {"castai": {"apiKey": key}}) for key in ("abc", "xyz"))
    assert base64.b64decode(first.one("Secret", "castai-pod-pinner")["data"]["API_KEY"]) == b"abc"
    checksums = [each.pod["metadata"]["annotations"]["checksum/api-key"] for each in (first, second)]
    assert len(set(checksums)) == 2
    assert not [name for name in render(PINNER).pod["metadata"]["annotations"] if name.startswith("checksum/")]
    assert "abc" not in str(first.one("Deployment"))


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({"planner": {"address": "p.example.com:443"}}, "p.example.com:443"),
        ({"castai": {"grpcURL": "p.example.com:443"}}, "p.example.com:443"),
        ({"global": {"castai": {"grpcURL": "p.example.com:443"}}}, "p.example.com:443"),
        ({"castai": {"grpcURL": "a:1"}, "global": {"castai": {"grpcURL": "b:2"}}}, "a:1"),
        ({"castai": {"grpcURL": "grpc.cast.ai:443"}, "global": {"castai": {"grpcURL": "b:2"}}}, "b:2"),
        ({"castai": {"grpcURL": "grpc.cast.ai:443"}, "planner": {"address": "c:3"}}, "c:3"),
        ({"castai": {"grpcURL": "notcast.ai:443"}}, "notcast.ai:443"),
        ({"castai": {"grpcURL": "cast.ai.example.com:443"}}, "cast.ai.example.com:443"),
    ],
)
def test_address_and_its_port_in_the_network_policy(values: Values, address: str) -> None:
    rendered = render(PINNER, values)
    assert rendered.env["MOORAGE_PLANNER_ADDRESS"] == address
    policy = rendered.one("NetworkPolicy", "castai-pod-pinner")["spec"]
    ports = [each["port"] for rule in policy["egress"] for each in rule["ports"]]
    assert int(address.rpartition(":")[2]) in ports
    assert 9443 in ports  # where the planner's pods listen, which is what a policy sees


@pytest.mark.parametrize("address", ["grpc.cast.ai:443", "cast.ai:443", "GRPC.EU.CAST.AI:443", "grpc.cast.ai.:443"])
def test_addresses_of_the_closed_product_count_as_unset(address: str) -> None:
    for values in ({"castai": {"grpcURL": address}}, {"global": {"castai": {"grpcURL": address}}}):
        assert "MOORAGE_PLANNER_ADDRESS" not in render(PINNER, values).env


@pytest.mark.parametrize(
    ("castai", "wanted"),
    [
        ({"clusterID": "c-1"}, "c-1"),
        (
            {"clusterIdSecretKeyRef": {"name": "s", "key": "ID"}},
            {"secretKeyRef": {"name": "s", "key": "ID", "optional": True}},
        ),
        (
            {"clusterIdConfigMapKeyRef": {"name": "m"}},
            {"configMapKeyRef": {"name": "m", "key": "CLUSTER_ID", "optional": True}},
        ),
    ],
)
def test_cluster_name(castai: dict[str, Any], wanted: Any) -> None:
    assert render(PINNER, {"castai": castai}).env["MOORAGE_CLUSTER_ID"] == wanted


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"castai": {"apiKey": "a", "apiKeySecretRef": "b"}}, ("apiKey", "apiKeySecretRef")),
        (
            {"castai": {"apiKeySecretRef": "a"}, "planner": {"apiKeySecretRef": {"name": "b"}}},
            ("castai.apiKeySecretRef", "planner.apiKeySecretRef"),
        ),
        (
            {"castai": {"clusterID": "a", "clusterIdSecretKeyRef": {"name": "b"}}},
            ("clusterID", "clusterIdSecretKeyRef"),
        ),
        (
            {"castai": {"clusterIdSecretKeyRef": {"name": "a"}, "clusterIdConfigMapKeyRef": {"name": "b"}}},
            ("clusterIdSecretKeyRef", "clusterIdConfigMapKeyRef"),
        ),
        ({"planner": {"address": "a:1"}, "castai": {"grpcURL": "b:2"}}, ("planner.address", "castai.grpcURL")),
    ],
)
def test_contradictions_are_refused_with_their_keys(values: Values, keys: tuple[str, ...]) -> None:
    said = refusal(PINNER, values).replace("/", ".")
    for key in keys:
        assert key in said


CLOSED_KEYS: list[Values] = [
    {"castai": {"apiKey": "abc"}},
    {"castai": {"apiKeySecretRef": "mine"}},
    {"global": {"castai": {"apiKeySecretRef": "mine"}}},
    {"planner": {"apiKeySecretRef": {"name": "castai-agent"}}},
]
INSIDE = ["planner", "p-1.moorings", "P.Moorings.svc", "p.moorings.svc.cluster.local", "localhost", "127.0.0.1"]
INSIDE += ["[::1]"]
OUTSIDE = [
    "planner.example.com",
    "planner.other.svc",
    "planner.moorings.svc.example.com",
    "planner.moorings.svc.cluster.local.example.com",
    "moorings.svc",
    "planner.xmoorings.svc",
    "10.0.0.1",
    "167772161",
    "[fd00::1]",
]


@pytest.mark.parametrize("values", CLOSED_KEYS)
def test_a_key_made_for_the_closed_product_leaves_the_namespace_only_when_told_so(values: Values) -> None:
    for host in INSIDE:
        options = ("--set", f"planner.address={host}:9443")
        env = render(PINNER, values, namespace="moorings", options=options).env
        assert env["MOORAGE_CLOSED_API_KEY"] == "true", "the process looks again"
        assert "MOORAGE_ALLOW_CLOSED_KEY" not in env
    for host in OUTSIDE:
        options = ("--set", f"planner.address={host}:9443")
        with pytest.raises(Refused, match="made for the closed product") as caught:
            render(PINNER, values, namespace="moorings", options=options)
        assert f"{host}:9443 is outside namespace moorings" in str(caught.value)
        assert "planner.apiKeySecretRef.name" in str(caught.value)
    told = ("--set", "planner.address=planner.example.com:9443,planner.allowClosedKey=true")
    assert render(PINNER, values, options=told).env["MOORAGE_ALLOW_CLOSED_KEY"] == "true"


@pytest.mark.parametrize("host", [*INSIDE, *OUTSIDE])
def test_chart_and_process_agree_on_what_is_outside(host: str) -> None:
    address = parsing.remote_address(f"{host}:9443")
    inside = address.is_loopback or credentials.is_inside(address.host, "moorings")
    assert inside == (host in INSIDE)


def test_a_key_of_its_own_goes_to_any_planner() -> None:
    values = {"planner": {"address": "p.example.com:443", "apiKeySecretRef": {"name": "planner-key"}}}
    assert "MOORAGE_CLOSED_API_KEY" not in render(PINNER, values).env
    assert "MOORAGE_CLOSED_API_KEY" not in render(PINNER, {"planner": {"address": "p.example.com:443"}}).env


def test_other_settings_reach_the_process() -> None:
    env = render(
        PINNER, {"dryRun": True, "provider": {"profile": "gcp"}, "log": {"level": "debug", "format": "text"}}
    ).env
    assert env["MOORAGE_DRY_RUN"] == "true"
    assert env["MOORAGE_PROVIDER_PROFILE"] == "gcp"
    assert (env["MOORAGE_LOG_LEVEL"], env["MOORAGE_LOG_FORMAT"]) == ("debug", "text")
    assert env["MOORAGE_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert env["MOORAGE_POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env["MOORAGE_HEALTH_ADDRESS"] == ":9091"


def test_the_definition_is_kept() -> None:
    definition = render(PINNER).one("CustomResourceDefinition", "nodereservations.moorage.dev")
    assert annotations_of(definition)["helm.sh/resource-policy"] == "keep"
