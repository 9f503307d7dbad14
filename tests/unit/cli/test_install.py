"""``moorage install``: every conclusion from what is in a cluster, all of them together, and what is printed."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cli import install
from moorage.cli.installing.judging import Step, judge
from moorage.cli.installing.releases import Release, unpacked
from moorage.cli.installing.standing import EVICTOR, PARTS, PINNER, PLANNER
from moorage.cli.installing.surroundings import DEFINITIONS
from moorage.objects import KubeObject, Namespace, Node
from tests.unit.cli.cluster_parts import (
    NAMESPACE,
    REFUSED,
    RESTRICTED,
    VERSION,
    closed,
    deployment,
    found,
    node,
    ours,
    said,
    step,
    values_of,
)

# --- what is there already ---


def test_an_empty_cluster_gets_the_umbrella() -> None:
    plan = judge(found(), VERSION)
    assert step(plan) == Step("moorage", "moorage", installs=True, values={})
    assert not plan.blockers
    assert "the evictor only says what it would do" in said(plan)


def test_what_is_there_and_complete_is_left_alone() -> None:
    for programs in ([ours(part, "moorage") for part in PARTS], [ours(part) for part in PARTS]):
        plan = judge(found(*programs), VERSION)
        assert plan.steps == []
        assert "nothing is missing" in said(plan)
        assert install.code(plan) == 0


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_that_a_release_lacks_is_switched_on(missing: str) -> None:
    there = [ours(part, "mine") for part in PARTS if part != missing]
    assert step(judge(found(*there), VERSION)) == Step(
        "mine", "moorage", installs=False, values={f"{missing}.enabled": "true"}
    )


@pytest.mark.parametrize("missing", PARTS)
def test_parts_with_releases_of_their_own_get_another_one_beside_them(missing: str) -> None:
    there = [ours(part) for part in PARTS if part != missing]
    assert step(judge(found(*there), VERSION)) == Step(missing, missing, installs=True, values={})


def test_an_older_release_is_upgraded_and_keeps_its_values() -> None:
    plan = judge(found(*[ours(part, "moorage", "1.9.0") for part in PARTS]), VERSION)
    assert step(plan) == Step("moorage", "moorage", installs=False, values={})


def test_what_the_user_has_said_stays() -> None:
    there = [ours(part, "moorage", "1.9.0") for part in PARTS]
    given = {"castai-pod-pinner": {"replicas": 3}}
    release = Release("moorage", "deployed", 4, "moorage", given)
    one = {"nodes": (node(),), "monitors": frozenset({"servicemonitors"})}
    found_values = values_of(*there, releases={"moorage": release}, **one)
    assert found_values == {f"{part}.serviceMonitor.enabled": "true" for part in PARTS}


def test_one_part_alone_in_the_umbrellas_release_is_not_taken_for_that_parts_chart() -> None:
    there = ours(PINNER, "everything")
    release = Release("everything", "deployed", 1, "moorage", {})
    plan = judge(found(there, releases={"everything": release}), VERSION)
    assert (step(plan).release, step(plan).chart) == ("everything", "moorage")


@pytest.mark.parametrize("whose", [ours, closed])
def test_a_release_of_somebodys_own_chart_is_changed_there(whose: Any) -> None:
    """Upgraded to a chart of Moorage it would lose everything else."""
    release = Release("platform", "deployed", 1, "platform", {})
    plan = judge(found(whose(EVICTOR, "platform"), releases={"platform": release}), VERSION)
    assert {each.release for each in plan.steps} == {"moorage"}
    assert "release platform of chart platform holds" in said(plan)


@pytest.mark.parametrize("whose", [ours, closed])
def test_without_helms_secrets_only_a_release_called_like_its_part_is_upgraded(whose: Any) -> None:
    plan = judge(found(whose(EVICTOR, "packer"), releases=REFUSED), VERSION)
    assert {each.release for each in plan.steps} == {"moorage"}
    assert "its chart cannot be seen" in said(plan)
    old = judge(found(whose(EVICTOR, **({"version": "1.0.0"} if whose is ours else {})), releases=REFUSED), VERSION)
    assert old.steps[0].release == EVICTOR
    assert "serviceMonitor.enabled" not in old.steps[0].values
    both = judge(found(whose(EVICTOR, EVICTOR), whose(PINNER, EVICTOR), releases=REFUSED), VERSION)
    assert {each.release for each in both.steps} == {"moorage"}


def test_another_namespace_has_it() -> None:
    there = [ours(part, "moorage", namespace="elsewhere") for part in PARTS]
    plan = judge(found(*there), VERSION)
    assert plan.steps == []
    assert "--namespace elsewhere" in said(plan)


# --- the closed product ---


def test_closed_releases_are_upgraded_in_place() -> None:
    plan = judge(found(closed(PINNER, replicas=2), closed(EVICTOR)), VERSION)
    first, second, third = plan.steps
    assert first == Step(PINNER, PINNER, installs=False, values={})
    assert second == Step(EVICTOR, EVICTOR, installs=False, values={"dryRun": "true"})
    assert third == Step(PLANNER, PLANNER, installs=True, values={})


def test_a_closed_release_of_another_name_keeps_it() -> None:
    assert step(judge(found(closed(EVICTOR, "packer"), ours(PINNER), ours(PLANNER)), VERSION)).release == "packer"


def test_zero_replicas_do_not_stay_zero() -> None:
    first = judge(found(closed(PINNER, replicas=0), closed(EVICTOR, replicas=0)), VERSION).steps
    assert first[0].values["replicas"] == "2"
    assert first[1].values["replicas"] == "1"
    assert {each.values["replicaCount"] for each in first[:2]} == {"null"}


def test_only_keys_that_are_there_are_removed() -> None:
    release = Release(PINNER, "deployed", 1, PINNER, {"castai": {"apiKeySecretRef": "x"}})
    plan = judge(found(closed(PINNER), releases={PINNER: release}), VERSION)
    assert plan.steps[0].values == {"castai.apiKeySecretRef": "null"}


def test_a_part_of_the_closed_umbrella_stays_until_it_is_switched_off() -> None:
    agent = deployment("castai-agent", release="castai", chart="castai-agent-0.1.0")
    plan = judge(found(closed(PINNER, "castai"), closed(EVICTOR, "castai"), agent), VERSION)
    off = {f"{part}.enabled": "false" for part in (PINNER, EVICTOR)}
    assert step(plan) == Step("moorage", "moorage", installs=True, values=off)
    assert "switch castai-evictor off there, then run this again" in said(plan)
    after = judge(found(ours(PLANNER, "moorage"), agent), VERSION)
    assert step(after).values == {f"{part}.enabled": "true" for part in (PINNER, EVICTOR)}


def test_rights_of_the_closed_evictor_are_named() -> None:
    rights = Release("castai-evictor-ext", "deployed", 1)
    plan = judge(found(releases={"castai-evictor-ext": rights}), VERSION)
    assert "helm uninstall castai-evictor-ext -n castai-agent" in said(plan)
    assert step(plan).values == {}


def test_beside_the_closed_controller_nothing_is_its_own() -> None:
    controller = deployment("castai-cluster-controller", release="castai-cluster-controller")
    managed = {f"{part}.managedByCASTAI": "false" for part in (PINNER, EVICTOR)}
    assert values_of(controller) == managed
    assert values_of(deployment("castai-cluster-controller", namespace="elsewhere")) == {}


@pytest.mark.parametrize(
    ("labels", "keeper"),
    [
        ({"helm.toolkit.fluxcd.io/name": "pinner"}, "HelmRelease pinner of Flux"),
        ({"argocd.argoproj.io/instance": "pinner"}, "Application pinner of Argo CD"),
    ],
)
@pytest.mark.parametrize("whose", [ours, closed])
def test_what_gitops_keeps_is_changed_there(whose: Any, labels: dict[str, str], keeper: str) -> None:
    plan = judge(found(whose(PINNER, **labels), ours(EVICTOR), ours(PLANNER)), VERSION)
    assert plan.steps == []
    assert f"{keeper} keeps it" in said(plan)


def test_without_helm_it_is_removed_first() -> None:
    plan = judge(found(deployment(EVICTOR)), VERSION)
    assert step(plan).values == {f"{EVICTOR}.enabled": "false"}
    assert "no release of Helm holds it" in said(plan)


# --- what else is there ---


@pytest.mark.parametrize(
    ("nodes", "profile"),
    [
        ([node(provider="aws:///eu-central-1a/i-1")], "aws"),
        ([node(provider="gce://p/z/n")], "gcp"),
        ([node(provider="azure:///subscriptions/x")], "azure"),
        ([node(provider="kind://docker/kind/a")], None),
        ([node()], None),
        ([node(provider="aws:///a/i-1"), node("b", provider="gce://p/z/b")], None),
        ([node(provider="aws:///a/i-1", labels={"eks.amazonaws.com/nodegroup": "a"})], "late"),
        ([node(provider="gce://p/z/n", labels={"cloud.google.com/gke-nodepool": "a"})], "late"),
        ([node(provider="azure:///s", labels={"kubernetes.azure.com/agentpool": "a"})], "late"),
    ],
)
def test_the_profile_follows_the_machines(nodes: list[Node], profile: str | None) -> None:
    assert values_of(nodes=tuple(nodes)).get(f"{PINNER}.provider.profile") == profile


CLUSTER_AUTOSCALER = "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.0@sha256:0"


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": frozenset({"karpenter.sh"})},
        {"autoscaled": True},
        {"programs": (deployment("scaler", namespace="kube-system", image=CLUSTER_AUTOSCALER),)},
    ],
)
def test_who_makes_machines_names_them(changes: dict[str, Any]) -> None:
    aws = (node(provider="aws:///a/i-1"), node("b", provider="aws:///a/i-2"))
    assert values_of(nodes=aws, **changes)[f"{PINNER}.provider.profile"] == "late"


@pytest.mark.parametrize(
    ("args", "waits"),
    [
        ([], "25m"),
        (["--scale-down-unneeded-time=1m", "--scale-down-delay-after-add=2m30s"], None),
        (["--scale-down-unneeded-time=30m"], "45m"),
        (["--scale-down-unneeded-time=not-a-time", "--scale-down-delay-after-add=5m"], "20m"),
    ],
)
def test_the_evictor_waits_longer_than_cluster_autoscaler(args: list[str], waits: str | None) -> None:
    scaler = deployment("scaler", namespace="kube-system", image=CLUSTER_AUTOSCALER, args=args)
    assert values_of(scaler).get(f"{EVICTOR}.emptyNodeTimeout") == waits


def test_flags_that_cluster_autoscaler_lacks_are_named() -> None:
    scaler = deployment("scaler", image=CLUSTER_AUTOSCALER)
    assert "--startup-taint=scheduling.cast.ai/pod-pinning-preparing" in said(judge(found(scaler), VERSION))
    has = ["--startup-taint=a", "--startup-taint=scheduling.cast.ai/pod-pinning-preparing"]
    scaler = deployment("scaler", image=CLUSTER_AUTOSCALER, args=[*has, "--status-taint=evictor.cast.ai/evicted"])
    assert "give it" not in said(judge(found(scaler), VERSION))


def test_one_machine_is_enough_for_one_replica() -> None:
    assert values_of(nodes=(node("a"), node("b", ready=False)))[f"{PINNER}.replicas"] == "1"
    assert f"{PINNER}.replicas" not in values_of()
    assert "wait until there is one" in said(judge(found(nodes=()), VERSION))


def test_the_prometheus_operator_scrapes() -> None:
    both = values_of(groups=frozenset({"monitoring.coreos.com"}), monitors=frozenset({"servicemonitors"}))
    assert both == {f"{part}.serviceMonitor.enabled": "true" for part in PARTS}
    rules = values_of(monitors=frozenset({"servicemonitors", "prometheusrules"}))
    assert rules[f"{PLANNER}.prometheusRule.enabled"] == "true"
    assert values_of(groups=frozenset({"monitoring.coreos.com"})) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": frozenset({"security.openshift.io"})}, "the charts leave out runAsUser"),
        ({"groups": frozenset({"cert-manager.io"})}, "make and renew their certificates themselves"),
        ({"groups": frozenset({"karpenter.sh"})}, "consolidationPolicy: WhenEmpty"),
        ({"crons": (KubeObject(),)}, "else it evicts pinned pods"),
        ({"programs": (deployment("d", image="registry.k8s.io/descheduler/descheduler:v0.36.0"),)}, "evicts pinned"),
        (
            {"space": RESTRICTED},
            "Pod Security restricted in namespace castai-agent: the pods satisfy it; webhook.hostNetwork would not",
        ),
    ],
)
def test_neighbours_are_named_and_set_nothing_by_themselves(changes: dict[str, Any], words: str) -> None:
    plan = judge(found(**changes), VERSION)
    assert words in said(plan)
    assert not {key for key in step(plan).values if key != f"{PINNER}.provider.profile"}


# --- what forbids it ---


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("1.32.9", False),
        ("1.33.0", True),
        ("1.33+", True),
        ("2.0.0", True),
        ("1.9.0", False),
        ("1.36.0-eks-1", True),
        ("", True),
    ],
)
def test_kubernetes_must_be_new_enough(version: str, taken: bool) -> None:
    plan = judge(found(version=version), VERSION)
    assert bool(plan.steps) is taken
    assert install.code(plan) == (0 if taken else 1)


def test_a_namespace_that_is_being_deleted_takes_nothing_new() -> None:
    leaving = msgspec.convert({"metadata": {"deletionTimestamp": "2026-11-30T00:00:00Z"}}, Namespace)
    plan = judge(found(space=leaving), VERSION)
    assert plan.steps == []
    assert "namespace castai-agent is being deleted" in said(plan)


def test_a_stuck_release_is_named_with_the_way_out() -> None:
    there = [ours(part, "moorage", "1.0.0") for part in PARTS]
    for revision, way in ((3, "helm rollback moorage -n castai-agent"), (1, "helm uninstall moorage -n castai-agent")):
        release = Release("moorage", "pending-upgrade", revision, "moorage", {})
        plan = judge(found(*there, releases={"moorage": release}), VERSION)
        assert plan.steps == []
        assert way in said(plan)


def test_a_release_of_that_name_and_another_chart_is_not_overwritten() -> None:
    plan = judge(found(releases={"moorage": Release("moorage", "deployed", 1, "boats", {})}), VERSION)
    assert plan.steps == []
    assert "release moorage is in namespace castai-agent already, of chart boats" in said(plan)
    unseen = judge(found(ours(PINNER, "moorage"), releases=REFUSED), VERSION)
    assert unseen.steps == [], "it would switch the pod pinner off"
    assert "already, and its chart cannot be seen" in said(unseen)


def test_rules_of_an_evictor_that_is_gone_are_not_overwritten() -> None:
    plan = judge(found(rules=KubeObject()), VERSION)
    assert plan.steps == []
    assert "ConfigMap castai-agent/castai-evictor-config" in said(plan)


def test_definitions_of_others_are_given_to_the_release() -> None:
    plan = judge(found(definitions={DEFINITIONS[0]: KubeObject(), DEFINITIONS[1]: None}), VERSION)
    label, annotate = plan.before
    assert label[3:] == ["crd", DEFINITIONS[0], "app.kubernetes.io/managed-by=Helm"]
    assert "meta.helm.sh/release-name=moorage" in annotate
    kept = {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "moorage", "meta.helm.sh/release-namespace": NAMESPACE},
    }
    own = msgspec.convert({"metadata": kept}, KubeObject)
    assert judge(found(definitions=dict.fromkeys(DEFINITIONS, own)), VERSION).before == []


@pytest.mark.parametrize("name", ["nodes", "space", "crons", "autoscaled", "rules", "releases"])
def test_what_may_not_be_read_is_said_and_not_guessed(name: str) -> None:
    plan = judge(found(**{name: REFUSED}), VERSION)
    (unseen,) = plan.unseen
    assert unseen.endswith(": not allowed")
    assert install.code(plan) == install.UNSEEN
    assert step(plan).values == {}


def test_without_deployments_nothing_is_concluded() -> None:
    plan = judge(found(programs=REFUSED), VERSION)
    assert plan.steps == []
    assert "cannot be seen what is installed already" in said(plan)
    assert judge(found(everywhere=False), VERSION).unseen == [
        "Deployments outside namespace castai-agent: autoscalers and another installation could be there"
    ]


# --- what is printed, and what Helm has stored ---


def test_the_script_is_for_the_cluster_that_was_looked_at() -> None:
    settings = install.InstallSettings(
        namespace="my", context="it's", kubeconfig=Path("/a b"), charts="oci://r/charts/"
    )
    plan = judge(found(nodes=(node(),), definitions={DEFINITIONS[0]: KubeObject()}), VERSION)
    *_, last = (line for line in "\n".join(install.lines(settings, "s", plan)).replace("\\\n", "").splitlines())
    words = shlex.split(last)
    assert words[:5] == ["helm", "upgrade", "--install", "moorage", "oci://r/charts/moorage"]
    assert words[5:9] == ["-n", "my", "--create-namespace", "--reset-then-reuse-values"]
    assert words[9:11] == ["--kubeconfig=/a b", "--kube-context=it's"]
    answer = json.loads(json.dumps(install.as_json(settings, "s", plan)))
    assert answer["commands"][0]["command"] == words
    assert answer["before"][0][-2:] == ["--kubeconfig=/a b", "--context=it's"]


def test_a_release_is_read_as_helm_stores_it() -> None:
    release = {"chart": {"metadata": {"name": "moorage"}}, "config": {"a": 1}}
    data = json.dumps(release).encode()
    assert unpacked(base64.b64encode(gzip.compress(data))) == release
    assert unpacked(base64.b64encode(data)) == release


@given(st.binary(max_size=40))
def test_what_is_no_release_is_none(data: bytes) -> None:
    for text in (data, base64.b64encode(data), base64.b64encode(gzip.compress(data))):
        assert unpacked(text) == {} or isinstance(unpacked(text), dict)


def test_values_of_a_release_are_never_shown() -> None:
    assert "sesame" not in repr(Release("a", "deployed", 1, "moorage", {"castai": {"apiKey": "sesame"}}))
