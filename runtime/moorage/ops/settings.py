"""The settings of Moorage's programs: what each means, where it comes from, and what it may be."""

# ruff: noqa: RUF009 - setting() makes dataclass fields

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from . import keys, parsing
from .configuration import SettingsError, setting, settings_of
from .parsing import Address
from .secret import Secret

PROFILES = ("generic", "aws", "gcp", "azure", "late")
STEERING = ("hard", "soft", "off")
PLANNER = "moorage-planner"
"""Name of the planner's Service: the default of its chart."""
PLANNER_PORT = 9443
PINNER_LEASE = "castai-pod-pinner-leader-election"
"""The default of the chart, so that a pod pinner that a user starts does not lead beside an installed one."""
EVICTOR_LEASE = "castai-evictor"
"""Likewise."""


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Settings of the log."""

    log_level: str = setting(
        "MOORAGE_LOG_LEVEL",
        "The lowest level that is logged",
        parsing.one_of("debug", "info", "warning", "error"),
        "info",
    )
    log_format: str = setting(
        "MOORAGE_LOG_FORMAT",
        "Format: json for programs, text for people, auto: text on a terminal",
        parsing.one_of("auto", "json", "text"),
        "auto",
    )


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """The API server to use. Default: the pod's service account, else the choice of kubectl."""

    in_cluster: bool = False
    """Whether this process runs in a pod; detected, not set."""
    kubeconfig: Path | None = setting("MOORAGE_KUBECONFIG", "A kubeconfig file", parsing.readable_file, None)
    context: str | None = setting("MOORAGE_CONTEXT", "A context of the kubeconfig", parsing.text, None)


@dataclass(frozen=True, kw_only=True)
class PlannerAccess(ClusterSettings):
    """The connection to a planner, and its credentials."""

    planner_address: Address | None = setting(
        "MOORAGE_PLANNER_ADDRESS",
        "Where the planner serves pinning instructions, as host:port; in a pod moorage-planner.NAMESPACE.svc:9443 "
        "unless set",
        parsing.remote_address,
        None,
        also=("API_GRPC_URL",),
    )
    cluster_id: str = setting(
        "MOORAGE_CLUSTER_ID",
        "The cluster id that the planner uses. Default: the uid of namespace kube-system",
        parsing.text,
        "",
        also=("CLUSTER_ID",),
    )
    api_key: Secret | None = setting(
        "MOORAGE_API_KEY", "The key to send to the planner, if it is not in a file", Secret, None
    )
    api_key_file: Path | None = setting(
        "MOORAGE_API_KEY_FILE",
        "A file with the key to send to the planner; in a pod it may be created after the process has started",
        parsing.readable_file,
        None,
        later=True,
    )
    other_api_key: Secret | None = setting(
        "API_KEY", "The closed product's name for the key, used while neither of ours is set", Secret, None
    )
    closed_api_key: bool = setting(
        "MOORAGE_CLOSED_API_KEY",
        "Whether the key in the file is one of the closed product, as that in API_KEY is",
        parsing.boolean,
        False,
    )
    allow_closed_key: bool = setting(
        "MOORAGE_ALLOW_CLOSED_KEY",
        "Send a key of the closed product also to a planner outside our namespace",
        parsing.boolean,
        False,
    )
    planner_ca_file: Path | None = setting(
        "MOORAGE_PLANNER_CA_FILE",
        "A PEM file with the authorities that may issue the planner's certificate, instead of the system's; "
        "in a pod it may be created after the process has started",
        parsing.pem_file,
        None,
        later=True,
    )
    planner_plaintext: bool = setting(
        "MOORAGE_PLANNER_PLAINTEXT", "Connect to a planner on this machine without TLS", parsing.boolean, False
    )
    namespace: str = setting("MOORAGE_NAMESPACE", "The namespace of our Lease and pod", parsing.name, "castai-agent")
    connect_timeout: float = setting(
        "MOORAGE_CONNECT_TIMEOUT",
        "How long the planner may take to send its Welcome on a new stream",
        parsing.seconds,
        10.0,
    )

    def __post_init__(self) -> None:
        if self.api_key is not None and self.api_key_file is not None:
            raise SettingsError("MOORAGE_API_KEY and MOORAGE_API_KEY_FILE (--api-key-file) are both set. Remove one")
        if self.planner_plaintext and self.planner_address is not None and not self.planner_address.is_loopback:
            raise SettingsError(
                "MOORAGE_PLANNER_PLAINTEXT (--planner-plaintext) is for planners on this machine, and "
                f"{self.planner_address} is elsewhere: the key would be readable on the way. Remove it, and name a CA "
                "file if the planner's certificate is its own: MOORAGE_PLANNER_CA_FILE (--planner-ca-file)"
            )
        if self.planner_plaintext and self.planner_ca_file is not None:
            raise SettingsError(
                "MOORAGE_PLANNER_PLAINTEXT (--planner-plaintext) contradicts MOORAGE_PLANNER_CA_FILE "
                "(--planner-ca-file). Remove one"
            )
        # An invalid file is an error now, not at the first connection. In a pod the file may still be created.
        keys.read(None if self.in_cluster else self.api_key_file, self.api_key, self.other_api_key)

    @property
    def planner(self) -> Address:
        """The planner's address: as set, or the Service of the chart moorage-planner in our namespace.

        Raises:
            SettingsError: it is not set, and this is not a pod.
        """
        if self.planner_address is not None:
            return self.planner_address
        if self.in_cluster:
            return Address(f"{PLANNER}.{self.namespace}.svc", PLANNER_PORT)
        declared = settings_of(PlannerAccess)["planner_address"]
        raise SettingsError(f"{declared.title} is not set. It says where the planner serves instructions, as host:port")


