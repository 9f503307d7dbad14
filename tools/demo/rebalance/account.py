"""Accounts of planner and pinner on the demo's API server, with the rights that their charts grant."""

from __future__ import annotations

from pathlib import Path

from tools.charts.rights import rules
from tools.demo import account, manifests
from tools.localcluster import ClusterHandle, accounts

from .settings import WEBHOOK

PLANNER = "moorage-planner"
_PARTS = ("clusterRules", "rebalancingRules")


def pinner(cluster: ClusterHandle) -> Path:
    """Create the pinner's namespace and account. Returns a kubeconfig that is valid for an hour."""
    return account.pinner(cluster, webhook=WEBHOOK)


def planner(cluster: ClusterHandle) -> Path:
    """Create the account of a planner that rebalances. Returns a kubeconfig that is valid for an hour."""
    config = accounts.service_account(cluster, manifests.NAMESPACE, PLANNER, cluster.directory / "accounts")
    who = accounts.user(manifests.NAMESPACE, PLANNER)
    accounts.grant(cluster, who, PLANNER, [rule for part in _PARTS for rule in rules(PLANNER, part)])
    accounts.grant(cluster, who, PLANNER, rules(PLANNER, "nodeEventRules"), within="default")
    return config
