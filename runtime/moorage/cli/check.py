"""``moorage check``: whether an installed pod pinner can do its work; ``helm test`` runs it in the cluster."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.ops import configuration, parsing
from moorage.ops.configuration import setting
from moorage.ops.settings import PINNER_LEASE, STEERING, PlannerAccess

from .frame import FAILED, add_output, on_cluster
from .parser import Parser, make, typed_as
from .terminal import GREEN, RED, YELLOW, colours, painted

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from collections.abc import Mapping

    from moorage.kube.client import Client
    from moorage.pinner.commands.check.outcome import Result
    from moorage.pinner.commands.check.run import Check
    from moorage.pinner.rights import Right

NOT_LOOKED_AT = 3
PINNER = "castai-pod-pinner"
"""As the chart names its objects unless told otherwise."""
FENCE = tuple(
    f"{PINNER}{part}.{{namespace}}" for part in ("", "-pods", "-pod-status", "-bindings", "-leases", "-check")
)
"""Its admission policies, that about Nodes first."""
EXAMPLES = """\
  helm test castai-pod-pinner -n castai-agent
                                runs it in the cluster, with the values of the release
  kubectl exec -n castai-agent deployment/castai-pod-pinner -- /usr/local/bin/moorage check
                                as the pinner itself: its connection to the planner, its rights, its policies
  moorage check --context staging -o json
                                from a shell, for scripts; checks no planner unless its address is set"""
EXIT_CODES = """\
exit codes:
  0    every check has passed; there may be warnings
  1    a check has failed, or the cluster cannot be reached
  2    wrong usage or settings
  3    no check has failed, and something could not be checked
  130  interrupted by Ctrl-C"""
_COLOURS = {"ok": GREEN, "warning": YELLOW, "failed": RED, "unknown": YELLOW}


@dataclass(frozen=True, kw_only=True)
class CheckSettings(PlannerAccess):
    """Settings of ``moorage check``."""

    namespace: str = setting("MOORAGE_NAMESPACE", "Where the pod pinner is installed", parsing.name, "castai-agent")
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME",
        "The Lease of its leader",
        parsing.subdomain,
        PINNER_LEASE,
    )
    deployment: str = setting("MOORAGE_DEPLOYMENT", "The Deployment of its pods", parsing.subdomain, PINNER)
    webhook: bool = setting(
        "MOORAGE_WEBHOOK", "Whether it pins pods while they are created, as the chart sets it", parsing.boolean, True
    )
    webhook_configuration: str = setting(
        "MOORAGE_WEBHOOK_CONFIGURATION",
        "Its MutatingWebhookConfiguration; unset: the chart's",
        parsing.subdomain,
        "",
    )
    webhook_secret: str = setting(
        "MOORAGE_WEBHOOK_SECRET", "The Secret with the webhook's certificate", parsing.subdomain, f"{PINNER}-webhook"
    )
    destinations: str = setting(
        "MOORAGE_DESTINATIONS",
        "How it puts pods on running nodes where they are expected, as the chart sets it",
        parsing.one_of(*STEERING),
        STEERING[0],
    )
    service_account: str = setting(
        "MOORAGE_CHECK_ACCOUNT",
        "Its service account, whose rights are checked; unset: in a pod the pod's own, else castai-pod-pinner",
        parsing.subdomain,
        "",
    )
    policies: tuple[str, ...] = setting(
        "MOORAGE_CHECK_POLICIES",
        "Its admission policies, separated by commas, the one about Nodes first; unset: the chart's",
        parsing.host_names,
        (),
    )
    without_fence: bool = setting(
        "MOORAGE_CHECK_WITHOUT_FENCE",
        "It was installed with admissionPolicy.enabled=false: a warning instead of a failure",
        parsing.boolean,
        False,
    )
    check_image: str = setting(
        "MOORAGE_CHECK_IMAGE",
        "The image of the pod that is tried, if admission accepts only some images; it is not pulled",
        parsing.text,
        "moorage.invalid/check:1",
    )
    timeout: float = setting(
        "MOORAGE_CHECK_TIMEOUT", "How long to repeat checks that have not passed", parsing.seconds, 30.0
    )


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Checks an installation: its definition is served, one replica leads, the planner accepts it, its account\n"
        "has its rights, the admission policies are in force, and pods pass admission (dry runs).\n"
        "It changes nothing in the cluster, and the planner does not count it as a pinner."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    add_output(made)
    configuration.add_flags(made, CheckSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Check, and print a line for each."""
    return on_cluster(
        CheckSettings,
        arguments,
        typed_as("check"),
        lambda settings, client: _check(settings, client, arguments.output),
    )