@dataclass(frozen=True, kw_only=True)
class ReplicaSettings(LogSettings):
    """Settings of each replica of a program in the cluster. Durations are in seconds."""

    pod_name: str = setting("MOORAGE_POD_NAME", "Our own pod's name, in the Lease and in Events", parsing.subdomain, "")
    stop_grace: float = setting(
        "MOORAGE_STOP_GRACE",
        "How long work in progress may take to end after SIGTERM; keep it below the pod's grace period",
        parsing.seconds,
        20.0,
    )
    health_address: Address = setting(
        "MOORAGE_HEALTH_ADDRESS",
        "Address of /livez, /readyz and /metrics; port 0: any free port; without a host, as in :8080: all addresses",
        parsing.listen_address,
        Address("127.0.0.1", 8080),
    )

    def __post_init__(self) -> None:
        if not self.pod_name:  # in a pod the host name is the pod's name
            object.__setattr__(self, "pod_name", socket.gethostname().lower())


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Settings of the webhook that pins pods while they are created."""

    webhook: bool = setting(
        "MOORAGE_WEBHOOK",
        "Whether the webhook pins pods that are expected on a promised node while they are created",
        parsing.boolean,
        False,
    )
    webhook_address: Address = setting(
        "MOORAGE_WEBHOOK_ADDRESS",
        "Where the webhook listens; port 0: any free port; without a host, as in :9444: all addresses",
        parsing.listen_address,
        Address("127.0.0.1", 9444),
    )
    webhook_url: str = setting(
        "MOORAGE_WEBHOOK_URL",
        "The URL of the webhook for the API server, as https://host:port/mutate, if not through the Service",
        parsing.webhook_url,
        "",
    )
    webhook_service: str = setting(
        "MOORAGE_WEBHOOK_SERVICE",
        "The Service through which the API server reaches the leader",
        parsing.name,
        "castai-pod-pinner-webhook",
    )
    webhook_port: int = setting("MOORAGE_WEBHOOK_PORT", "Its port", parsing.whole(1, 65535), 443)
    webhook_configuration: str = setting(
        "MOORAGE_WEBHOOK_CONFIGURATION",
        "The MutatingWebhookConfiguration that the leader completes while pods are expected",
        parsing.subdomain,
        "castai-pod-pinner",
    )
    webhook_secret: str = setting(
        "MOORAGE_WEBHOOK_SECRET",
        "The Secret with the webhook's certificate. It is filled if it is empty, and renewed in time",
        parsing.subdomain,
        "castai-pod-pinner-webhook",
    )
    webhook_timeout: int = setting(
        "MOORAGE_WEBHOOK_TIMEOUT",
        "Seconds that the API server waits for the webhook before it creates a pod unchanged",
        parsing.whole(1, 30),
        2,
    )
    destinations: str = setting(
        "MOORAGE_DESTINATIONS",
        "How pods are put on running nodes on which they are expected (SlotReservation): hard gives them the node's "
        "name, soft a preference that the scheduler weighs, off leaves them to it",
        parsing.one_of(*STEERING),
        "hard",
    )


@dataclass(frozen=True, kw_only=True)
class PinnerSettings(PlannerAccess, WebhookSettings, ReplicaSettings):
    """Settings of ``moorage pod-pinner``. Durations are in seconds."""

    managed: bool = setting(
        "MOORAGE_MANAGED",
        "Whether this installation is labelled as managed by Cast AI; then a cluster controller beside it is warned of",
        parsing.boolean,
        False,
    )
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME", "The Lease that makes one replica the leader", parsing.subdomain, PINNER_LEASE
    )
    deployment: str = setting(
        "MOORAGE_DEPLOYMENT",
        "The Deployment of our pod: where it is scaled to 0, the leader removes placeholders with their pins, our "
        "taints and reservations as it ends; unset: nothing is removed",
        parsing.subdomain,
        "",
    )
    profile: str = setting(
        "MOORAGE_PROVIDER_PROFILE",
        "The provider whose cloud controller watches the nodes: when a placeholder may exist, and what it must have",
        parsing.one_of(*PROFILES),
        "generic",
    )
    dry_run: bool = setting(
        "MOORAGE_DRY_RUN", "Validate and answer instructions, and change nothing in the cluster", parsing.boolean, False
    )
    stream_silence: float = setting(
        "MOORAGE_STREAM_SILENCE",
        "Time without a message after which the stream is treated as dead; heartbeats come every 15s or less",
        parsing.seconds,
        45.0,
    )

    def __post_init__(self) -> None:
        ReplicaSettings.__post_init__(self)
        object.__setattr__(self, "planner_address", self.planner)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class CompactionSettings:
    """Settings of the evictor's choice of nodes. The resource EvictorConfig overrides them."""

    evictor_enabled: bool = setting(
        "MOORAGE_EVICTOR_ENABLED", "Whether the evictor does anything; false: no node is emptied", parsing.boolean, True
    )
    dry_run: bool = setting(
        "MOORAGE_DRY_RUN",
        "Only report what would be done; false: nodes are emptied",
        parsing.boolean,
        True,
    )
    aggressive_mode: bool = setting(
        "MOORAGE_AGGRESSIVE_MODE", "Also move pods that are the only replica, and pods of Jobs", parsing.boolean, False
    )
    scoped_mode: bool = setting(
        "MOORAGE_SCOPED_MODE",
        "Only touch nodes with the label provisioner.cast.ai/managed-by=cast.ai",
        parsing.boolean,
        False,
    )
    node_grace_period_minutes: int = setting(
        "MOORAGE_NODE_GRACE_PERIOD_MINUTES",
        "How many minutes a node must exist before it may be emptied",
        parsing.whole(0, 10_080),
        5,
    )
    cycle_interval: float = setting("MOORAGE_CYCLE_INTERVAL", "Time between two cycles", parsing.seconds, 60.0)
    max_target_nodes_per_cycle: int = setting(
        "MOORAGE_MAX_TARGET_NODES_PER_CYCLE", "At most so many nodes are emptied in a cycle", parsing.whole(0, 5000), 20
    )
    min_target_nodes_per_cycle: int = setting(
        "MOORAGE_MIN_TARGET_NODES_PER_CYCLE",
        "At least so many nodes are considered in a cycle, whatever the percentage comes to",
        parsing.whole(0, 5000),
        5,
    )
    target_node_percentage: int = setting(
        "MOORAGE_TARGET_NODE_PERCENTAGE",
        "At most this part of the nodes that may be emptied is emptied in a cycle, in percent",
        parsing.whole(0, 100),
        10,
    )
    drain_timeout: float = setting("MOORAGE_DRAIN_TIMEOUT", "How long emptying a node may take", parsing.seconds, 600.0)
    drain_rollback_timeout: float = setting(
        "MOORAGE_DRAIN_ROLLBACK_TIMEOUT", "How long rolling a node back may take", parsing.seconds, 60.0
    )
    pod_eviction_failure_back_off: float = setting(
        "MOORAGE_POD_EVICTION_FAILURE_BACK_OFF",
        "Time before a refused eviction is tried again; doubled each time",
        parsing.seconds,
        5.0,
    )
    soft_tainting: bool = setting(
        "MOORAGE_SOFT_TAINTING",
        "Whether nodes are only tainted while they are emptied, not cordoned",
        parsing.boolean,
        False,
    )
    emit_node_related_pod_events: bool = setting(
        "MOORAGE_EMIT_NODE_RELATED_POD_EVENTS",
        "Whether pods get an Event when their node is emptied",
        parsing.boolean,
        False,
    )
    parallel_drains: int = setting(
        "MOORAGE_PARALLEL_DRAINS", "At most so many nodes are emptied at a time", parsing.whole(1, 100), 5
    )
    empty_node_timeout: float = setting(
        "MOORAGE_EMPTY_NODE_TIMEOUT",
        "After how long an emptied node that nobody has deleted is handed back",
        parsing.seconds,
        900.0,
    )
    arm64_supported: bool = setting(
        "MOORAGE_ARM64_SUPPORTED", "Whether pods may be moved to arm64 nodes", parsing.boolean, True
    )
    windows: bool = setting("MOORAGE_WINDOWS", "Whether Windows nodes are emptied, too", parsing.boolean, False)
    base_cpu_cost: float = setting(
        "MOORAGE_BASE_CPU_COST", "Price of a core where no prices are known, in units", parsing.amount, 7.0
    )
    base_mem_cost: float = setting(
        "MOORAGE_BASE_MEM_COST", "Price of a GiB of memory where no prices are known, in units", parsing.amount, 1.0
    )
    spot_discount: float = setting(
        "MOORAGE_SPOT_DISCOUNT",
        "What part of the price a spot node costs less where no prices are known",
        parsing.amount,
        0.5,
    )
    target_utilization: int = setting(
        "MOORAGE_TARGET_UTILIZATION",
        "How full the CPU and memory of a node may get by what is moved to it, in percent",
        parsing.whole(1, 100),
        95,
    )
    quiet_period: float = setting(
        "MOORAGE_QUIET_PERIOD", "How long nothing is emptied after a node was created", parsing.duration, 600.0
    )
    allow_spot: bool = setting(
        "MOORAGE_ALLOW_SPOT", "Whether pods of on-demand nodes may be moved to spot nodes", parsing.boolean, False
    )
    owner_window: float = setting(
        "MOORAGE_OWNER_WINDOW",
        "Within which time the pods of one owner are evicted at most as often as it has replicas",
        parsing.seconds,
        3600.0,
    )


