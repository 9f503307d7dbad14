"""The settings of Moorage's programs: what each means, where it comes from, and what it may be."""

# ruff: noqa: RUF009 - setting() makes dataclass fields

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from . import parsing
from .configuration import SettingsError, setting
from .parsing import Address
from .secret import Secret

PROFILES = ("generic", "aws", "gcp", "azure")


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """How a program logs."""

    log_level: str = setting(
        "MOORAGE_LOG_LEVEL",
        "The least level that is logged",
        parsing.one_of("debug", "info", "warning", "error"),
        "info",
    )
    log_format: str = setting(
        "MOORAGE_LOG_FORMAT",
        "Lines for programs or for people; auto: for people on a terminal",
        parsing.one_of("auto", "json", "text"),
        "auto",
    )


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Which API server a program talks to; unset means the pod's service account, else kubectl's own choice."""

    kubeconfig: Path | None = setting("MOORAGE_KUBECONFIG", "A kubeconfig file", parsing.readable_file, None)
    context: str | None = setting("MOORAGE_CONTEXT", "A context of the kubeconfig", parsing.text, None)


@dataclass(frozen=True, kw_only=True)
class PinnerSettings(ClusterSettings, LogSettings):
    """Settings of ``moorage pod-pinner``; durations in seconds."""

    planner_address: Address = setting(
        "MOORAGE_PLANNER_ADDRESS",
        "Where the planner serves pinning instructions, as host:port",
        parsing.remote_address,
    )
    cluster_id: str = setting(
        "MOORAGE_CLUSTER_ID",
        "The name under which the planner knows this cluster; unset: the uid of namespace kube-system",
        parsing.text,
        "",
    )
    api_key: Secret | None = setting(
        "MOORAGE_API_KEY", "The key shown to the planner, when it is not in a file", Secret, None
    )
    api_key_file: Path | None = setting(
        "MOORAGE_API_KEY_FILE", "A file with the key shown to the planner", parsing.readable_file, None
    )
    planner_ca_file: Path | None = setting(
        "MOORAGE_PLANNER_CA_FILE",
        "A PEM file with the authorities the planner's certificate may come from, instead of the system's",
        parsing.pem_file,
        None,
    )
    planner_plaintext: bool = setting(
        "MOORAGE_PLANNER_PLAINTEXT", "Talk to a planner on this very machine without TLS", parsing.boolean, False
    )
    namespace: str = setting("MOORAGE_NAMESPACE", "The namespace of our Lease and pod", parsing.name, "castai-agent")
    pod_name: str = setting("MOORAGE_POD_NAME", "Our own pod's name, in the Lease and in Events", parsing.subdomain, "")
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME", "The Lease that makes one replica the leader", parsing.subdomain, "castai-pod-pinner"
    )
    profile: str = setting(
        "MOORAGE_PROVIDER_PROFILE",
        "Whose cloud controller watches over the nodes: when a placeholder may exist and what it must carry",
        parsing.one_of(*PROFILES),
        "generic",
    )
    dry_run: bool = setting(
        "MOORAGE_DRY_RUN", "Validate and answer instructions, and change nothing in the cluster", parsing.boolean, False
    )
    connect_timeout: float = setting(
        "MOORAGE_CONNECT_TIMEOUT",
        "How long the planner may take to answer a new stream with its welcome",
        parsing.seconds,
        10.0,
    )
    stream_silence: float = setting(
        "MOORAGE_STREAM_SILENCE",
        "After how long without a message the stream counts as dead; the planner's heartbeat comes every 15s or less",
        parsing.seconds,
        45.0,
    )
    stop_grace: float = setting(
        "MOORAGE_STOP_GRACE",
        "How long work under way may take to end after SIGTERM; keep it below the pod's grace period",
        parsing.seconds,
        20.0,
    )
    health_address: Address = setting(
        "MOORAGE_HEALTH_ADDRESS",
        "Where /livez, /readyz and /metrics are served; port 0: any free port",
        parsing.listen_address,
        Address("", 8080),
    )

    def __post_init__(self) -> None:
        if not self.pod_name:  # in a pod the host name is the pod's name
            object.__setattr__(self, "pod_name", socket.gethostname().lower())
        if self.api_key is not None and self.api_key_file is not None:
            raise SettingsError("MOORAGE_API_KEY and MOORAGE_API_KEY_FILE (--api-key-file) are both set. Remove one")
        if self.planner_plaintext and not self.planner_address.is_loopback:
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
        self.read_api_key()  # a file that holds no key is an error now, not at the first connection

    def read_api_key(self) -> Secret | None:
        """The key as it is now (a mounted Secret changes when it is rotated: ask before each connection).

        Returns:
            The key, or None when none is configured.

        Raises:
            SettingsError: the file cannot be read, or holds no key that can be sent.
        """
        key, source = self.api_key, "MOORAGE_API_KEY"
        if self.api_key_file is not None:
            source = f"MOORAGE_API_KEY_FILE (--api-key-file): '{self.api_key_file}'"
            try:
                key = Secret(self.api_key_file.read_text(encoding="ascii"))
            except OSError as error:
                raise SettingsError(f"{source}: it cannot be read: {error.strerror or error}") from error
            except UnicodeDecodeError:
                raise SettingsError(f"{source}: a key is printable ASCII, and this file is not") from None
        if key is None:
            return None
        value = key.reveal()
        if not value or not (value.isascii() and value.isprintable()):
            raise SettingsError(f"{source}: it holds no key (printable ASCII on one line). Put the planner's key there")
        return key
