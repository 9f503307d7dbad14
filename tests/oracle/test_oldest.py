"""On the oldest Kubernetes that the charts accept, no pod is pinned where its scheduler would not place it.

Our check follows the newest version. Where an older scheduler is more generous, a "no" of ours leaves the pod to it.
`task test:oldest` runs this, with that scheduler's own plugins (`tools/fitoracle-oldest`).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import compare, strategies
from tests.oracle.shapes import Case
from tests.oracle.test_equality import generated
from tools.fitoracle import Oracle


@pytest.mark.parametrize("feature", strategies.FEATURES)
def test_nothing_is_pinned_where_the_older_scheduler_says_no(oracle: Oracle, feature: str) -> None:
    @generated
    @given(case=strategies.cases(feature), order=st.integers(0, 2**16))
    def harmless(case: Case, order: int) -> None:
        older(case)
        their = compare.theirs(oracle.ask(compare.request(case)))
        assert compare.harm(compare.ours(case, order), their) is None

    harmless()


def older(case: Case) -> None:
    """Leave out what that API server does not store, and the one difference that is known.

    Resources of a pod as a whole are off there by default. And whether a pod may be the first of those that it must be
    near, although its terms leave its own namespace out, was decided otherwise: such a pod is placed now.
    """
    for pod in (*case["objects"]["pods"], *case["pending"]):
        pod["spec"].pop("resources", None)
        for key in ("resources", "allocatedResources"):
            pod.get("status", {}).pop(key, None)
        near = pod["spec"].get("affinity", {}).get("podAffinity", {})
        for term in near.get("requiredDuringSchedulingIgnoredDuringExecution", ()):
            term.pop("namespaceSelector", None)


def test_it_is_the_oldest_version(oracle: Oracle) -> None:
    info = oracle.ask({"id": "info", "info": True})["info"]
    assert info["kubernetes"].startswith("v1.33.")
