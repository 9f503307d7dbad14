"""How the stream to the planner is kept."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.ops.settings import PinnerSettings, PlannerAccess

from .endpoint import PlannerEndpoint

ADVICE = (
    "The chart moorage-planner brings both (Secret moorage-planner-client): install it in namespace {namespace}, or "
    "name the address, key and authority of a planner of yours (values planner.address, planner.apiKeySecretRef and "
    "planner.caSecretRef)"
)
"""Where a pinner that was installed without settings gets what it lacks."""


def endpoint_of(settings: PlannerAccess) -> PlannerEndpoint:
    """The planner that the settings name.

    Raises:
        SettingsError: they name none.
    """
    return PlannerEndpoint(
        address=settings.planner,
        plaintext=settings.planner_plaintext,
        ca_file=settings.planner_ca_file,
        key_file=settings.api_key_file,
        key=settings.api_key,
        other_key=settings.other_api_key,
        key_file_is_closed=settings.closed_api_key,
        closed_key_stays_in="" if settings.allow_closed_key else settings.namespace,
        advice=ADVICE.format(namespace=settings.namespace) if settings.in_cluster else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How the stream is kept; durations in seconds.

    Attributes:
        endpoint: the planner.
        cluster_id: uid of the ``kube-system`` namespace.
        replica: our pod's name.
        version: of this software.
        window: instructions without any acknowledgement after which the planner is asked to send no more.
        connect_timeout: for connecting and the planner's Welcome.
        silence: without a message, after which the connection is given up.
        backoff_base: first ceiling of the delay between attempts.
        backoff_cap: highest ceiling of it.
        look_again: between looks for credentials that are missing.
    """

    endpoint: PlannerEndpoint
    cluster_id: str
    replica: str
    version: str = ""
    window: int = 256
    connect_timeout: float = 10.0
    silence: float = 45.0
    backoff_base: float = 0.5
    backoff_cap: float = 30.0
    look_again: float = 3.0

    @classmethod
    def of(cls, settings: PinnerSettings, *, cluster_id: str, version: str = "") -> StreamSettings:
        """Take them from the program's settings; ``cluster_id`` is what was found when none is set."""
        return cls(
            endpoint=endpoint_of(settings),
            cluster_id=settings.cluster_id or cluster_id,
            replica=settings.pod_name,
            version=version,
            connect_timeout=settings.connect_timeout,
            silence=settings.stream_silence,
        )
