"""Our verdicts are those of kube-scheduler's own plugins, on generated snapshots: each feature alone and with every
other.

A case is one pending pod and one snapshot; three of them share an example. A disagreement shrinks to the smallest
snapshot that shows it, which is written where ``tests/unit/scheduling`` replays it for good.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.scheduling import Fit, Reason
from tests.oracle import compare, strategies
from tests.oracle.shapes import Case
from tests.oracle.strategies import FEATURES
from tools.bench.fit import workload
from tools.fitoracle import Oracle

REGRESSIONS = Path(__file__).parents[1] / "unit" / "scheduling" / "regressions"
EXAMPLES = int(os.environ.get("MOORAGE_FIT_EXAMPLES", "140"))
"""Snapshots per feature: with 25 features and three pending pods each 10,500 cases; ``task test:fit`` asks for more."""

_MAY_BE_UNKNOWN = {
    Reason.WAIT_FOR_FIRST_CONSUMER: {"unbound", "limits"},
    Reason.IN_TREE_VOLUME: {"in-tree"},
    Reason.IN_TREE_LIMIT: {"in-tree", "disks"},
}
"""What may be undecided, and which features bring it about: nothing else may hide behind "unknown"."""

generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("feature", FEATURES)
def test_generated_snapshots(oracle: Oracle, feature: str) -> None:
    smallest: list[tuple[Case, compare.Judged, str]] = []

    @generated
    @given(case=strategies.cases(feature), order=st.integers(0, 2**16))
    def agree(case: Case, order: int) -> None:
        their = compare.theirs(oracle.ask(compare.request(case)))
        our = compare.ours(case, order)
        difference = compare.disagreement(our, their)
        if difference:
            smallest[:] = [(case, their, difference)]
        assert difference is None, difference
        only_known_unknowns(our, case["features"])

    try:
        agree()
    finally:
        if smallest:
            case, their, difference = smallest[0]
            name = f"{feature}-{hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:8]}"
            path = compare.save(case, their, name, difference, REGRESSIONS)
            print(f"the smallest snapshot that shows it is in {path}")


def only_known_unknowns(our: dict[str, dict[str, Any]], features: list[str]) -> None:
    for pod, nodes in our.items():
        for node, verdict in nodes.items():
            for finding in verdict.findings:
                if not finding.reason.definite:
                    assert _MAY_BE_UNKNOWN[finding.reason] & set(features), f"pod {pod}, node {node}: {verdict}"


@pytest.mark.parametrize("feature", ["namespaces", "spread-policies"])
def test_pods_as_a_webhook_sees_them(oracle: Oracle, feature: str) -> None:
    """Before the API server has merged matchLabelKeys; the oracle merges them as the API server does."""

    @generated
    @given(case=strategies.cases(feature, alone=True))
    def agree(case: Case) -> None:
        their = compare.theirs(oracle.ask(compare.request(case) | {"default": True}))
        assert compare.disagreement(compare.ours(case, created=True), their) is None

    agree()


@pytest.mark.parametrize("seed", range(6))
def test_real_world_shapes(oracle: Oracle, seed: int) -> None:
    """A small cluster filled with workloads as clusters have them, asked about the pods that are left over."""
    nodes = workload.nodes(24, seed)
    raws = list(workload.pods(500, 24, seed))
    storage: dict[str, list[Any]] = {"persistentvolumeclaims": [], "persistentvolumes": []}
    for raw in raws:
        for plural, thing in workload.storage(raw):
            storage[plural].append(thing)
    objects = {"nodes": nodes, "csinodes": [workload.csi_node(node) for node in nodes], **storage, "pods": []}
    case: Case = {"objects": objects, "pending": raws}
    snapshot = compare.build(case)
    for number, (raw, pod) in enumerate(zip(raws, compare.pending(case), strict=True)):
        node = snapshot.first_fit(pod)
        if node and number % 5:
            snapshot.place(pod, node)
            objects["pods"].append(raw | {"spec": raw["spec"] | {"nodeName": node}})
    placed = {raw["metadata"]["name"] for raw in objects["pods"]}
    case["pending"] = [raw for raw in raws if raw["metadata"]["name"] not in placed]
    assert len(placed) > 300
    our, their = compare.ours(case, seed), compare.theirs(oracle.ask(compare.request(case)))
    assert compare.disagreement(our, their) is None
    fits = {verdict.fit for verdicts in our.values() for verdict in verdicts.values()}
    assert fits == {Fit.YES, Fit.NO}


def test_regressions_say_what_the_oracle_says(oracle: Oracle) -> None:
    paths = sorted(REGRESSIONS.glob("*.json"))
    stories = [json.loads(path.read_text()) for path in paths]
    replies = oracle.ask_many([compare.request(story) for story in stories])
    for path, story, reply in zip(paths, stories, replies, strict=True):
        assert compare.theirs(reply) == story["expected"], path.name
