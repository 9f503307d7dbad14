"""``moorage install``: the command of Helm that fits a cluster, and why."""

from __future__ import annotations

import argparse
import json
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.ops import configuration, parsing
from moorage.ops.configuration import setting
from moorage.ops.settings import ClusterSettings

from .frame import add_output, on_cluster, quiet
from .parser import Parser, make, typed_as
from .terminal import plain

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client

    from .installing.judging import Plan, Step

BLOCKED = 1
UNSEEN = 3
WIDTH = 120
EXAMPLES = """\
  moorage install                        what fits the cluster of kubectl's current context, and why
  moorage install > install.sh           the same as a script: read it, then run it with sh
  moorage install -n moorage --charts oci://registry.example.com/charts
                                         another namespace, and charts from a registry
  moorage install -o json                for scripts"""
EXIT_CODES = """\
exit codes:
  0    the commands are printed, or nothing is missing
  1    nothing can be installed, for the reason that is printed; or the cluster cannot be reached
  2    wrong usage or settings
  3    the commands are printed, and something that bears on them could not be read
  130  interrupted by Ctrl-C"""


@dataclass(frozen=True, kw_only=True)
class InstallSettings(ClusterSettings):
    """Settings of ``moorage install``."""

    namespace: str = setting("MOORAGE_NAMESPACE", "Where Moorage is to be installed", parsing.name, "castai-agent")
    charts: str = setting(
        "MOORAGE_CHARTS",
        "Where the charts are: a repository that Helm knows, a folder, or oci://REGISTRY/PATH",
        parsing.text,
        "moorage",
    )


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Prints the command of Helm that fits a cluster: what is installed there is upgraded and keeps its values,\n"
        "what is missing is installed, and each value that is set has its reason. Installs and changes nothing.\n"
        "Run it again after that: it adds what is missing.\n"
        "Takes the right to list nodes and deployments, and to get namespaces, customresourcedefinitions and\n"
        "configmaps; with the right to list secrets, which Helm needs anyway, also the releases and their values."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    add_output(made)
    made.add_argument("-n", dest="namespace", metavar="NAMESPACE", help="--namespace, as kubectl has it")
    configuration.add_flags(made, InstallSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look, and print."""
    with quiet():
        return on_cluster(
            InstallSettings,
            arguments,
            typed_as("install"),
            lambda settings, client: _install(settings, client, arguments.output),
        )


async def _install(settings: InstallSettings, client: Client, output: str) -> int:
    from moorage.ops.version import version

    from .installing.judging import judge
    from .installing.surroundings import read

    found = await read(client, settings.namespace)
    plan = judge(found, version())
    if output == "json":
        print(json.dumps(as_json(settings, found.server, plan), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(settings, found.server, plan)))
    return code(plan)


def code(plan: Plan) -> int:
    """The exit code."""
    if plan.blockers:
        return BLOCKED
    return UNSEEN if plan.unseen else 0


def command(settings: InstallSettings, step: Step) -> list[str]:
    """A step as Helm takes it, word by word."""
    words = ["helm", "upgrade", *(["--install"] if step.installs else []), step.release]
    words += [f"{settings.charts.rstrip('/')}/{step.chart}", "-n", settings.namespace]
    words += ["--create-namespace"] if step.installs else []
    words += ["--reset-then-reuse-values"]  # of a new release, too: whoever runs the same command again loses no value
    words += [f"--kubeconfig={settings.kubeconfig}"] if settings.kubeconfig else []
    words += [f"--kube-context={settings.context}"] if settings.context else []
    for key, value in step.values.items():
        words += ["--set", f"{key}={value}"]
    return words


def before(settings: InstallSettings, words: list[str]) -> list[str]:
    """A command of kubectl, on the same cluster."""
    more = [f"--kubeconfig={settings.kubeconfig}"] if settings.kubeconfig else []
    more += [f"--context={settings.context}"] if settings.context else []
    return [*words, *more]


def lines(settings: InstallSettings, server: str, plan: Plan) -> Iterator[str]:
    """All of it as a script for a shell: what was found are comments."""
    yield from _comment(f"cluster {server}, namespace {settings.namespace}")
    for each in plan.findings:
        values = ", ".join(f"{part}.{key}={value}" for (part, key), value in each.values.items())
        yield from _comment(f"- {each.thing}: {each.conclusion}{f' [{values}]' if values else ''}")
    for unseen in plan.unseen:
        yield from _comment(f"! cannot be seen: {unseen}")
    for blocker in plan.blockers:
        yield from _comment(f"! nothing is installed: {blocker}")
    if len(plan.before) + len(plan.steps) > 1:
        yield "set -e"
    for words in plan.before:
        yield shlex.join(before(settings, words))
    for step in plan.steps:
        yield _folded(command(settings, step))


def _comment(text: str) -> Iterator[str]:
    head, later = ("# ", "#   ") if text[:2] in ("- ", "! ") else ("# ", "# ")
    width = WIDTH
    yield from textwrap.wrap(
        plain(text), width, initial_indent=head, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _folded(words: list[str]) -> str:
    """A command with each value on a line of its own."""
    return shlex.join(words).replace(" --set", " \\\n  --set")


def as_json(settings: InstallSettings, server: str, plan: Plan) -> dict[str, object]:
    """The same as plain data."""
    return {
        "server": server,
        "namespace": settings.namespace,
        "found": [
            {
                "thing": each.thing,
                "conclusion": each.conclusion,
                "values": {f"{part}.{key}": value for (part, key), value in each.values.items()},
            }
            for each in plan.findings
        ],
        "unseen": plan.unseen,
        "blockers": plan.blockers,
        "before": [before(settings, words) for words in plan.before],
        "commands": [
            {
                "release": step.release,
                "chart": step.chart,
                "installs": step.installs,
                "values": dict(step.values),
                "command": command(settings, step),
            }
            for step in plan.steps
        ],
    }
