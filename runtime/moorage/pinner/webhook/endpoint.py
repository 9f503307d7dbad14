"""How the API server reaches the webhook, as the settings have it."""

from __future__ import annotations

from urllib.parse import urlsplit

from moorage.ops.settings import PinnerSettings

from .configuration import PATH, Target


def names(settings: PinnerSettings) -> tuple[str, ...]:
    """What the certificate must be valid for.

    Args:
        settings: of ``moorage pod-pinner``.
    """
    host = urlsplit(settings.webhook_url).hostname
    if host:
        return (host,)
    service = f"{settings.webhook_service}.{settings.namespace}"
    return (f"{service}.svc", service, f"{service}.svc.cluster.local")


def target(settings: PinnerSettings) -> Target:
    """Where the webhook is.

    Args:
        settings: of ``moorage pod-pinner``.
    """
    if settings.webhook_url:
        return Target(settings.webhook_configuration, {"url": settings.webhook_url}, settings.webhook_timeout)
    service = {
        "name": settings.webhook_service,
        "namespace": settings.namespace,
        "path": PATH,
        "port": settings.webhook_port,
    }
    return Target(settings.webhook_configuration, {"service": service}, settings.webhook_timeout)
