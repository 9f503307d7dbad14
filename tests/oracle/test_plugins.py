"""The oracle itself: a hand-made case for every Filter plugin, with a result known from the documentation."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.scheduling.registry import PLUGINS
from tools.fitoracle import Oracle, program

Object = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
WEB = {"matchLabels": {"app": "web"}}


def node(name: str = "n1", spec: Object | None = None, allocatable: Object | None = None, **labels: str) -> Object:
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"} | (allocatable or {})
    labels = {HOST: name} | {key.replace("zone", ZONE): value for key, value in labels.items()}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec or {}, "status": {"allocatable": room}}


def pod(name: str = "p", spec: Object | None = None, requests: Object | None = None, **labels: str) -> Object:
    container = {"name": "c", "image": "registry/c", "resources": {"requests": requests or {}}}
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [container]} | (spec or {}),
    }


def claims(*names: str) -> Object:
    return {"volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]}


def pvc(name: str, volume: str = "", mode: str = "ReadWriteOnce", storage_class: str = "standard") -> Object:
    spec = {
        "accessModes": [mode],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage_class,
        "volumeName": volume,
    }
    bound = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    meta = {"name": name, "namespace": "default", "annotations": bound}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Bound" if volume else "Pending"}}


def pv(name: str, claim: str, labels: Object | None = None, affinity: Object | None = None) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"],
        "csi": {"driver": "disk.example.com", "volumeHandle": name},
        "storageClassName": "standard",
        "claimRef": {"namespace": "default", "name": claim},
    }
    if affinity:
        spec["nodeAffinity"] = {"required": affinity}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": {"phase": "Bound"}}


def in_zone(zone: str) -> Object:
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}]}


def pod_terms(kind: str) -> Object:
    term = {"topologyKey": HOST, "labelSelector": WEB}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def port(number: int) -> Object:
    exposed = {"containerPort": number, "hostPort": number, "protocol": "TCP"}
    return {"containers": [{"name": "c", "image": "registry/c", "ports": [exposed]}]}


GPU_CLASS = {"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}
RESTART_ALL = {
    "action": "RestartAllContainers",
    "exitCodes": {"operator": "In", "values": [42]},
}

# plugin, reason, objects of the cluster besides the default node n1, pending pod
CASES: dict[str, tuple[str, str, Object, Object]] = {
    "cordoned": (
        "NodeUnschedulable",
        "node(s) were unschedulable",
        {"nodes": [node(spec={"unschedulable": True})]},
        pod(),
    ),
    "named": ("NodeName", "node(s) didn't match the requested node name", {}, pod(spec={"nodeName": "other"})),
    "tainted": (
        "TaintToleration",
        "node(s) had untolerated taint(s)",
        {"nodes": [node(spec={"taints": [{"key": "a", "value": "b", "effect": "NoExecute"}]})]},
        pod(),
    ),
    "selected": (
        "NodeAffinity",
        "node(s) didn't match Pod's node affinity/selector",
        {},
        pod(spec={"nodeSelector": {"disk": "ssd"}}),
    ),
    "port taken": (
        "NodePorts",
        "node(s) didn't have free ports for the requested pod ports",
        {"pods": [pod("a", port(80) | {"nodeName": "n1"})]},
        pod(spec=port(80)),
    ),
    "no cpu": (
        "NodeResourcesFit",
        "Insufficient cpu",
        {"pods": [pod("a", {"nodeName": "n1"}, {"cpu": "3"})]},
        pod(requests={"cpu": "1001m"}),
    ),
    "too many": ("NodeResourcesFit", "Too many pods", {"nodes": [node(allocatable={"pods": "0"})]}, pod()),
    "claim of one pod in use": (
        "VolumeRestrictions",
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by "
        "another pod",
        {
            "pods": [pod("a", claims("data") | {"nodeName": "n1"})],
            "persistentvolumeclaims": [pvc("data", "v", "ReadWriteOncePod")],
            "persistentvolumes": [pv("v", "data")],
        },
        pod(spec=claims("data")),
    ),
    "no slot for a disk": (
        "NodeVolumeLimits",
        "node(s) exceed max volume count",
        {
            "pods": [pod("a", claims("one") | {"nodeName": "n1"})],
            "persistentvolumeclaims": [pvc("one", "v1"), pvc("two", "v2")],
            "persistentvolumes": [pv("v1", "one"), pv("v2", "two")],
            "csinodes": [
                {
                    "metadata": {"name": "n1"},
                    "spec": {"drivers": [{"name": "disk.example.com", "nodeID": "n1", "allocatable": {"count": 1}}]},
                }
            ],
        },
        pod(spec=claims("two")),
    ),
    "disk in another zone": (
        "VolumeBinding",
        "node(s) didn't match PersistentVolume's node affinity",
        {
            "nodes": [node(zone="a")],
            "persistentvolumeclaims": [pvc("data", "v")],
            "persistentvolumes": [pv("v", "data", affinity=in_zone("b"))],
        },
        pod(spec=claims("data")),
    ),
    "disk labelled with another zone": (
        "VolumeZone",
        "node(s) had no available volume zone",
        {
            "nodes": [node(zone="a")],
            "persistentvolumeclaims": [pvc("data", "v")],
            "persistentvolumes": [pv("v", "data", labels={ZONE: "b"})],
        },
        pod(spec=claims("data")),
    ),
    "unevenly spread": (
        "PodTopologySpread",
        "node(s) didn't match pod topology spread constraints",
        {
            "nodes": [node(zone="a"), node("n2", {"unschedulable": True}, zone="b")],
            "pods": [pod("a", {"nodeName": "n1"}, app="web")],
        },
        pod(
            spec={
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
                ]
            },
            app="web",
        ),
    ),
    "without the pod it wants near": (
        "InterPodAffinity",
        "node(s) didn't match pod affinity rules",
        {},
        pod(spec=pod_terms("podAffinity")),
    ),
    "beside the pod it wants away": (
        "InterPodAffinity",
        "node(s) didn't match pod anti-affinity rules",
        {"pods": [pod("a", {"nodeName": "n1"}, app="web")]},
        pod(spec=pod_terms("podAntiAffinity")),
    ),
    "beside a pod that wants it away": (
        "InterPodAffinity",
        "node(s) didn't satisfy existing pods anti-affinity rules",
        {"pods": [pod("a", pod_terms("podAntiAffinity") | {"nodeName": "n1"})]},
        pod(app="web"),
    ),
    "no device for an extended resource": (
        "DynamicResources",
        "cannot allocate all claims",
        {"deviceclasses": [GPU_CLASS]},
        pod(requests={"example.com/gpu": "1"}),
    ),
    "feature not declared": (
        "NodeDeclaredFeatures",
        "node(s) didn't match Pod's required features",
        {},
        pod(
            spec={
                "restartPolicy": "Never",
                "containers": [
                    {"name": "c", "image": "i", "restartPolicy": "Never", "restartPolicyRules": [RESTART_ALL]}
                ],
            }
        ),
    ),
}


def ask(oracle: Oracle, objects: Object, pending: Object, **flags: bool) -> Object:
    request = {"id": "case", "objects": {"nodes": [node()]} | objects, "pending": [pending]} | flags
    reply = oracle.ask(request)
    assert "error" not in reply, reply
    assert not reply.get("warnings"), "a field is misspelt"
    return reply


@pytest.mark.parametrize("case", CASES)
def test_each_plugin_says_no_for_its_own_reason(oracle: Oracle, case: str) -> None:
    plugin, reason, objects, pending = CASES[case]
    verdict = ask(oracle, objects, pending)["verdicts"][0]["nodes"]["n1"]
    assert (verdict["fit"], verdict["plugin"], verdict["reasons"]) == (False, plugin, [reason])
    assert [no["plugin"] for no in verdict["plugins"]] == [plugin], "nobody else objects"


def test_every_default_filter_plugin_has_a_case(oracle: Oracle) -> None:
    info = oracle.ask({"id": "info", "info": True})["info"]
    assert {plugin for plugin, *_ in CASES.values()} == set(info["filter"])
    assert info["kubernetes"] == "v1.36.3"
    assert {plugin.__name__ for plugin in PLUGINS} == set(info["filter"]), "one plugin of ours for each of upstream's"


def test_a_pod_without_wishes_fits(oracle: Oracle) -> None:
    verdict = ask(oracle, {}, pod(requests={"cpu": "4"}))["verdicts"][0]
    assert verdict["prefilter"] is None
    assert verdict["nodes"] == {"n1": {"fit": True}}


def test_all_objections_are_listed_in_the_order_of_the_plugins(oracle: Oracle) -> None:
    full = node(spec={"unschedulable": True, "taints": [{"key": "a", "effect": "NoSchedule"}]})
    verdict = ask(oracle, {"nodes": [full]}, pod(requests={"cpu": "5", "memory": "9Gi"}))["verdicts"][0]["nodes"]["n1"]
    assert verdict["plugin"] == "NodeUnschedulable"
    assert [(no["plugin"], no["reasons"]) for no in verdict["plugins"]] == [
        ("NodeUnschedulable", ["node(s) were unschedulable"]),
        ("TaintToleration", ["node(s) had untolerated taint(s)"]),
        ("NodeResourcesFit", ["Insufficient cpu", "Insufficient memory"]),
    ]


def test_a_missing_claim_ends_the_cycle_before_any_node(oracle: Oracle) -> None:
    verdict = ask(oracle, {}, pod(spec=claims("gone")))["verdicts"][0]
    assert verdict["prefilter"]["plugin"] == "VolumeRestrictions"
    assert verdict["prefilter"]["code"] == "UnschedulableAndUnresolvable"
    assert verdict["prefilter"]["reasons"] == ['persistentvolumeclaim "gone" not found']
    assert [no["plugin"] for no in verdict["prefilter_plugins"]] == [
        "VolumeRestrictions",
        "VolumeBinding",
        "VolumeZone",
    ]
    assert (verdict["nodes"]["n1"]["fit"], verdict["nodes"]["n1"]["stage"]) == (False, "prefilter")


def test_match_fields_leave_one_node(oracle: Oracle) -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    only_n2 = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    verdict = ask(oracle, {"nodes": [node(), node("n2")]}, pod(spec={"affinity": only_n2}))["verdicts"][0]
    assert verdict["prefilter_nodes"] == ["n2"]
    assert verdict["nodes"]["n2"] == {"fit": True}
    n1 = verdict["nodes"]["n1"]
    assert (n1["stage"], n1["reasons"]) == ("prefilter", ["node(s) didn't satisfy plugin(s) [NodeAffinity]"])


def test_defaults_are_those_of_the_api_server(oracle: Oracle) -> None:
    # Limits become requests, and matchLabelKeys become part of the selector.
    limited = pod(spec={"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "5"}}}]})
    assert ask(oracle, {}, limited)["verdicts"][0]["nodes"]["n1"]["fit"]
    assert not ask(oracle, {}, limited, default=True)["verdicts"][0]["nodes"]["n1"]["fit"]

    term = {"topologyKey": HOST, "labelSelector": WEB, "matchLabelKeys": ["version"]}
    away = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    objects = {"pods": [pod("a", {"nodeName": "n1"}, app="web", version="1")]}
    new = pod(spec=away, app="web", version="2")
    assert not ask(oracle, objects, new)["verdicts"][0]["nodes"]["n1"]["fit"], "merging is not the scheduler's work"
    assert ask(oracle, objects, new, default=True)["verdicts"][0]["nodes"]["n1"]["fit"]


def test_validation_names_the_field(oracle: Oracle) -> None:
    negative = ask(oracle, {}, pod(requests={"cpu": "-1"}), validate=True)
    (invalid,) = negative["invalid"]
    assert invalid["object"] == "pending/default/p"
    assert invalid["errors"] == [
        'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'
    ]
    assert "invalid" not in ask(oracle, {}, pod(), validate=True)


def test_what_the_scheduler_does_not_see_is_named(oracle: Oracle) -> None:
    done = pod("done", {"nodeName": "n1"}, {"cpu": "4"}) | {"status": {"phase": "Succeeded"}}
    lost = pod("lost", {"nodeName": "gone"})
    reply = ask(oracle, {"pods": [done, lost]}, pod(requests={"cpu": "4"}))
    assert reply["verdicts"][0]["nodes"]["n1"]["fit"]
    assert reply["ignored"] == [
        "pod default/done: is over, status.phase is Succeeded",
        "pod default/lost: is on node gone, which is not among the nodes",
    ]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"objects": {"nodez": []}}, "objects.nodez: unknown kind"),
        ({"objects": {"nodes": [node(allocatable={"cpu": "x"})]}}, "objects.nodes[0] does not decode: quantities must"),
        ({"objects": {"nodes": [node(), node()]}}, "objects.nodes: n1 is there twice"),
        ({"objects": {"nodes": ["n1"]}}, "objects.nodes[0] does not decode"),
        ({"pending": [{"spec": {}}]}, "pending[0]: metadata.name is missing"),
        ({"defaults": True}, 'unknown field "defaults"'),
    ],
)
def test_a_bad_request_is_answered_and_survived(oracle: Oracle, request_: Object, error: str) -> None:
    reply = oracle.ask({"id": 7} | request_)
    assert reply["id"] == 7
    assert error in reply["error"]
    assert ask(oracle, {}, pod())["verdicts"][0]["nodes"]["n1"]["fit"]


def test_many_requests_are_answered_in_their_order(oracle: Oracle) -> None:
    wish = pod(requests={"cpu": "50"})
    sizes = [node(allocatable={"cpu": str(number)}) for number in range(100)]
    requests = [{"id": n, "objects": {"nodes": [size]}, "pending": [wish]} for n, size in enumerate(sizes)]
    replies = oracle.ask_many(requests)
    assert [reply["id"] for reply in replies] == list(range(100))
    assert [reply["verdicts"][0]["nodes"]["n1"]["fit"] for reply in replies] == [number >= 50 for number in range(100)]


@pytest.mark.parametrize("options", [{"mode": "all"}, {"mode": "first"}, {"mode": "all", "parallel": True}])
def test_a_packing_fills_the_nodes_in_their_order(oracle: Oracle, options: Object) -> None:
    pods = [pod(f"p{number}", requests={"cpu": "2"}) for number in range(3)]
    away = [pod(f"away{number}", pod_terms("podAntiAffinity"), app="web") for number in range(4)]
    nodes = [node(name) for name in ("n2", "n1", "n3")]
    request = {"id": 1, "objects": {"nodes": nodes}, "pending": pods + away, "bench": options}
    with Oracle(program(), "bench") as packing:
        reply = packing.ask(request)
    assert reply["assignments"] == ["n2", "n2", "n1", "n2", "n1", "n3", ""]
    assert (reply["placed"], reply["pods"], reply["nodes"]) == (6, 7, 3)
    assert reply["filter_calls"] == (13 if options["mode"] == "first" else 21)
    assert reply["us_per_pod"] == pytest.approx(reply["prefilter_us_per_pod"] + reply["filter_us_per_pod"])
