"""Instructions that are refused without access to the cluster, and the reason's sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moorage.objects import Taint
from moorage.protocol import (
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Owner,
    PinPods,
    PodRef,
    Promise,
    ReasonCode,
    Release,
    Slot,
    validate,
)

EBS = "attachable-volumes-csi-ebs.csi.aws.com"
GOOD = Promise(
    "node-1.example",
    {"cpu": "4", "memory": "8Gi", "pods": "20", "nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi", EBS: "25"},
    {"topology.kubernetes.io/zone": "a", "empty": ""},
    (Taint(key="example.com/a", value="b", effect="NoSchedule"), Taint(key="example.com/a", effect="NoExecute")),
    provider_id="aws:///eu-west-1a/i-0123",
)
POD = PodRef("shop", "web-1", "uid-1")
SLOT = Slot(Owner("Deployment", "shop", "web"), {"cpu": "100m"}, 2)


def _promised(**changes: Any) -> Action:
    return CreatePlaceholder(replace(GOOD, **changes))


def _allocatable(**changes: str) -> Action:
    return _promised(allocatable={**GOOD.allocatable, **changes})


@pytest.mark.parametrize(
    "action",
    [
        CreatePlaceholder(GOOD),
        DeletePlaceholder("n"),
        Release("a" * 63 + "." + "b" * 63),
        PinPods("n", (POD,)),
        ExpectPods("n", (SLOT,)),
    ],
)
def test_what_makes_sense_has_no_problems(action: Action) -> None:
    assert list(validate.problems(action)) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"profile": "late", "provider_id": ""}, "profile"),
        ({"profile": "late", "node_claim": "N"}, "nodeClaim"),
        ({"profile": "late", "match_labels": {"a b": "c"}}, "matchLabels[a b]"),
        ({"profile": "late", "match_labels": {"a": "b c"}}, "matchLabels.a"),
        ({"profile": "late", "match_labels": {f"a{n}": "b" for n in range(65)}}, "matchLabels"),
        ({"profile": "gcp", "match_labels": {"a": "b"}}, "profile"),
        ({"node_claim": "c"}, ""),
        ({"profile": "late"}, ""),
        ({"profile": "late", "match_labels": {"node-restriction.kubernetes.io/batch": "b"}}, ""),
    ],
)
def test_how_a_late_node_is_known(changes: dict[str, Any], path: str) -> None:
    found = validate.promise_problems(replace(GOOD, **changes))
    assert [validate.dotted(each.path) for each in found] == ([path] if path else [])


@pytest.mark.parametrize(
    ("static", "problem"),
    [
        ({}, ""),
        ({"cpu": "100m", "memory": "64Mi", "pods": "2"}, ""),
        ({"cpu": "0"}, ""),
        (dict(GOOD.allocatable), ""),
        ({"cpu": "-1"}, "staticPods.cpu: -1 is not 0 or more"),
        ({"cpu": "5"}, "staticPods.cpu: 5 is more than what is promised: allocatable has 4"),
        ({"example.com/x": "1"}, "staticPods[example.com/x]: 1 is more than what is promised: allocatable has 0"),
        ({"mem": "1"}, "staticPods.mem: 'mem' is not a resource; did you mean memory?"),
        ({"pods": "1.5"}, "staticPods.pods: 1.5 is not a whole number"),
    ],
)
def test_what_static_pods_take_is_a_part_of_what_is_promised(static: dict[str, str], problem: str) -> None:
    found = [str(each) for each in validate.promise_problems(replace(GOOD, static_pods=static))]
    assert found == ([problem] if problem else [])


@pytest.mark.parametrize("name", ["", "N", "a_b", "-a", "a-", "a..b", ".a", "a" * 254, "ä", "a/b", "a b", "a\n"])
def test_names_that_no_node_can_have(name: str) -> None:
    for action in (_promised(name=name), DeletePlaceholder(name), Release(name), PinPods(name, (POD,))):
        problem = next(validate.problems(action))
        assert problem.reason is ReasonCode.INVALID_NODE_NAME
        assert problem.sentence


@pytest.mark.parametrize(
    ("allocatable", "sentence"),
    [
        ({"cpu": "-1"}, "allocatable.cpu: -1 is not more than 0"),
        ({"cpu": "0"}, "allocatable.cpu: 0 is not more than 0"),
        ({"cpu": "1e9"}, "allocatable.cpu: 1e9 is more than any machine has"),
        ({"memory": "8GB"}, "is not a quantity"),
        ({"memory": "9Ei"}, "more than any machine has"),
        ({"memory": "9" * 100}, "is not a quantity"),
        ({"pods": "1.5"}, "allocatable.pods: 1.5 is not a whole number"),
        ({"nvidia.com/gpu": "-1"}, "allocatable[nvidia.com/gpu]: -1 is not 0 or more"),
        ({"mem": "1"}, "'mem' is not a resource; did you mean memory?"),
        ({"-/x": "1"}, "not a DNS subdomain"),
        ({"attachable-volumes-aws-ebs": "25"}, "of no CSI driver: write attachable-volumes-csi-ebs.csi.aws.com"),
        ({"attachable-volumes-gce-pd": "127"}, "of no CSI driver: write attachable-volumes-csi-pd.csi.storage.gke.io"),
        ({"attachable-volumes-azure-disk": "8"}, "of no CSI driver: write attachable-volumes-csi-disk.csi.azure.com"),
        ({"attachable-volumes-portworx": "8"}, "of no CSI driver: write attachable-volumes-csi-DRIVER"),
        ({"attachable-volumes-": "8"}, "of no CSI driver: write attachable-volumes-csi-DRIVER"),
        ({"attachable-volumes-csi-": "8"}, "the driver in 'attachable-volumes-csi-' is empty"),
        ({"attachable-volumes-csi-EBS": "8"}, "is not made of lower-case letters"),
        ({f"attachable-volumes-csi-{'x' * 41}": "8"}, "at most 63"),
        ({"attachable-volumes-csi-ebs.csi.aws.com": "2.5"}, "2.5 is not a whole number"),
        ({"attachable-volumes-csi-ebs.csi.aws.com": "-1"}, "-1 is not 0 or more"),
    ],
)
def test_quantities_that_no_machine_has(allocatable: dict[str, str], sentence: str) -> None:
    problem = next(validate.problems(_allocatable(**allocatable)))
    assert problem.reason is ReasonCode.INVALID_QUANTITY
    assert sentence in str(problem)


def test_what_a_node_needs_is_named_when_it_is_missing() -> None:
    found = [str(problem) for problem in validate.problems(_promised(allocatable={"cpu": "1"}))]
    assert found == ["promise.allocatable: memory is missing", "promise.allocatable: pods is missing"]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"a b": ""}},
        {"labels": {"a/b/c": ""}},
        {"labels": {"A.b/c": ""}},
        {"labels": {"a": "b c"}},
        {"labels": {"a": "x" * 64}},
        {"labels": {"x" * 64: ""}},
        {"taints": (Taint(key="", effect="NoSchedule"),)},
        {"taints": (Taint(key="a", effect="NoThing"),)},
        {"startup_taints": (Taint(key="a", value="b c", effect="NoSchedule"),)},
        {"taints": (Taint(key="a", value="1", effect="NoSchedule"), Taint(key="a", value="2", effect="NoSchedule"))},
        {"provider_id": "a\nb"},
        {"provider_id": "a b"},
        {"provider_id": "x" * 1025},
    ],
)
def test_metadata_that_the_api_server_would_refuse(change: dict[str, Any]) -> None:
    assert next(validate.problems(_promised(**change))).reason is ReasonCode.INVALID_METADATA


@pytest.mark.parametrize(
    ("key", "refused"),
    [
        ("node-role.kubernetes.io/worker", True),
        ("kubernetes.io/role", True),
        ("node-restriction.kubernetes.io/tenant", True),
        ("example.com.node-restriction.kubernetes.io/tenant", True),
        ("node-role.kubernetes.io.example.com/worker", False),
        ("my-node-restriction.kubernetes.io/tenant", False),
        ("example.com/role", False),
        ("role", False),
    ],
)
def test_labels_that_say_what_a_machine_is_allowed_to_be_are_not_promised(key: str, refused: bool) -> None:
    """What the chart's admission policy refuses in a Node is refused with the plan, where the line can be named."""
    found = [str(problem) for problem in validate.problems(_promised(labels={key: ""}))]
    said = f"'{key}' restricts what a machine may be: only the cluster's administrator sets such labels"
    assert found == ([f"promise.labels[{key}]: {said}"] if refused else [])


