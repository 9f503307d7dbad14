"""The evictor's account on the demo's API server, with the rights that the chart grants to an acting evictor."""

from __future__ import annotations

from pathlib import Path

from tools.charts.rights import rules
from tools.localcluster import ClusterHandle, accounts

from . import manifests
from .manifests import EVICTOR, NAMESPACE


def evictor(cluster: ClusterHandle) -> Path:
    """Create the account. Returns a kubeconfig that is valid for an hour."""
    config = accounts.service_account(cluster, NAMESPACE, EVICTOR, cluster.directory / "accounts")
    who = accounts.user(NAMESPACE, EVICTOR)
    names = {"leaseName": EVICTOR, "rulesConfigMap": manifests.RULES, "pricesConfigMap": manifests.PRICES}
    parts = ("clusterRules", "actingRules", "destinationRules")
    everywhere = [rule for part in parts for rule in rules(EVICTOR, part, names)]
    accounts.grant(cluster, who, EVICTOR, everywhere)
    accounts.grant(cluster, who, EVICTOR, rules(EVICTOR, "ownRules", names), within=NAMESPACE)
    return config
