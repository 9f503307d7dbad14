"""The evictor's chart: the closed chart's names, only read rights, and with dryRun=false also the rights to act."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.files import evictor as files
from moorage.ops.configuration import settings_of
from moorage.ops.settings import EvictorSettings
from tests.charts.rendering import CHARTS, EVICTOR, NAMESPACE, Values, notes, refusal, render
from tests.unit.schemas.test_published import EVICTOR as CLOSED

# Facts of the closed chart 0.35, release castai-evictor.
NAMED_AS_BEFORE = ["Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"]
UPGRADE = f"helm upgrade {EVICTOR} moorage/{EVICTOR} -n {NAMESPACE} --reset-then-reuse-values --set"
SELECTOR = {"app.kubernetes.io/name": EVICTOR, "app.kubernetes.io/instance": EVICTOR}


@pytest.mark.parametrize("kind", NAMED_AS_BEFORE)
def test_names_are_those_of_the_closed_chart(kind: str) -> None:
    assert render(EVICTOR).one(kind, EVICTOR)["metadata"]["namespace"] == NAMESPACE


def test_selectors_service_and_container_are_those_of_the_closed_chart() -> None:
    rendered = render(EVICTOR)
    deployment = rendered.one("Deployment")
    assert deployment["spec"]["selector"] == {"matchLabels": SELECTOR}
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert rendered.pod["metadata"]["labels"].items() >= SELECTOR.items()
    service = rendered.one("Service")["spec"]
    assert (service["type"], service["selector"]) == ("ClusterIP", SELECTOR)
    assert service["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    assert rendered.container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert rendered.container["name"] == EVICTOR
    assert rendered.container["args"] == ["evictor"]
    assert {each["metadata"]["name"] for each in rendered.all("ConfigMap")} == {
        f"{EVICTOR}-config",
        f"{EVICTOR}-prices",
    }


def test_its_service_is_as_the_published_values_say() -> None:
    service = render(EVICTOR, {"service": {"type": "NodePort", "port": 80}}).one("Service")["spec"]
    assert (service["type"], service["ports"][0]["port"]) == ("NodePort", 80)
    assert "service.type is NodePort" in notes(EVICTOR, {"service": {"type": "NodePort"}})


def test_other_names() -> None:
    rendered = render(EVICTOR, {"fullnameOverride": "mine", "nameOverride": "packer"})
    assert rendered.one("Deployment")["metadata"]["name"] == "mine"
    assert rendered.env["MOORAGE_LEASE_NAME"] == "mine"
    maps = {each["metadata"]["name"] for each in rendered.all("ConfigMap")}
    assert {rendered.env["MOORAGE_RULES_CONFIG_MAP"], rendered.env["MOORAGE_PRICES_CONFIG_MAP"]} == maps
    rules = rendered.one("Role")["rules"]
    assert {name for rule in rules for name in rule.get("resourceNames", ())} == {"mine", *maps}
    assert rendered.pod["metadata"]["labels"]["app.kubernetes.io/name"] == "packer"
    free = render(EVICTOR, {"fullnameOverride": ""}, release="other")
    assert free.one("Deployment")["metadata"]["name"] == "other-castai-evictor"


# --- what the process is told ---

ENV: dict[str, Any] = {
    "MOORAGE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
    "MOORAGE_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
    "MOORAGE_LOG_LEVEL": "info",
    "MOORAGE_LOG_FORMAT": "json",
    "MOORAGE_HEALTH_ADDRESS": ":8080",
    "MOORAGE_LEASE_NAME": "castai-evictor",
    "MOORAGE_LEADER_ELECTION": "true",
    "MOORAGE_MANAGED": "true",
    "MOORAGE_RULES_CONFIG_MAP": "castai-evictor-config",
    "MOORAGE_PRICES_CONFIG_MAP": "castai-evictor-prices",
    "MOORAGE_EVICTOR_ENABLED": "true",
    "MOORAGE_DRY_RUN": "true",
    "MOORAGE_AGGRESSIVE_MODE": "false",
    "MOORAGE_SCOPED_MODE": "false",
    "MOORAGE_NODE_GRACE_PERIOD_MINUTES": "5",
    "MOORAGE_CYCLE_INTERVAL": "1m",
    "MOORAGE_MAX_TARGET_NODES_PER_CYCLE": "20",
    "MOORAGE_MIN_TARGET_NODES_PER_CYCLE": "5",
    "MOORAGE_TARGET_NODE_PERCENTAGE": "10",
    "MOORAGE_DRAIN_TIMEOUT": "10m",
    "MOORAGE_DRAIN_ROLLBACK_TIMEOUT": "1m",
    "MOORAGE_POD_EVICTION_FAILURE_BACK_OFF": "5s",
    "MOORAGE_PARALLEL_DRAINS": "5",
    "MOORAGE_EMPTY_NODE_TIMEOUT": "15m",
    "MOORAGE_SOFT_TAINTING": "false",
    "MOORAGE_DESTINATIONS": "true",
    "MOORAGE_EMIT_NODE_RELATED_POD_EVENTS": "false",
    "MOORAGE_ARM64_SUPPORTED": "true",
    "MOORAGE_WINDOWS": "false",
    "MOORAGE_BASE_CPU_COST": "7.0",
    "MOORAGE_BASE_MEM_COST": "1.0",
    "MOORAGE_SPOT_DISCOUNT": "0.5",
    "MOORAGE_TARGET_UTILIZATION": "95",
    "MOORAGE_QUIET_PERIOD": "10m",
    "MOORAGE_ALLOW_SPOT": "false",
    "MOORAGE_OWNER_WINDOW": "1h",
    "MOORAGE_STOP_GRACE": "20s",
}


def test_the_environment_has_every_setting_once() -> None:
    assert render(EVICTOR).env == ENV
    assert "envFrom" not in render(EVICTOR).container
    of_shells = {"MOORAGE_KUBECONFIG", "MOORAGE_CONTEXT"}
    known = {each.variable for each in settings_of(EvictorSettings).values()}
    assert known - of_shells == set(ENV)


def test_every_value_reaches_the_process() -> None:
    values = {
        "evictorEnabled": False,
        "dryRun": False,
        "aggressiveMode": True,
        "scopedMode": True,
        "nodeGracePeriodMinutes": 8,
        "cycleInterval": "5m10s",
        "maxNodesToEvictPerCycle": 3,
        "minNodesToEvictPerCycle": 1,
        "targetNodePercentage": 25,
        "drainTimeout": "20m",
        "drainRollbackTimeout": "2m",
        "podEvictionFailureBackOff": "30s",
        "parallelDrains": 1,
        "emptyNodeTimeout": "1h",
        "softTainting": {"enabled": True},
        "destinations": {"enabled": False},
        "emitNodeRelatedPodEvents": True,
        "arm64Supported": False,
        "windows": True,
        "pricingModel": {"baseCPUCost": "8", "baseMemCost": "2", "spotDiscount": "0.75"},
        "targetUtilization": 80,
        "quietPeriod": "0s",
        "allowSpot": True,
        "ownerWindow": "30m",
        "leaderElection": {"enabled": False},
        "managedByCASTAI": False,
        "log": {"level": "debug", "format": "text"},
        "terminationGracePeriodSeconds": 90,
    }
    env = render(EVICTOR, values).env
    said = {name for name, value in env.items() if value != ENV[name]}
    fixed = {
        "NAMESPACE",
        "POD_NAME",
        "HEALTH_ADDRESS",
        "LEASE_NAME",
        "RULES_CONFIG_MAP",
        "PRICES_CONFIG_MAP",
    }
    assert said == set(ENV) - {f"MOORAGE_{name}" for name in fixed}
    assert (env["MOORAGE_QUIET_PERIOD"], env["MOORAGE_BASE_CPU_COST"], env["MOORAGE_CYCLE_INTERVAL"]) == (
        "0s",
        "8",
        "5m10s",
    )
    assert (env["MOORAGE_DRY_RUN"], env["MOORAGE_SOFT_TAINTING"], env["MOORAGE_PARALLEL_DRAINS"]) == (
        "false",
        "true",
        "1",
    )


# --- rules and prices ---

RULE = {"podSelector": {"namespace": "shop", "kind": "Job"}, "settings": {"removalDisabled": {"enabled": True}}}
TEXT = "# ours\nevictionConfig:\n  - podSelector: {kind: Job}\n    settings: {aggressive: true}\n"


@pytest.mark.parametrize(
    "given",
    [{}, [], [RULE], {"evictionConfig": [RULE]}, {"evictionRules": [RULE]}, TEXT, ""],
    ids=lambda each: str(each)[:20],
)
def test_rules_of_every_published_shape_are_handed_on_as_they_are(given: Any) -> None:
    text = render(EVICTOR, {"customConfig": given}).one("ConfigMap", f"{EVICTOR}-config")["data"]["config.yaml"]
    assert text == given if isinstance(given, str) else yaml.safe_load(text) == given


def test_changed_rules_and_prices_restart_nothing() -> None:
    changed = render(EVICTOR, {"customConfig": [RULE], "prices": [{"instanceType": "a", "pricePerHour": 1}]})
    assert changed.pod == render(EVICTOR).pod


def test_labels_of_the_rules() -> None:
    rendered = render(EVICTOR, {"configMapLabels": {"team": "a"}})
    assert rendered.one("ConfigMap", f"{EVICTOR}-config")["metadata"]["labels"]["team"] == "a"
    assert "team" not in rendered.one("ConfigMap", f"{EVICTOR}-prices")["metadata"]["labels"]


def test_prices_say_their_capacity_type() -> None:
    given = [
        {"instanceType": "m5.large", "pricePerHour": 0.096},
        {"instanceType": "m5.large", "capacityType": "spot", "pricePerHour": 0},
    ]
    text = render(EVICTOR, {"prices": given}).one("ConfigMap", f"{EVICTOR}-prices")["data"]["prices.yaml"]
    assert yaml.safe_load(text) == {
        "prices": [
            {"instanceType": "m5.large", "capacityType": "on-demand", "pricePerHour": 0.096},
            {"instanceType": "m5.large", "capacityType": "spot", "pricePerHour": 0},
        ]
    }
    empty = render(EVICTOR).one("ConfigMap", f"{EVICTOR}-prices")["data"]["prices.yaml"]
    assert yaml.safe_load(empty) == {"prices": []}


# --- rights ---

LOOK = {"list", "watch"}
READ = {
    "": {"nodes", "pods", "namespaces", "persistentvolumes", "persistentvolumeclaims", "replicationcontrollers"},
    "apps": {"replicasets", "deployments", "statefulsets", "daemonsets"},
    "batch": {"jobs", "cronjobs"},
    "policy": {"poddisruptionbudgets"},
    "storage.k8s.io": {"storageclasses", "csinodes", "volumeattachments"},
    "resource.k8s.io": {"deviceclasses"},
    "karpenter.sh": {"nodeclaims", "nodepools"},
    "autoscaling.cast.ai": {"evictorconfigs"},
}


def granted(rules: list[dict[str, Any]]) -> dict[tuple[str, str, tuple[str, ...]], set[str]]:
    """Verbs by group, resource and names."""
    found: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource, tuple(rule.get("resourceNames", ()))), set()).update(rule["verbs"])
    return found


IN_A_DRY_RUN = {
    **{(group, each, ()): LOOK for group, resources in READ.items() for each in resources},
    ("autoscaling.cast.ai", "evictorconfigs/status", ()): {"update"},
    ("events.k8s.io", "events", ()): {"create", "patch"},
}
ACTING = {
    **IN_A_DRY_RUN,
    ("", "nodes", ()): {*LOOK, "get", "patch"},
    ("", "pods", ()): {*LOOK, "get"},
    ("", "pods/eviction", ()): {"create"},
    ("moorage.dev", "slotreservations", ()): {"get", "list", "create", "patch", "delete"},
}


@pytest.mark.parametrize(("dry_run", "wanted"), [(True, IN_A_DRY_RUN), (False, ACTING)])
def test_it_may_look_and_write_about_itself_and_act_only_without_dry_run(dry_run: bool, wanted: object) -> None:
    rendered = render(EVICTOR, {"dryRun": dry_run})
    assert granted(rendered.one("ClusterRole", f"{EVICTOR}.{NAMESPACE}")["rules"]) == wanted
    assert rendered.env["MOORAGE_DRY_RUN"] == str(dry_run).lower()
    assert granted(rendered.one("Role")["rules"]) == {
        ("coordination.k8s.io", "leases", ()): {"create"},
        ("coordination.k8s.io", "leases", ("castai-evictor",)): {*LOOK, "get", "update"},
        ("", "configmaps", ("castai-evictor-config", "castai-evictor-prices")): LOOK,
    }
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        assert [each["name"] for each in rendered.one(kind)["subjects"]] == [EVICTOR]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("values", "account"),
    [({}, EVICTOR), ({"serviceAccount": {"create": False, "name": "theirs"}, "rbac": {"enabled": False}}, "theirs")],
)
def test_policies_are_of_the_account_that_the_pods_use_whatever_it_may(
    values: Values, account: str, dry_run: bool
) -> None:
    rendered = render(EVICTOR, {**values, "dryRun": dry_run})
    assert rendered.pod["spec"]["serviceAccountName"] == account
    policies = {each["metadata"]["name"]: each["spec"] for each in rendered.all("ValidatingAdmissionPolicy")}
    assert set(policies) == {f"{EVICTOR}{part}.{NAMESPACE}" for part in ("", "-evictions", "-destinations")}
    by = f"request.userInfo.username == 'system:serviceaccount:{NAMESPACE}:{account}'"
    for policy in policies.values():
        assert policy["failurePolicy"] == "Fail"
        assert [each["expression"] for each in policy["matchConditions"]] == [by]
    bound = {each["metadata"]["name"]: each["spec"] for each in rendered.all("ValidatingAdmissionPolicyBinding")}
    assert bound == {name: {"policyName": name, "validationActions": ["Deny"]} for name in policies}


def test_it_reaches_names_and_the_api_server_and_nobody_else() -> None:
    policy = render(EVICTOR).one("NetworkPolicy")["spec"]
    ports = [{each["port"] for each in rule["ports"]} for rule in policy["egress"]]
    assert ports == [{53, 5353}, {443, 6443, 8443, 16443}]
    assert policy["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]


# --- the published commands ---


@pytest.mark.parametrize(
    "given",
    [
        "dryRun=false",
        "dryRun=false,aggressiveMode=true",
        "dryRun=false,scopedMode=true",
        "dryRun=false,nodeGracePeriodMinutes=8",
        "dryRun=false,image.repository=us-docker.pkg.dev/castai-hub/library/castai-evictor",
    ],
)
def test_the_published_commands_make_it_act(given: str) -> None:
    rendered = render(EVICTOR, options=("--set", given))
    assert granted(rendered.one("ClusterRole", f"{EVICTOR}.{NAMESPACE}")["rules"]) == ACTING
    assert rendered.container["image"] == "ghcr.io/moorage/moorage:2.0.0"
    changed = {
        "MOORAGE_DRY_RUN": "false",
        **({"MOORAGE_AGGRESSIVE_MODE": "true"} if "aggressiveMode" in given else {}),
        **({"MOORAGE_SCOPED_MODE": "true"} if "scopedMode" in given else {}),
        **({"MOORAGE_NODE_GRACE_PERIOD_MINUTES": "8"} if "nodeGracePeriodMinutes" in given else {}),
    }
    assert rendered.env == {**ENV, **changed}


# --- what is refused ---


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"cycleInterval": "0s"}, "/cycleInterval"),
        ({"cycleInterval": "0m0s"}, "/cycleInterval"),
        ({"drainTimeout": "-1m"}, "/drainTimeout"),
        ({"drainRollbackTimeout": "0s"}, "/drainRollbackTimeout"),
        ({"parallelDrains": 0}, "/parallelDrains"),
        ({"parallelDrains": 101}, "/parallelDrains"),
        ({"emptyNodeTimeout": "0s"}, "/emptyNodeTimeout"),
        ({"targetNodePercentage": 300}, "/targetNodePercentage"),
        ({"nodeGracePeriodMinutes": -1}, "/nodeGracePeriodMinutes"),
        ({"targetUtilization": 0}, "/targetUtilization"),
        ({"ownerWindow": "0s"}, "/ownerWindow"),
        ({"prices": [{"instanceType": "a", "pricePerHour": -1}]}, "/prices/0/pricePerHour"),
        ({"prices": [{"instanceType": "a", "pricePerHour": 1, "capacityType": "x"}]}, "/prices/0/capacityType"),
        ({"customConfig": [{"settings": {"aggressive": True}}]}, "/customConfig/0"),
        ({"customConfig": {"evictionRules": [{**RULE, "settings": {}}]}}, "/customConfig/evictionRules/0/settings"),
        ({"maxTargetNodesPerCycle": 5}, "maxTargetNodesPerCycle"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(values: Values, place: str) -> None:
    assert place in refusal(EVICTOR, values)


def test_several_replicas_elect_a_leader() -> None:
    for key in ("replicas", "replicaCount"):
        said = refusal(EVICTOR, {key: 2, "leaderElection": {"enabled": False}})
        assert f"leaderElection.enabled: {files.without_election('2')}" in said
    overlapping = {"updateStrategy": {"type": "RollingUpdate"}, "leaderElection": {"enabled": False}}
    assert f"leaderElection.enabled: {files.OVERLAPPING}" in refusal(EVICTOR, overlapping)
    assert render(EVICTOR, {"leaderElection": {"enabled": False}}).objects


# Published defaults and files that people have; parts of this chart's values.
PUBLISHED: list[Values] = [
    {"rbac": {"enabled": True, "volumes": {"enabled": True}}},
    {"KarpenterMode": {"enabled": False}},
    {"replicaCount": 0},
    {"replicaCount": 0, "castai-evictor-ext": {"enabled": False}, "podLabels": {"team": "platform"}},
    {"resources": {"requests": {"memory": "256Mi"}}},
    {"clusterIdSecretKeyRef": {"name": "s", "key": "K"}, "clusterIdConfigMapKeyRef": {"name": "c", "key": "K"}},
    {"installCRDs": True, "ignorePodDisruptionBudgets": True, "softTainting": {"enabled": False}},
]


def test_the_guides_values_are_taken() -> None:
    guide = (CHARTS.parent / "docs/guides/install.md").read_text()
    values = yaml.safe_load(guide.partition("# evictor.yaml\n")[2].partition("```")[0])
    assert set(values) == {"prices", "customConfig"}
    assert render(EVICTOR, values).objects


@pytest.mark.parametrize("values", PUBLISHED, ids=str)
def test_published_files_are_taken(values: Values) -> None:
    assert render(EVICTOR, values).env == ENV


# --- what is said ---


def test_that_eviction_is_off_is_said_first_and_where_the_report_is() -> None:
    said = notes(EVICTOR)
    assert "Deployment castai-evictor in namespace castai-agent, replicas: 1, dry run. EVICTION IS OFF" in said
    assert f"To turn it on, once you have seen what it finds: {UPGRADE} dryRun=false" in said
    assert "An EvictorConfig that says dryRun: false is not enough: the rights to evict come with the value." in said
    for command in (
        "kubectl logs -l app.kubernetes.io/name=castai-evictor -n castai-agent",
        "moorage evictor --once",
        "kubectl get evictorconfig evictor-config -o yaml",
    ):
        assert command in said
    assert "without effect" not in said
    assert "NOTHING RUNS" not in said
    assert "did evict" not in said


def test_that_it_evicts_is_said_first_and_how_it_is_stopped() -> None:
    said = notes(EVICTOR, {"dryRun": False, "parallelDrains": 3})
    assert "Deployment castai-evictor in namespace castai-agent, replicas: 1. EVICTION IS ON: dryRun is false." in said
    assert "are tainted, cordoned and emptied by evictions, at most 3 at the same time. It deletes no node" in said
    assert f"{UPGRADE} dryRun=true An EvictorConfig that says dryRun wins over the value." in said
    assert f"kubectl scale deployment {EVICTOR} -n {NAMESPACE} --replicas=0 {UPGRADE}" in said
    assert "EVICTION IS OFF" not in said
    assert "admissionPolicy" not in said
    assert "are tainted and emptied" in notes(EVICTOR, {"dryRun": False, "softTainting": {"enabled": True}})
    for idle in ({"evictorEnabled": False}, {"replicas": 0}):
        assert "EVICTION IS ON, once it runs: dryRun is false." in notes(EVICTOR, {"dryRun": False, **idle})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"replicaCount": 0}, "NOTHING RUNS: replicaCount is 0."),
        ({"admissionPolicy": {"enabled": False}}, "nothing but RBAC holds service account castai-evictor"),
        ({"evictorEnabled": False}, "IT DOES NOTHING: evictorEnabled is false."),
        ({"crds": {"enabled": False}}, "somebody else defines evictorconfigs.autoscaling.cast.ai"),
        ({"rbac": {"enabled": False}}, "somebody else grants service account castai-evictor its rights"),
        ({"managedByCASTAI": True}, "only the label charts.cast.ai/managed"),
        ({"image": {"repository": "us-docker.pkg.dev/castai-hub/library/evictor"}}, "an image of the closed product"),
        (
            {"ignorePodDisruptionBudgets": True, "woop": {}, "softTainting": {"enabled": True}},
            "Accepted, without effect: ignorePodDisruptionBudgets, woop.",
        ),
    ],
)
def test_each_setting_that_people_ought_to_know_about(values: Values, sentence: str) -> None:
    assert sentence in notes(EVICTOR, values)


# --- `helm upgrade --reuse-values` from the closed chart: its values take the place of our values.yaml, whole ---


def reused(folder: Path, values: Values) -> Path:
    """Our chart as Helm sees it then."""
    chart = folder / EVICTOR
    shutil.copytree(CHARTS / EVICTOR, chart)
    (chart / "values.yaml").write_text(yaml.safe_dump(dict(values)))
    return chart


def test_the_closed_charts_values_in_place_of_ours(tmp_path: Path) -> None:
    chart = reused(tmp_path, {**CLOSED, "dryRun": False})
    rendered = render(chart)
    assert rendered.env == {**ENV, "MOORAGE_DRY_RUN": "false"}
    assert granted(rendered.one("ClusterRole", f"{EVICTOR}.{NAMESPACE}")["rules"]) == ACTING
    assert len(rendered.all("ValidatingAdmissionPolicy")) == 3
    assert render(chart, {"dryRun": True}).env == ENV
    assert rendered.container["image"] == "ghcr.io/moorage/moorage:2.0.0"
    assert [each["kind"] for each in rendered.objects] == [each["kind"] for each in render(EVICTOR).objects]


def test_values_that_lack_all_of_ours(tmp_path: Path) -> None:
    rendered = render(reused(tmp_path, {}))
    assert rendered.env == ENV
    assert rendered.pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert rendered.container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
