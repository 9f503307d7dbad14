"""The webhook as the settings have it; loaded only by whoever serves one: a server and its certificates cost memory."""

from __future__ import annotations

from collections.abc import Callable

from moorage.controller.serving import SecretWriter, ServingCertificate
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.ops.settings import PinnerSettings

from ..names import COMPONENT_NAME
from . import endpoint
from .service import WebhookService


def make(
    settings: PinnerSettings, transport: Transport, is_leader: Callable[[], bool], on_problem: Callable[[str], None]
) -> WebhookService:
    """Make it; somebody else runs it.

    Args:
        settings: of ``moorage pod-pinner``.
        transport: the connections to the API server.
        is_leader: asked as an answer is given.
        on_problem: told about each problem with the certificate once.
    """
    secrets = SecretWriter(Client(transport), settings.namespace, COMPONENT_NAME)
    certificate = ServingCertificate(secrets, settings.webhook_secret, endpoint.names(settings), COMPONENT_NAME)
    return WebhookService(settings.webhook_address, certificate.ensure, is_leader, on_problem=on_problem)
