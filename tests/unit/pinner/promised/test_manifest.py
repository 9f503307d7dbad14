"""From a promise to a placeholder, from a machine back to its promise, and promises that no provider can keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from moorage.kube.clock import micro_time
from moorage.objects import Lease, Node, NodeSpec, NodeStatus, NodeSystemInfo, ObjectMeta, Quantities, Taint
from moorage.objects.coordination import LeaseSpec
from moorage.pinner import providers
from moorage.pinner.commands import cleanup
from moorage.pinner.decisions import adoption
from moorage.pinner.decisions.signs import is_ours
from moorage.pinner.names import (
    JOINING_LABELS,
    PLACEHOLDER_LABEL,
    PREPARING,
    PREPARING_TAINT,
    RENEWED_ANNOTATION,
)
from moorage.pinner.node.leases import Renewal, judge
from moorage.pinner.promised.manifest import as_promised, placeholder_manifest, placeholder_taints
from moorage.pinner.providers import PROFILES, Profile
from moorage.pinner.refusal import Refusal
from moorage.protocol import Promise as PromisedNode
from moorage.reservations import Nomination, Promise
from tests.unit.pinner import model

ROOM: Quantities = {"cpu": "4", "memory": "8Gi", "pods": "110"}
AZURE_ID = "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/n"


def promised(name: str = "node-1", **fields: Any) -> PromisedNode:
    return PromisedNode(name, fields.pop("allocatable", ROOM), **fields)


# --- providers ---


@pytest.mark.parametrize(
    ("profile", "fields", "reason"),
    [
        ("generic", {}, ""),
        ("aws", {}, "PROVIDER_ID_NEEDED"),
        ("aws", {"provider_id": "aws:///eu-central-1a/i-0123456789abcdef0"}, ""),
        ("aws", {"provider_id": "gce://p/z/n"}, "INVALID_METADATA"),
        ("gcp", {"provider_id": "gce://project/europe-west3-a/node-1"}, ""),
        ("gcp", {"provider_id": "gce://project/europe-west3-a/node-2"}, "INVALID_METADATA"),
        ("azure", {"provider_id": AZURE_ID}, ""),
        ("generic", {"labels": {"karpenter.sh/nodepool": "x"}}, "KARPENTER_NODE"),
        ("generic", {"match_labels": {"a": "b"}}, "INVALID_METADATA"),
        ("late", {}, "INVALID_METADATA"),
        ("late", {"provider_id": "anything"}, ""),
        ("late", {"node_claim": "c", "labels": {"karpenter.sh/nodepool": "x"}}, ""),
        ("generic", {"startup_taints": (Taint("karpenter.sh/unregistered", "", "NoExecute"),)}, "KARPENTER_NODE"),
    ],
)
def test_what_a_provider_asks_for(profile: str, fields: Any, reason: str) -> None:
    refusal = providers.refuse(promised(**fields), PROFILES[profile])
    assert (refusal.reason.name if refusal else "") == reason


def test_profiles_are_chosen_by_name_or_default() -> None:
    assert providers.choose("", "aws") is PROFILES["aws"]
    assert providers.choose("azure", "aws") is PROFILES["azure"]
    for name, reason in (("karpenter", "KARPENTER_NODE"), ("metal", "UNKNOWN_PROFILE")):
        refusal = providers.choose(name, "aws")
        assert isinstance(refusal, Refusal)
        assert refusal.reason.name == reason


# --- the placeholder ---


def test_a_placeholder_carries_everything_and_never_a_condition_or_a_startup_no_execute() -> None:
    promise = Promise(
        allocatable=ROOM,
        labels={"pool": "a"},
        taints=(Taint("dedicated", "x", "NoExecute"),),
        startup_taints=(Taint("agent", "", "NoExecute"), Taint("dedicated", "x", "NoSchedule")),
        provider_id=AZURE_ID,
    )
    made = placeholder_manifest("node-1", "r", promise, PROFILES["azure"])
    labels = made["metadata"]["labels"]
    assert labels["kubernetes.azure.com/managed"] == "false"
    assert labels.items() >= {**JOINING_LABELS, "pool": "a"}.items()
    assert made["spec"]["providerID"] == AZURE_ID
    assert made["status"] == {"capacity": ROOM, "allocatable": ROOM}
    effects = {(taint["key"], taint["effect"]) for taint in made["spec"]["taints"]}
    assert effects == {
        (PREPARING, "NoSchedule"),
        ("dedicated", "NoExecute"),
        ("dedicated", "NoSchedule"),
        ("agent", "NoSchedule"),
        ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule"),
    }
    plain = placeholder_taints(Promise(allocatable=ROOM), PROFILES["generic"])
    assert [taint.key for taint in plain] == [PREPARING]


# --- adoption ---


def real(labels: dict[str, str], taints: tuple[Taint, ...] = (PREPARING_TAINT,), **allocatable: str) -> Node:
    return Node(
        metadata=ObjectMeta(name="node-1", labels=labels),
        spec=NodeSpec(taints=taints),
        status=NodeStatus(allocatable={**ROOM, **allocatable}, node_info=NodeSystemInfo(kubelet_version="v1")),
    )


WANTED = Promise(
    allocatable=ROOM, labels={"pool": "a", "kubernetes.io/arch": "amd64"}, taints=(Taint("d", "x", "NoSchedule"),)
)


def adopt(node: Node, preparing: str = "", profile: Profile = PROFILES["azure"]) -> adoption.Adoption:
    return adoption.adopt(node, WANTED, profile, preparing=preparing)


def test_what_a_machine_lacks_is_completed_and_what_only_a_placeholder_has_is_taken_off() -> None:
    node = real({**JOINING_LABELS, "kubernetes.azure.com/managed": "false", "kubernetes.io/arch": "arm64"}, cpu="3900m")
    changes, shortfalls = adopt(node)
    labels = changes["metadata"]["labels"]
    assert labels["pool"] == "a"
    assert "kubernetes.io/arch" not in labels
    assert {key for key, value in labels.items() if value is None} == {*JOINING_LABELS, "kubernetes.azure.com/managed"}
    assert changes["spec"]["taints"] == [{"key": "d", "value": "x", "effect": "NoSchedule"}]
    assert set(shortfalls) == {
        "cpu: 4000m promised, 3900m there",
        "label kubernetes.io/arch: amd64 was promised, the kubelet says arm64",
    }


def test_volumes_are_limited_as_promised_though_no_kubelet_says_so() -> None:
    name = "attachable-volumes-csi-ebs.csi.aws.com"
    promise = msgspec.structs.replace(WANTED, allocatable={**ROOM, name: "25"})
    node = real({})
    assert as_promised("node-1", promise, node).status.allocatable == {**ROOM, name: "25"}
    assert as_promised("node-1", promise, real({}, (PREPARING_TAINT,), **{name: "7"})).status.allocatable[name] == "7"
    told = adoption.adopt(node, promise, PROFILES["azure"], preparing="").shortfalls
    assert not [each for each in told if name in each]


def test_what_is_as_it_should_be_is_not_touched() -> None:
    labels = {
        "pool": "a",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": "node-1",
        "provisioner.cast.ai/managed-by": "cast.ai",
    }
    assert adopt(real(labels, taints=WANTED.taints)) == adoption.Adoption({}, ())
    assert adopt(real({**labels, "more": "x"}, taints=(*WANTED.taints, Taint("other", "", "NoExecute")), cpu="5")) == (
        {},
        (),
    )


@pytest.mark.parametrize(
    ("have", "wanted", "after"),
    [
        ("NoSchedule", "PreferNoSchedule", {"PreferNoSchedule"}),
        ("NoSchedule", "", set()),
        ("PreferNoSchedule", "", set()),
        ("PreferNoSchedule", "NoSchedule", {"PreferNoSchedule"}),
        ("", "PreferNoSchedule", set()),
    ],
)
def test_our_taint_steps_down_and_never_up(have: str, wanted: str, after: set[str]) -> None:
    ours = (msgspec.structs.replace(PREPARING_TAINT, effect=have),) if have else ()
    node = real({}, taints=(*ours, Taint("keep", "me", "NoExecute", time_added="2026-01-31T12:00:00Z")))
    changes, _ = adopt(node, wanted)
    taints = changes["spec"]["taints"]
    assert {taint["effect"] for taint in taints if taint["key"] == PREPARING} == after
    assert {"key": "keep", "value": "me", "effect": "NoExecute", "timeAdded": "2026-01-31T12:00:00Z"} in taints


# --- Leases ---

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("renewed", "expected"),
    [
        (None, Renewal.RENEW),
        ("garbage", Renewal.RENEW),
        (NOW - timedelta(seconds=10), Renewal.RENEW),
        (NOW - timedelta(seconds=9), Renewal.WAIT),
        (NOW + timedelta(seconds=2), Renewal.WAIT),
        (NOW + timedelta(seconds=3), Renewal.AHEAD),
        (NOW + timedelta(days=400), Renewal.AHEAD),
    ],
)
def test_a_lease_is_renewed_only_forwards_and_only_when_nobody_else_does(renewed: Any, expected: Renewal) -> None:
    text = micro_time(renewed) if isinstance(renewed, datetime) else renewed
    ours = ObjectMeta(annotations={RENEWED_ANNOTATION: str(text)})
    assert judge(Lease(metadata=ours, spec=LeaseSpec(renew_time=text)), NOW, 20.0) is expected


@pytest.mark.parametrize("mark", [{}, {RENEWED_ANNOTATION: ""}, {RENEWED_ANNOTATION: micro_time(NOW)}])
@pytest.mark.parametrize(("ago", "expected"), [(1, Renewal.FOREIGN), (3600, Renewal.FOREIGN), (-9, Renewal.AHEAD)])
def test_a_lease_that_somebody_else_renewed_last_is_never_written(
    mark: dict[str, str], ago: int, expected: Renewal
) -> None:
    """A kubelet keeps the content of an existing Lease, our annotation too, and renews it at its own rate."""
    theirs = LeaseSpec(renew_time=micro_time(NOW - timedelta(seconds=ago)))
    lease = Lease(metadata=ObjectMeta(annotations=mark), spec=theirs)
    assert judge(lease, NOW, 20.0) is expected
    assert not is_ours(lease)


# --- what was left behind ---


def test_only_what_is_surely_ours_counts_as_left_behind_and_pods_come_first() -> None:
    marked = msgspec.structs.replace(
        model.joined(model.placeholder(), ready=True),
        metadata=ObjectMeta(name="marked", uid="m", labels={"a": "b", **JOINING_LABELS}),
    )
    others = {key: value for key, value in JOINING_LABELS.items() if key != PLACEHOLDER_LABEL}
    clean = msgspec.structs.replace(marked, metadata=ObjectMeta(name="clean", labels=others), spec=NodeSpec())
    labelled = msgspec.structs.replace(clean, metadata=ObjectMeta(name="labelled", labels=JOINING_LABELS))
    foreign = msgspec.structs.replace(model.placeholder(ours=False), metadata=ObjectMeta(name="foreign"))
    pods = [
        model.pod(1, node=model.NAME),
        model.started(model.pod(2, node=model.NAME)),
        model.pod(3, node="clean"),
        model.pod(4),
    ]
    nodes = [foreign, clean, marked, labelled, model.placeholder()]
    found = cleanup.select(nodes, pods, [model.reservation_of(model.spec_of(1))])
    assert [(each.kind, each.name, each.action) for each in found] == [
        ("Pod", "ns/p1", "delete"),
        ("Node", model.NAME, "delete"),
        ("Node", "marked", "clean"),
        ("Node", "labelled", "clean"),
        ("NodeReservation", model.NAME, "delete"),
    ]
    assert "our taint" in found[2].detail
    assert f"label {PLACEHOLDER_LABEL}" in found[3].detail
    assert cleanup.select([clean, foreign], pods, []) == []


def test_a_nomination_counts_as_left_behind_only_if_a_reservation_says_that_it_is_ours() -> None:
    recorded = tuple(Nomination(f"u{number}", 1, model.DEADLINE) for number in range(1, 6))
    reservation = model.reservation_of(model.spec_of(1, nominations=recorded))
    pods = [
        model.pod(1, nominated_node_name=model.NAME),
        model.pod(2, nominated_node_name="theirs"),
        model.pod(3),
        model.pod(4, node=model.NAME, nominated_node_name=model.NAME),
        model.pod(5, nominated_node_name=model.NAME, phase="Failed"),
        model.pod(6, nominated_node_name=model.NAME),
    ]
    found = cleanup.select([], pods, [reservation])
    assert [(each.kind, each.name, each.action) for each in found] == [
        ("Pod", "ns/p1", "clean"),
        ("NodeReservation", model.NAME, "delete"),
    ]


def test_of_a_late_node_our_taint_and_nominations_go_and_its_own_labels_stay() -> None:
    others = {key: value for key, value in JOINING_LABELS.items() if key != PLACEHOLDER_LABEL}
    brought = model.brought(model.joined(model.placeholder(), ready=True))
    assert brought is not None
    machine = msgspec.structs.replace(brought, metadata=ObjectMeta(name="machine", uid="m", labels=others))
    ours = (Nomination("u1", 1, model.DEADLINE),)
    spec = model.spec_of(1, promise=model.BROUGHT, node_name="machine", nominations=ours)
    pods = [
        model.pod(1, nominated_node_name="machine"),
        model.pod(2, nominated_node_name=model.NAME),
        model.pod(3, node="machine"),
    ]
    found = cleanup.select([machine], pods, [model.reservation_of(spec)])
    assert [(each.kind, each.name, each.action) for each in found] == [
        ("Pod", "ns/p1", "clean"),
        ("Node", "machine", "clean"),
        ("NodeReservation", model.NAME, "delete"),
    ]
    assert found[1].detail == "our taint"
    assert adoption.withdraw(machine, PROFILES["late"]) == {"spec": {"taints": []}}


def test_nothing_is_completed_on_a_late_node() -> None:
    promise = msgspec.structs.replace(model.BROUGHT, taints=(Taint("dedicated", "x", "NoSchedule"),))
    brought = model.brought(model.joined(model.placeholder(), ready=True))
    assert brought is not None
    changes, shortfalls = adoption.adopt(brought, promise, PROFILES["late"], preparing="")
    assert changes == {"spec": {"taints": []}}
    assert [each for each in shortfalls if "promised, the node has none" in each] == [
        "label pool: a was promised, the node has none",
        "taint dedicated:NoSchedule: it was promised, the node has none",
    ]