async def _check(settings: CheckSettings, client: Client, output: str) -> int:
    from moorage.pinner.commands.check.run import run

    results: list[Result] = []
    async with aclosing(run(_checks(settings, client), settings.timeout, _waiting)) as running:
        async for result in running:
            results.append(result)
            if output == "text":
                print(_line(result), flush=True)
    if output == "json":
        print(json.dumps(_report(results), indent=2))
    return _code(results)


def _checks(settings: CheckSettings, client: Client) -> Mapping[str, Check]:
    """The checks, in the order in which they are shown."""
    from moorage.pinner.commands.check import fence, installation, rights
    from moorage.pinner.commands.check.account import service_account

    namespace, lease = settings.namespace, settings.lease_name
    name = settings.service_account or ("" if settings.in_cluster else PINNER)
    user = service_account(namespace, name) if name else ""
    policies = settings.policies or tuple(name.format(namespace=namespace) for name in FENCE)
    return {
        "reservations": lambda: installation.reservations_are_served(client),
        "leader": lambda: installation.a_replica_leads(client, namespace, lease),
        "planner": lambda: _planner(settings, client),
        "rights": lambda: rights.rights_are_granted(client, user, needed(settings)),
        "fence": fence.absent if settings.without_fence else (lambda: fence.fence_holds(client, user, policies)),
        "admission": lambda: installation.a_pod_is_admitted(client, namespace, settings.check_image),
    }


def needed(settings: CheckSettings) -> tuple[Right, ...]:
    """The rights that the installation needs.

    Args:
        settings: of the command.
    """
    from moorage.pinner import rights as table

    namespace = settings.namespace
    found = table.needed(namespace, settings.lease_name, settings.deployment)
    if not settings.webhook:
        return found
    configuration = settings.webhook_configuration or f"{PINNER}.{namespace}"
    found += table.of_webhook(namespace, configuration, settings.webhook_secret)
    return found if settings.destinations == "off" else (*found, *table.of_destinations())


async def _planner(settings: CheckSettings, client: Client) -> str:
    from moorage.pinner.commands.check import diagnosis, planner
    from moorage.pinner.commands.check.outcome import NotLookedAt
    from moorage.pinner.stream.settings import endpoint_of

    if settings.planner_address is None and not settings.in_cluster:
        raise NotLookedAt(
            "its address is not set, and only inside the cluster it is found without one. Run helm test, or set it "
            "(--planner-address)",
            patience=0.0,
        )
    way = diagnosis.Way(endpoint=endpoint_of(settings), timeout=settings.connect_timeout, inside=settings.in_cluster)
    return await planner.planner_welcomes(way, settings.cluster_id or await planner.cluster_id(client))


# --- what is said ---


def _line(result: Result) -> str:
    """``ok      leader: …``; further lines of the detail are indented."""
    word = result.state.value
    word = f"{word.upper() if word == 'failed' else word:<8}"
    if colours():
        word = painted(word, _COLOURS[result.state.value])
    first, *more = result.detail.splitlines() or [""]
    return "\n".join([f"{word}{result.name}: {first}", *(f"          {line}" for line in more)])


def _waiting(result: Result) -> None:
    """Tell a person at a terminal why nothing is shown yet."""
    if sys.stderr.isatty():
        print(f"…       {result.name}: not yet, trying again: {result.detail.splitlines()[0]}", file=sys.stderr)


def _report(results: list[Result]) -> dict[str, object]:
    checks = [
        {"name": each.name, "state": each.state.value, "passed": each.passed, "detail": each.detail} for each in results
    ]
    return {"passed": all(each.passed for each in results), "checks": checks}


def _code(results: list[Result]) -> int:
    states = {each.state.value for each in results}
    if "failed" in states:
        return FAILED
    return NOT_LOOKED_AT if "unknown" in states else 0
