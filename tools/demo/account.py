"""Whom the pod pinner is to a demo's own API server: an account with the chart's rights, as in a pod."""

from __future__ import annotations

from pathlib import Path

from tools.charts.rights import rules
from tools.localcluster import ClusterHandle, accounts

from . import manifests
from .programs import LEASE

CHART = "castai-pod-pinner"
_RIGHTS = (
    ("", "clusterRules", "webhookClusterRules"),
    ("kube-node-lease", "nodeLeaseRules"),
    (manifests.NAMESPACE, "ownRules", "webhookOwnRules"),
)
"""Where, and which parts of the chart's rules."""


def pinner(cluster: ClusterHandle, *, webhook: str = "") -> Path:
    """Make the account, and the demo's namespace for it.

    Args:
        cluster: where.
        webhook: name of its webhook configuration and Secret; empty: it has no webhook.

    Returns:
        A kubeconfig that is good for an hour.
    """
    accounts.apply(cluster, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **manifests.namespace()})
    config = accounts.service_account(cluster, manifests.NAMESPACE, CHART, cluster.directory / "accounts")
    who = accounts.user(manifests.NAMESPACE, CHART)
    names = {"leaseName": LEASE, "fullname": CHART, "clusterName": webhook, "webhookSecret": webhook}
    for within, *parts in _RIGHTS:
        asked = [part for part in parts if webhook or not part.startswith("webhook")]
        found = [rule for part in asked for rule in rules(CHART, part, names)]
        accounts.grant(cluster, who, CHART, found, within=within)
    return config
