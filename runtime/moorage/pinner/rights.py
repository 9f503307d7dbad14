"""What the pod pinner asks of the API server: the one list of its rights, and what each is for.

``moorage check`` asks whether an account has them. Tests hold the chart's roles against this list (tests/charts), and
the roles against the API server's audit log (tests/e2e/rights).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NODE_LEASES = "kube-node-lease"
"""The namespace of all Leases of Nodes."""
CLUSTER_CONTROLLER = "castai-cluster-controller"
"""The closed product's Deployment that acts on what is labelled as managed by it."""


@dataclass(frozen=True, slots=True)
class Right:
    """Some verbs on one resource.

    Attributes:
        group: API group; empty for the core.
        resource: plural, with its subresource after a slash.
        verbs: what is done.
        purpose: what for, for people.
        namespace: where; empty means in the whole cluster.
        name: the one object that is meant; empty means any.
        vital: whether pods are not pinned without it.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    namespace: str = ""
    name: str = ""
    vital: bool = True

    def each(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Namespace, group, resource, name and verb, for every verb."""
        return ((self.namespace, self.group, self.resource, self.name, verb) for verb in self.verbs)


def needed(namespace: str, lease_name: str, deployment: str) -> tuple[Right, ...]:
    """All of them, but for those of the webhook and of destinations.

    Args:
        namespace: of the installation.
        lease_name: of the leader's Lease.
        deployment: of the pods.
    """
    return (*_everywhere(), *_in_own_namespace(namespace, lease_name, deployment), _of_placeholders())


def of_webhook(namespace: str, configuration: str, secret: str) -> tuple[Right, ...]:
    """Those of the webhook.

    Args:
        namespace: of the installation.
        configuration: the MutatingWebhookConfiguration.
        secret: has the certificate.
    """
    group, configurations = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"
    return (
        _right(group, configurations, "get patch", "being asked about pods", name=configuration, vital=False),
        _right("", "secrets", "get patch", "the webhook's certificate", namespace, name=secret, vital=False),
        _right(
            "", "pods", "patch", "the label by which the webhook's Service finds the leader", namespace, vital=False
        ),
    )


def of_destinations() -> tuple[Right, ...]:
    """Those for pods that others expect on running nodes."""
    group = "moorage.dev"
    return (
        _right(group, "slotreservations", "list watch", "which pods are expected on running nodes", vital=False),
        _right(group, "slotreservations/status", "patch", "saying that their slots are counted", vital=False),
    )


def _everywhere() -> tuple[Right, ...]:
    volumes = "whether a pod's volumes fit"
    return (
        _right("", "nodes", "get list watch create patch delete", "placeholders, and the machines that take them"),
        _right("", "pods", "get list watch delete", "which pods are where, and the end of those that cannot start"),
        _right("", "pods/binding", "create", "binding pods to nodes"),
        _right("", "pods/status", "patch", "nominating pods that the scheduler must place itself", vital=False),
        _right("moorage.dev", "nodereservations", "get list watch create update patch delete", "what is promised"),
        _right("moorage.dev", "nodereservations/status", "update", "what has become of it, for people"),
        _right("apps", "daemonsets", "list watch", "room for the pods of DaemonSets"),
        _right("", "persistentvolumes", "list watch", volumes),
        _right("", "persistentvolumeclaims", "list watch", volumes),
        _right("storage.k8s.io", "storageclasses", "list watch", volumes),
        _right(
            "storage.k8s.io",
            "csinodes",
            "get list watch",
            "how many volumes a node takes, and whether it has a kubelet",
        ),
        _right("storage.k8s.io", "volumeattachments", "list watch", "how many volumes a node has"),
        _right("", "namespaces", "list watch", "whom affinity between pods means"),
        _right("", "namespaces", "get", "the cluster's identity", name="kube-system"),
        _right("events.k8s.io", "events", "create patch", "telling people what was done and why not", vital=False),
    )


def _in_own_namespace(namespace: str, lease_name: str, deployment: str) -> tuple[Right, ...]:
    electing, group = "electing a leader", "coordination.k8s.io"
    at_once, ending = "following a leader that ends at once", "leaving nothing behind when scaled to 0"
    warning = "a warning of the closed product's manager"
    return (
        _right(group, "leases", "create", electing, namespace),
        _right(group, "leases", "get update", electing, namespace, name=lease_name),
        _right(group, "leases", "list watch", at_once, namespace, name=lease_name, vital=False),
        _right("apps", "deployments", "get", ending, namespace, name=deployment, vital=False),
        _right("apps", "deployments", "get", warning, namespace, name=CLUSTER_CONTROLLER, vital=False),
    )


def _of_placeholders() -> Right:
    return _right("coordination.k8s.io", "leases", "get create update", "keeping placeholders alive", NODE_LEASES)


def _right(
    group: str, resource: str, verbs: str, purpose: str, namespace: str = "", *, name: str = "", vital: bool = True
) -> Right:
    return Right(group, resource, tuple(verbs.split()), purpose, namespace, name, vital)
