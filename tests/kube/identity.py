"""Accounts of the tests' pinners and planners on the API server, with the charts' rights.

Each test, and each process that it starts, has an account of its own, so the audit log shows which test sent a request.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from tools.charts.rights import rules
from tools.localcluster import ClusterHandle, accounts

PINNER, PLANNER = "castai-pod-pinner", "moorage-planner"
PINNERS, PLANNERS = "tests-of-pod-pinner", "tests-of-moorage-planner"
"""Namespaces of the accounts: every account in them has the chart's rights."""
LEASES = "kube-node-lease"
_granted: set[tuple[str, str]] = set()


def pinner(cluster: ClusterHandle, *, namespace: str = "", lease: str = "") -> Path:
    """A kubeconfig of a pod pinner, with a unique account.

    Args:
        cluster: where.
        namespace: where it is to take part in elections, if it is.
        lease: for which Lease.
    """
    if _is_new(cluster, PINNERS):
        accounts.namespace(cluster, PINNERS)
        accounts.grant(cluster, accounts.group(PINNERS), PINNERS, rules(PINNER, "clusterRules"))
        accounts.grant(cluster, accounts.group(PINNERS), PINNERS, rules(PINNER, "nodeLeaseRules"), within=LEASES)
    if namespace:
        here = rules(PINNER, "ownRules", {"leaseName": lease, "fullname": PINNER})
        accounts.grant(cluster, accounts.group(PINNERS), f"{PINNERS}-{lease}", here, within=namespace)
    return _account(cluster, PINNERS)


def planner(cluster: ClusterHandle, *, namespace: str, filled: list[str]) -> Path:
    """A kubeconfig of a planner, with a unique account.

    Args:
        cluster: where.
        namespace: of its Secrets.
        filled: the Secrets that it fills.
    """
    if _is_new(cluster, PLANNERS):
        accounts.namespace(cluster, PLANNERS)
        accounts.grant(cluster, accounts.group(PLANNERS), PLANNERS, rules(PLANNER, "clusterRules"))
    here = rules(PLANNER, "ownRules", {"filledSecrets": filled})
    accounts.grant(cluster, accounts.group(PLANNERS), PLANNERS, here, within=namespace)
    return _account(cluster, PLANNERS)


def _is_new(cluster: ClusterHandle, what: str) -> bool:
    seen = (cluster.server, what)
    if seen in _granted:
        return False
    _granted.add(seen)
    return True


def _account(cluster: ClusterHandle, namespace: str) -> Path:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].partition(" ")[0]
    readable = re.sub(r"[^a-z0-9]+", "-", test.lower().removeprefix("test_"))[:80].strip("-")
    name = f"{readable or 'nobody'}-{secrets.token_hex(3)}"
    return accounts.service_account(cluster, namespace, name, cluster.directory / "accounts")
