"""Whom the pod pinner is to the demo's own API server: an account with the chart's rights, as in a pod."""

from __future__ import annotations

from pathlib import Path

from tools.charts.rights import rules
from tools.localcluster import ClusterHandle, accounts

from . import manifests
from .programs import LEASE

CHART = "castai-pod-pinner"
NODE_LEASES = "kube-node-lease"


def pinner(cluster: ClusterHandle) -> Path:
    """Make the account, and the demo's namespace for it; returns a kubeconfig that is good for an hour."""
    accounts.apply(cluster, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **manifests.namespace()})
    config = accounts.service_account(cluster, manifests.NAMESPACE, CHART, cluster.directory / "accounts")
    who = accounts.user(manifests.NAMESPACE, CHART)
    for part, within in (("clusterRules", ""), ("nodeLeaseRules", NODE_LEASES), ("ownRules", manifests.NAMESPACE)):
        names = {"leaseName": LEASE, "fullname": CHART}
        accounts.grant(cluster, who, CHART, rules(CHART, part, names), within=within)
    return config
