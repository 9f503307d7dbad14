"""The kinds that Moorage reads or writes."""

from __future__ import annotations

from moorage import objects, reservations

from .compact import compact_node, compact_pod
from .resource import ProtobufReader, Resource
from .wire.pods import read_pod, read_rest

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
