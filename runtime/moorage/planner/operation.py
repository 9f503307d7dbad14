"""The parts of a planner that runs in a cluster: Secrets, probes, and Events on its own pod.

A planner on a user's machine has none of them; there an error ends the program at once. In a cluster the planner keeps
running, is not ready, and reports why, because a restart repairs neither a plan nor a Secret.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.wording import counted

from . import metrics
from .plan import Plan
from .settings import PlannerSettings
from .stage import Stage

if TYPE_CHECKING:  # these modules take a moment to load, and a planner on a user's machine does not need them
    from moorage.controller.pki import KeyPair
    from moorage.kube.events import EventRecorder, EventType
    from moorage.ops.health import Health

    from .secrets import SecretController

logger = logging.getLogger(__name__)


class OperationError(Exception):
    """The planner cannot be operated with its settings. The text gives the reason and the way out."""


class Operation:
    """How one planner is operated.

    Args:
        settings: the planner's settings.
        recorder: writes Events on our own pod; None outside a cluster.
        secret_controller: maintains the Secrets; None when files and variables hold everything.
        checks: the checks of the probes; None when no probes are served.
    """

    def __init__(
        self,
        settings: PlannerSettings,
        *,
        recorder: EventRecorder | None = None,
        secret_controller: SecretController | None = None,
        checks: Health | None = None,
    ) -> None:
        self._settings, self._recorder, self._secret_controller, self._checks = (
            settings,
            recorder,
            secret_controller,
            checks,
        )
        self.address: Address | None = None
        """The address of the probes."""
        self._pair = None if settings.tls_cert_file is None else _pair_of_files(settings)
        self._key = settings.key_reader()

    @property
    def stays_up(self) -> bool:
        """Whether the program keeps running with an invalid plan."""
        return self._settings.in_cluster and not self._settings.once

    @property
    def pair(self) -> Callable[[], KeyPair] | None:
        """Returns the serving certificate; None for plaintext. Use it after ``wait_complete``."""
        if self._secret_controller is None or not self._settings.tls_secret:
            return self._pair
        secret_controller = self._secret_controller

        def stored() -> KeyPair:
            current = secret_controller.pair()
            assert current is not None  # noqa: S101 - complete, and what was there stays
            return current

        return stored

    @property
    def api_key(self) -> Callable[[], Secret | None]:
        """Returns the key that pinners must send."""
        return (
            self._secret_controller.api_key
            if self._secret_controller is not None and self._settings.client_secret
            else self._key
        )

    async def wait_complete(self) -> None:
        """Wait until certificate and key exist."""
        if self._secret_controller is not None:
            await self._secret_controller.complete.wait()

    def needs(self, name: str, fulfilled: Callable[[], bool]) -> None:
        """Add the checks of /readyz."""
        if self._checks is not None:
            self._checks.needs(name, fulfilled)

    def works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The tasks to run beside the planner, by name. None of them ends by itself."""
        result: dict[str, Coroutine[Any, Any, None]] = {}
        if self._recorder is not None:
            result["events"] = self._recorder.run()
        if self._secret_controller is not None:
            result["secrets"] = self._secret_controller.run()
            self.needs("certificate and key", self._secret_controller.complete.is_set)
        if self._checks is not None:
            result["beat"] = self._checks.beat()
        return result

    # --- Events ---

    def served(self, plan: Plan) -> None:
        """A plan is served."""
        metrics.PLAN_VALID.set(1)
        metrics.PLAN_LOADS.labels("served").inc()
        self._tell("Normal", "PlanServed", "Serve", f"Plan {plan.name} is served: {counted(len(plan.nodes), 'node')}")

    def rebalancing(self, stage: Stage, why: str) -> None:
        """A rebalancing has reached another stage."""
        metrics.REBALANCINGS.labels(stage.value).inc()
        kind: EventType = "Warning" if stage in (Stage.INCOMPLETE, Stage.WITHDRAWN) else "Normal"
        self._tell(kind, f"Rebalancing{stage.name.capitalize()}", "Rebalance", why)

    def broken(self, error: str, *, before: Plan | None) -> None:
        """The plan file is invalid."""
        metrics.PLAN_VALID.set(0)
        metrics.PLAN_LOADS.labels("refused").inc()
        instead = f"plan {before.name} is still served" if before is not None else "nothing is served until it is valid"
        logger.error("plan file cannot be used", extra={"error": error, "instead": instead})
        self._tell("Warning", "PlanInvalid", "Load", f"The plan cannot be used, {instead}: {error}")

    def trouble(self, sentence: str) -> None:
        """A Secret has a problem."""
        self._tell("Warning", "SecretsInvalid", "Keep", sentence)

    def _tell(self, kind: EventType, reason: str, action: str, note: str) -> None:
        if self._recorder is None:
            return
        from moorage.controller.own_pod import OwnPod

        settings = self._settings
        us = OwnPod(self._recorder, settings.namespace, settings.pod_name, lambda: settings.pod_uid)
        us.tell(kind, reason, action, note)


@asynccontextmanager
async def operation(settings: PlannerSettings) -> AsyncIterator[Operation]:
    """Open the connections and servers that the settings require. They are closed at the end of the context.

    Raises:
        OperationError: the health server cannot be started, or the certificate in files cannot be used.
        CredentialsError: the cluster is needed, and there are no credentials.
    """
    async with AsyncExitStack() as stack:
        checks, address = await _probes(settings, stack)
        if not settings.keeps_secrets and not (settings.in_cluster and settings.pod_name):
            alone = Operation(settings, checks=checks)
            alone.address = address
            yield alone
            return
        from moorage.kube import credentials
        from moorage.kube.events import EventRecorder
        from moorage.kube.http.transport import Transport

        access = credentials.load(settings.kubeconfig, settings.context)
        transport = await stack.enter_async_context(Transport(access))
        recorder = None
        if settings.pod_name:
            recorder = EventRecorder(transport, instance=settings.pod_name, component="moorage-planner")
            stack.push_async_callback(recorder.close)
        made: list[Operation] = []
        secret_controller = None
        if settings.keeps_secrets:
            from moorage.kube.client import Client

            from .secrets import SecretController
            from .tlsfiles import authority_beside

            file = settings.tls_cert_file
            secret_controller = SecretController(
                Client(transport),
                settings.namespace,
                tls_secret=settings.tls_secret,
                client_secret=settings.client_secret,
                names=settings.tls_names,
                own_key=settings.key_reader(),
                own_authority=lambda: None if file is None else authority_beside(file),
                on_problem=lambda sentence: made[0].trouble(sentence),
            )
        made.append(Operation(settings, recorder=recorder, secret_controller=secret_controller, checks=checks))
        made[0].address = address
        yield made[0]


async def _probes(settings: PlannerSettings, stack: AsyncExitStack) -> tuple[Health | None, Address | None]:
    """The checks of the probes, and the address of the probes; None when no probes are served."""
    if settings.health_address is None:
        return None, None
    from moorage.ops import health

    checks = health.Health()
    try:
        address = await stack.enter_async_context(health.serve(checks, settings.health_address))
    except health.HealthError as error:
        raise OperationError(str(error)) from error
    logger.info("health server listens", extra={"address": str(address)})
    return checks, address


def _pair_of_files(settings: PlannerSettings) -> Callable[[], KeyPair]:
    from .tlsfiles import pair_reader

    assert settings.tls_cert_file is not None  # noqa: S101 - asked for it
    assert settings.tls_key_file is not None  # noqa: S101 - settings want both
    try:
        return pair_reader(settings.tls_cert_file, settings.tls_key_file)
    except ValueError as error:
        raise OperationError(str(error)) from error
