"""Placement features about other pods: affinity, anti-affinity, namespaces and topology spread."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

from tests.oracle.shapes import (
    HOST,
    ZONE,
    Case,
    Draw,
    Object,
    everyone,
    half,
    label_selector,
    namespace,
    of,
    some,
    third,
    topology,
)

TAINTS = of(
    {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
    {"key": "gpu", "effect": "NoExecute"},
    {"key": "spot", "value": "1", "effect": "PreferNoSchedule"},
    {"key": "level", "value": "5", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
)


def affinity(pod: Object) -> Object:
    found: Object = pod["spec"].setdefault("affinity", {})
    return found


def _term(draw: Draw) -> Object:
    term: Object = {"topologyKey": draw(topology)}
    selector = label_selector(draw)
    if selector is not None:
        term["labelSelector"] = selector
    return term


def pod_affinity(draw: Draw, case: Case) -> None:
    """Required affinity to other pods, also to the pod's own kind."""
    for pod in some(draw, everyone(case)):
        terms = [_term(draw) for _ in range(draw(of(1, 1, 2)))]
        if draw(half):
            terms[0]["labelSelector"] = {"matchLabels": {"app": pod["metadata"]["labels"]["app"]}}
        affinity(pod)["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def pod_anti_affinity(draw: Draw, case: Case) -> None:
    """Required anti-affinity, of the pending pods and of those that run."""
    for pod in some(draw, everyone(case)):
        terms = [_term(draw) for _ in range(draw(of(1, 1, 2)))]
        affinity(pod)["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def namespaces(draw: Draw, case: Case) -> None:
    """Inter-pod terms that reach into other namespaces, by name and by label."""
    for pod in some(draw, everyone(case)):
        term = _term(draw)
        if draw(half):
            term["namespaces"] = draw(st.lists(namespace, max_size=2))
        if draw(half) or draw(half):
            term["namespaceSelector"] = draw(
                of(
                    {},
                    {"matchLabels": {"team": "red"}},
                    {"matchLabels": {"kubernetes.io/metadata.name": "data"}},
                    {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
                    {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]},
                )
            )
        if draw(third):
            term[draw(of("matchLabelKeys", "mismatchLabelKeys"))] = ["tier"]
        kind = draw(of("podAffinity", "podAntiAffinity", "podAntiAffinity"))
        affinity(pod)[kind] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _twins(draw: Draw, case: Case) -> None:
    """Some pods become replicas of the first one: equal in all but name and node."""
    first, *others = case["objects"]["pods"] or [{}]
    for pod in others:
        if draw(third):
            pod["metadata"] = copy.deepcopy(first["metadata"]) | {"name": pod["metadata"]["name"]}
            pod["spec"] = copy.deepcopy(first["spec"]) | {"nodeName": pod["spec"]["nodeName"]}


def _racks(draw: Draw, case: Case) -> None:
    for node in case["objects"]["nodes"]:
        rack = draw(of(None, "r1", "r2"))
        if rack:
            node["metadata"]["labels"]["rack"] = rack


def constraint(draw: Draw) -> Object:
    one: Object = {
        "maxSkew": draw(of(1, 1, 2)),
        "topologyKey": draw(topology),
        "whenUnsatisfiable": draw(of("DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway")),
    }
    selector = label_selector(draw)
    if selector is not None:
        one["labelSelector"] = selector
    return one


def spread(draw: Draw, case: Case) -> None:
    """Topology spread, also over several keys, with terminating pods around."""
    for pod in some(draw, case["pending"]):
        constraints = [constraint(draw) for _ in range(draw(of(1, 1, 2)))]
        if len(constraints) == 2 and draw(half):
            constraints[0]["topologyKey"], constraints[1]["topologyKey"] = ZONE, "rack"
        pod["spec"]["topologySpreadConstraints"] = constraints
    _twins(draw, case)
    for pod in case["objects"]["pods"]:
        if draw(third):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    _racks(draw, case)


def spread_policies(draw: Draw, case: Case) -> None:
    """minDomains, inclusion policies and matchLabelKeys, with taints and node selectors that exclude nodes."""
    for node in case["objects"]["nodes"]:
        if draw(third):
            node["spec"]["taints"] = [draw(TAINTS)]
    for pod in case["pending"]:
        one = constraint(draw)
        for field, values in (
            ("minDomains", (1, 2, 3)),
            ("nodeAffinityPolicy", ("Honor", "Ignore")),
            ("nodeTaintsPolicy", ("Honor", "Ignore")),
            ("matchLabelKeys", (["tier"], ["tier", "app"], ["none"])),
        ):
            if draw(half):
                one[field] = draw(st.sampled_from(values))
        pod["spec"]["topologySpreadConstraints"] = [one]
        if draw(third):
            one.pop("labelSelector", None)
        if draw(half):
            pod["spec"]["nodeSelector"] = {draw(of(ZONE, HOST)): draw(of("a", "b", "n1"))}
        if draw(third):
            pod["spec"]["tolerations"] = [{"operator": "Exists"}]
