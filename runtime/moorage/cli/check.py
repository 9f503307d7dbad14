"""``moorage check``: whether an installed pod pinner can do its work; ``helm test`` runs it in the cluster."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from dataclasses import dataclass

from moorage.ops import configuration, parsing
from moorage.ops.aio import run_command
from moorage.ops.configuration import setting
from moorage.ops.settings import PINNER_LEASE, ClusterSettings

from .parser import WRONG_USAGE, Parser, make

FAILED = 1
EXAMPLES = """\
  moorage check                               in the cluster, as helm test runs it
  moorage check --context staging -o json     from a shell, for scripts"""
EXIT_CODES = """\
exit codes:
  0    every check has passed
  1    one has not, or the cluster cannot be reached
  2    wrong usage or settings
  130  interrupted by Ctrl-C"""


@dataclass(frozen=True, kw_only=True)
class CheckSettings(ClusterSettings):
    """Settings of ``moorage check``."""

    namespace: str = setting("MOORAGE_NAMESPACE", "Where the pod pinner is installed", parsing.name, "castai-agent")
    lease_name: str = setting(
        "MOORAGE_LEASE_NAME",
        "The Lease of its leader",
        parsing.subdomain,
        PINNER_LEASE,
    )
    check_image: str = setting(
        "MOORAGE_CHECK_IMAGE",
        "The image named in the pod that is tried, where admission is particular about images; it is not pulled",
        parsing.text,
        "moorage.invalid/check:1",
    )
    timeout: float = setting(
        "MOORAGE_CHECK_TIMEOUT", "How long to try again what has not passed", parsing.seconds, 30.0
    )


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Checks an installation: its definition is served, one replica leads, and a pod passes admission (a dry run).\n"
        "Nothing is changed in the cluster."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json")
    configuration.add_flags(made, CheckSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Check, and print a line for each."""
    try:
        settings = configuration.load(CheckSettings, os.environ, vars(arguments))
    except configuration.SettingsError as error:
        print(f"moorage check: {error}", file=sys.stderr)
        return WRONG_USAGE
    return run_command(lambda: _check(settings, arguments.output))


async def _check(settings: CheckSettings, output: str) -> int:
    from moorage.kube import credentials  # after the settings, so that a wrong one is told at once
    from moorage.kube.client import Client
    from moorage.kube.errors import KubeError
    from moorage.kube.transport import Transport
    from moorage.pinner import check

    try:
        access = credentials.load(settings.kubeconfig, settings.context)
    except KubeError as error:
        print(f"moorage check: {error}", file=sys.stderr)
        return FAILED
    async with Transport(access) as transport:
        results = await check.run(
            Client(transport),
            namespace=settings.namespace,
            lease_name=settings.lease_name,
            image=settings.check_image,
            timeout=settings.timeout,
        )
    passed = all(result.passed for result in results)
    if output == "json":
        print(json.dumps({"passed": passed, "checks": [dataclasses.asdict(result) for result in results]}, indent=2))
    else:
        for result in results:
            print(f"{'ok    ' if result.passed else 'FAILED'}  {result.name}: {result.detail}")
    return 0 if passed else FAILED
