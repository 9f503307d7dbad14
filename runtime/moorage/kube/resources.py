"""The kinds that Moorage reads or writes: where each lives in the API and which struct it decodes into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from moorage import objects, reservations

from .compact import compact_node, compact_pod
from .wire.pods import read_pod, read_rest

T = TypeVar("T", bound=objects.KubeObject)


@dataclass(frozen=True, slots=True)
class ProtobufReader(Generic[T]):
    """How one kind is read from its bytes.

    Attributes:
        whole: the object; raises one of ``wire.messages.UNREADABLE`` when it cannot be read.
        rest: what can be read of it then, and the paths of what cannot; raises DecodeError when it is no object at all.
    """

    whole: Callable[[bytes], T]
    rest: Callable[[bytes], tuple[T, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One kind of the API.

    Attributes:
        group_version: ``"v1"`` or ``"group/version"``.
        plural: the name in paths.
        kind: the name in objects and messages.
        type: the struct its objects decode into.
        namespaced: whether its objects live in namespaces.
        compact: makes an object decoded from JSON share what many objects have in common; or None.
        protobuf: reads such objects in protobuf; None for kinds that are read in JSON.
    """

    group_version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True
    compact: Callable[[T], T] | None = None
    protobuf: ProtobufReader[T] | None = None

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path of a collection (all namespaces when none is named), an object, or its subresource.

        Raises:
            ValueError: when a name is given for a namespaced kind without its namespace, or when a part is ``.`` or
                ``..``: quoting does not protect those, and a DELETE would go to what is above.
        """
        if not {".", ".."}.isdisjoint((namespace, name, subresource)):
            raise ValueError(f"{self.kind} {namespace}/{name}: '.' and '..' are no names")
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name!r} needs a namespace")
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


PODS = Resource("v1", "pods", "Pod", objects.Pod, compact=compact_pod, protobuf=ProtobufReader(read_pod, read_rest))
NODES = Resource("v1", "nodes", "Node", objects.Node, namespaced=False, compact=compact_node)
NAMESPACES = Resource("v1", "namespaces", "Namespace", objects.Namespace, namespaced=False)
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease", objects.Lease)
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet", objects.Workload)
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment", objects.Workload)
REPLICATION_CONTROLLERS = Resource("v1", "replicationcontrollers", "ReplicationController", objects.Workload)
STATEFUL_SETS = Resource("apps/v1", "statefulsets", "StatefulSet", objects.Workload)
DAEMON_SETS = Resource("apps/v1", "daemonsets", "DaemonSet", objects.Workload)
JOBS = Resource("batch/v1", "jobs", "Job", objects.Workload)
CRON_JOBS = Resource("batch/v1", "cronjobs", "CronJob", objects.Workload)
DISRUPTION_BUDGETS = Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", objects.PodDisruptionBudget)
VOLUMES = Resource("v1", "persistentvolumes", "PersistentVolume", objects.PersistentVolume, namespaced=False)
CLAIMS = Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim", objects.PersistentVolumeClaim)
STORAGE_CLASSES = Resource(
    "storage.k8s.io/v1", "storageclasses", "StorageClass", objects.StorageClass, namespaced=False
)
CSI_NODES = Resource("storage.k8s.io/v1", "csinodes", "CSINode", objects.CsiNode, namespaced=False)
CSI_DRIVERS = Resource("storage.k8s.io/v1", "csidrivers", "CSIDriver", objects.CsiDriver, namespaced=False)
VOLUME_ATTACHMENTS = Resource(
    "storage.k8s.io/v1", "volumeattachments", "VolumeAttachment", objects.VolumeAttachment, namespaced=False
)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    objects.AccessReview,
    namespaced=False,
)
SELF_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    objects.AccessReview,
    namespaced=False,
)
SELF_REVIEWS = Resource(
    "authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", objects.SelfReview, namespaced=False
)
ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    objects.AdmissionPolicy,
    namespaced=False,
)
ADMISSION_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    objects.AdmissionPolicyBinding,
    namespaced=False,
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    objects.MutatingWebhookConfiguration,
    namespaced=False,
)
SECRETS = Resource("v1", "secrets", "Secret", objects.Secret)
NODE_RESERVATIONS = Resource(
    reservations.GROUP_VERSION,
    "nodereservations",
    "NodeReservation",
    reservations.NodeReservation,
    namespaced=False,
)
SLOT_RESERVATIONS = Resource(
    reservations.GROUP_VERSION,
    "slotreservations",
    "SlotReservation",
    reservations.SlotReservation,
    namespaced=False,
)
