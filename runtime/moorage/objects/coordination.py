"""Leases: kubelet heartbeats and leader election."""

from __future__ import annotations

from .base import KubeObject, Object


class LeaseSpec(Object, frozen=True):
    """``spec`` of a Lease; times are RFC 3339 with microseconds (``metav1.MicroTime``)."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(KubeObject, frozen=True):
    """A Lease."""

    spec: LeaseSpec = LeaseSpec()