@pytest.mark.parametrize(
    "action",
    [
        _promised(labels={f"l{i}": "" for i in range(257)}),
        _promised(taints=tuple(Taint(key=f"t{i}", effect="NoSchedule") for i in range(65))),
        _promised(allocatable={f"example.com/r{i}": "1" for i in range(65)}),
        PinPods("n", tuple(replace(POD, uid=str(i)) for i in range(1001))),
        ExpectPods("n", (SLOT,) * 1001),
    ],
)
def test_too_much_of_anything(action: Action) -> None:
    assert next(validate.problems(action)).reason is ReasonCode.TOO_LARGE


@pytest.mark.parametrize(
    ("action", "reason", "sentence"),
    [
        (PinPods("n", ()), ReasonCode.MALFORMED, "pods: there is no pod in it"),
        (PinPods("n", (POD, POD)), ReasonCode.MALFORMED, "pods[1]: shop/web-1 is there twice"),
        (PinPods("n", (replace(POD, uid=""),)), ReasonCode.MALFORMED, "pods[0]: the uid has 0 characters"),
        (PinPods("n", (replace(POD, namespace="a.b"),)), ReasonCode.MALFORMED, "'a.b' is not a namespace"),
        (PinPods("n", (replace(POD, name="A"),)), ReasonCode.MALFORMED, "'A' is not made of"),
        (ExpectPods("n", ()), ReasonCode.MALFORMED, "slots: there is no slot in it"),
        (ExpectPods("n", (replace(SLOT, count=0),)), ReasonCode.INVALID_QUANTITY, "slots[0].count: 0 is not between"),
        (ExpectPods("n", (replace(SLOT, requests={"cpu": "-1"}),)), ReasonCode.INVALID_QUANTITY, "-1 is not 0 or more"),
        (
            ExpectPods("n", (replace(SLOT, owner=Owner("Job", "shop", "web")),)),
            ReasonCode.MALFORMED,
            "slots[0].owner.kind: kind 'Job' is none of",
        ),
        (
            ExpectPods("n", (replace(SLOT, owner=Owner("Deployment", "", "w")),)),
            ReasonCode.MALFORMED,
            "not a namespace",
        ),
        (
            ExpectPods(
                "n",
                (
                    replace(
                        SLOT,
                        owner=Owner("Deployment", "s", ""),
                    ),
                ),
            ),
            ReasonCode.MALFORMED,
            "is empty",
        ),
    ],
)
def test_pods_and_slots_that_make_no_sense(action: Action, reason: ReasonCode, sentence: str) -> None:
    problem = next(validate.problems(action))
    assert problem.reason is reason
    assert sentence in str(problem)


def test_foreign_text_is_shortened_and_escaped() -> None:
    problem = next(validate.problems(DeletePlaceholder("\x1b[31m" + "x" * 200)))
    assert "\x1b" not in str(problem)
    assert len(str(problem)) < 250