@dataclass(frozen=True, kw_only=True)
class EvictorSettings(CompactionSettings, ClusterSettings, ReplicaSettings):
    """Settings of ``moorage evictor``. Durations are in seconds."""

    managed: bool = setting(
        "MOORAGE_MANAGED",
        "Whether this installation is labelled as managed by Cast AI",
        parsing.boolean,
        False,
    )
    namespace: str = setting(
        "MOORAGE_NAMESPACE", "The namespace of our Lease, our ConfigMaps and our pod", parsing.name, "castai-agent"
    )
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME", "The Lease that makes one replica the leader", parsing.subdomain, EVICTOR_LEASE
    )
    leader_election: bool = setting(
        "MOORAGE_LEADER_ELECTION", "Whether replicas elect a leader; one replica needs none", parsing.boolean, True
    )
    rules_config_map: str = setting(
        "MOORAGE_RULES_CONFIG_MAP",
        "The ConfigMap with the rules, under the key config.yaml; followed for as long as the evictor runs",
        parsing.subdomain,
        "castai-evictor-config",
    )
    prices_config_map: str = setting(
        "MOORAGE_PRICES_CONFIG_MAP",
        "The ConfigMap with prices by instance type, under the key prices.yaml; there need not be one",
        parsing.subdomain,
        "castai-evictor-prices",
    )
    destinations: bool = setting(
        "MOORAGE_DESTINATIONS",
        "Whether the pod pinner steers replacements to the nodes that the simulation has chosen",
        parsing.boolean,
        True,
    )

    @property
    def installation(self) -> str:
        """The id of our installation, in the marks of nodes. Replicas that share the Lease share it."""
        return f"{self.namespace}/{self.lease_name}"
