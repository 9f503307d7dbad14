"""The settings of ``moorage planner``."""

# ruff: noqa: RUF009 - setting() makes dataclass fields

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.ops import keys, parsing
from moorage.ops.configuration import SettingsError, setting
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.ops.settings import PLANNER, ClusterSettings, LogSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlannerSettings(ClusterSettings, LogSettings):
    """Settings of ``moorage planner``."""

    plan: Path = setting(
        "MOORAGE_PLAN", "The plan file. It is read again when it changes", parsing.readable_file, later=True
    )
    listen: Address = setting(
        "MOORAGE_LISTEN",
        "Where pinners connect, as host:port. An empty host means all addresses",
        parsing.listen_address,
        Address("127.0.0.1", 9443),
    )
    tls_cert_file: Path | None = setting(
        "MOORAGE_TLS_CERT_FILE", "The planner's certificate chain in PEM form", parsing.pem_file, None
    )
    tls_key_file: Path | None = setting(
        "MOORAGE_TLS_KEY_FILE", "The private key of the certificate in PEM form", parsing.readable_file, None
    )
    tls_secret: str = setting(
        "MOORAGE_TLS_SECRET",
        "A Secret for authority and certificate instead of files. The planner fills it if it is empty, and renews it",
        parsing.subdomain,
        "",
    )
    tls_names: tuple[str, ...] = setting(
        "MOORAGE_TLS_NAMES",
        "DNS names and IP addresses of the certificate, separated by commas. Default: those of the Service "
        "moorage-planner",
        parsing.host_names,
        (),
    )
    client_secret: str = setting(
        "MOORAGE_CLIENT_SECRET",
        "A Secret in which API key and authority are published for pod pinners. A missing key is created",
        parsing.subdomain,
        "",
    )
    namespace: str = setting(
        "MOORAGE_NAMESPACE", "The namespace of these Secrets and of our pod", parsing.name, "castai-agent"
    )
    pod_name: str = setting("MOORAGE_POD_NAME", "Our own pod's name, for Events about it", parsing.subdomain, "")
    pod_uid: str = setting("MOORAGE_POD_UID", "Our own pod's uid, for Events about it", parsing.text, "")
    health_address: Address | None = setting(
        "MOORAGE_HEALTH_ADDRESS",
        "Address of /livez, /readyz, /healthz and /metrics. Default: they are not served",
        parsing.listen_address,
        None,
    )
    api_key: Secret | None = setting(
        "MOORAGE_API_KEY", "The key that pinners must send, if it is not in a file", Secret, None
    )
    api_key_file: Path | None = setting(
        "MOORAGE_API_KEY_FILE", "A file with the key that pinners must send", parsing.readable_file, None
    )
    rebalancing: bool = setting(
        "MOORAGE_REBALANCING",
        "Whether plans of kind rebalance, which evict pods, are accepted",
        parsing.boolean,
        True,
    )
    cluster_id: str = setting(
        "MOORAGE_CLUSTER_ID",
        "The cluster id of the pod pinners in the rebalanced cluster. Default: the uid of its namespace kube-system",
        parsing.text,
        "",
    )
    leader_election: bool = setting(
        "MOORAGE_LEADER_ELECTION",
        "Whether only the holder of the Lease drains nodes. Required when two planners may serve one plan",
        parsing.boolean,
        False,
    )
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME",
        "The Lease. With the namespace, it also names this installation in the marks of nodes",
        parsing.subdomain,
        PLANNER,
    )
    once: bool = setting("MOORAGE_ONCE", "End when every instruction is finally acknowledged", parsing.boolean, False)
    output: str = setting(
        "MOORAGE_OUTPUT",
        "How progress is shown: a table on a terminal, or a line of JSON per event",
        parsing.one_of("auto", "table", "json"),
        "auto",
    )

    def __post_init__(self) -> None:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise SettingsError(
                "MOORAGE_TLS_CERT_FILE (--tls-cert-file) and MOORAGE_TLS_KEY_FILE (--tls-key-file) belong together. "
                "Set both, or neither for plaintext on loopback"
            )
        if self.tls_secret and self.tls_cert_file is not None:
            raise SettingsError(
                "MOORAGE_TLS_SECRET (--tls-secret) and MOORAGE_TLS_CERT_FILE (--tls-cert-file) are both set. Remove one"
            )
        if self.api_key is not None and self.api_key_file is not None:
            raise SettingsError("MOORAGE_API_KEY and MOORAGE_API_KEY_FILE (--api-key-file) are both set. Remove one")
        if not self.tls_names:
            object.__setattr__(self, "tls_names", _service_names(self.namespace))
        if not self.listen.is_loopback:
            self._check_exposed()
        keys.read(self.api_key_file, self.api_key)

    def _check_exposed(self) -> None:
        if self.tls_cert_file is None and not self.tls_secret:
            raise SettingsError(
                f"MOORAGE_LISTEN (--listen): {self.listen} can be reached from other machines, and there is no "
                "certificate. Set MOORAGE_TLS_CERT_FILE (--tls-cert-file) and MOORAGE_TLS_KEY_FILE (--tls-key-file), "
                "or MOORAGE_TLS_SECRET (--tls-secret), or listen on 127.0.0.1"
            )
        if self.api_key is None and self.api_key_file is None and not self.client_secret:
            raise SettingsError(
                f"MOORAGE_LISTEN (--listen): {self.listen} can be reached from other machines, and anybody could ask "
                "for the plan. Set MOORAGE_API_KEY_FILE (--api-key-file), MOORAGE_API_KEY or MOORAGE_CLIENT_SECRET "
                "(--client-secret), or listen on 127.0.0.1"
            )

    @property
    def installation(self) -> str:
        """The id of our installation, in the marks of nodes. Planners that share the Lease share it."""
        return f"{self.namespace}/{self.lease_name}"

    @property
    def keeps_secrets(self) -> bool:
        """Whether Secrets of the cluster are maintained."""
        return bool(self.tls_secret or self.client_secret)

    def key_reader(self) -> Callable[[], Secret | None]:
        """Returns the current key.

        If its file cannot be read, the last key stays in use, so that a key is always required.
        """
        last = keys.read(self.api_key_file, self.api_key)

        def read() -> Secret | None:
            nonlocal last
            try:
                last = keys.read(self.api_key_file, self.api_key)
            except SettingsError as error:
                logger.warning("API key cannot be read, using the last one", extra={"error": str(error)})
            return last

        return read


def _service_names(namespace: str) -> tuple[str, ...]:
    """All DNS names of the Service."""
    inside = f"{PLANNER}.{namespace}"
    return (PLANNER, inside, f"{inside}.svc", f"{inside}.svc.cluster.local")
