"""What commands share that read a cluster once: the source, the rules, and the progress line."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Self

from moorage.evictor.sources.command import COMMAND
from moorage.ops.aio import run_command
from moorage.ops.settings import EvictorSettings

from .frame import FAILED, Ended, connected, quiet
from .parser import WRONG_USAGE
from .terminal import plain

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.evictor.configuration import Configuration
    from moorage.evictor.evaluation import Evaluation
    from moorage.evictor.sources.result import ConfigMaps, SourceResult

NOT_ALL_SEEN = 3
_CLEAR = "\r\x1b[K"
"""Clears the line."""
SERVICE = (
    "evictor_enabled",
    "dry_run",
    "cycle_interval",
    "drain_rollback_timeout",
    "pod_eviction_failure_back_off",
    "soft_tainting",
    "emit_node_related_pod_events",
    "parallel_drains",
    "empty_node_timeout",
    "managed",
    "pod_name",
    "lease_name",
    "leader_election",
    "stop_grace",
    "health_address",
    "log_level",
    "log_format",
)
"""Settings that a single report does not need."""
DUMP = f"""\
a complete dump:
  {COMMAND}
  With Karpenter add nodeclaims,nodepools. Rules and prices of the cluster count if their ConfigMaps or its
  evictorconfigs are in another file: --from cluster.json --from rules.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the flags for source, rules and prices."""
    parser.add_argument(
        "--from",
        dest="dumps",
        action="append",
        metavar="FILE",
        help="read a dump that kubectl has written instead of a cluster; repeat it for several files, - is standard "
        "input",
    )
    parser.add_argument(
        "--rules",
        metavar="FILE",
        help="rules instead of those in the cluster: a file of rules, a ConfigMap or an EvictorConfig",
    )
    parser.add_argument("--prices", metavar="FILE", help="a price list instead of the one in the cluster")


def look_once(arguments: argparse.Namespace, settings: EvictorSettings, prog: str) -> tuple[Evaluation, str]:
    """Evaluate a cluster or a dump once; notes go to standard error.

    Args:
        arguments: as ``add_arguments`` made them.
        settings: the program's.
        prog: how messages begin.

    Returns:
        The result, and the source in words.

    Raises:
        Ended: nothing could be read, or rules are wrong.
    """
    # numpy's linear algebra is never called: its threads, one per core, only cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from moorage.evictor.compaction import History
    from moorage.evictor.evaluation import evaluate
    from moorage.evictor.sources.result import ConfigMaps

    where = ConfigMaps(settings.namespace, settings.rules_config_map, settings.prices_config_map)
    with quiet(), _Meanwhile() as meanwhile:
        gathered = _gathered(arguments, settings, where, meanwhile, prog)
        in_force, notes = _in_force(arguments, settings, where, gathered, prog)
        meanwhile.say("checking where every pod fits")
        seen = evaluate(gathered.inventory, in_force, History())
    for note in (*gathered.notes, *notes):
        _say("note", note)
    return seen, gathered.source


def _in_force(
    arguments: argparse.Namespace, settings: EvictorSettings, where: ConfigMaps, gathered: SourceResult, prog: str
) -> tuple[Configuration, tuple[str, ...]]:
    """The configuration in force, and notes about what has no effect."""
    from moorage.evictor.effective_configuration import configure, names_in
    from moorage.evictor.sources import configuration_files

    found, names = gathered.found, names_in(*where)
    if arguments.rules:
        found, names = configuration_files.with_rules(found, names, arguments.rules)
    if arguments.prices:
        found, names = configuration_files.with_prices(found, names, arguments.prices)
    configured = configure(settings, found, names)
    if configured.configuration is None:
        raise _ended(prog, "\n".join(map(str, configured.wrong)), WRONG_USAGE)
    return configured.configuration, configured.notes


def code_of(look: Evaluation) -> int:
    """0 if everything was read, else ``NOT_ALL_SEEN``."""
    unread = any(look.inventory.unread.values())
    return NOT_ALL_SEEN if look.inventory.unseen or unread else 0


def _gathered(
    arguments: argparse.Namespace, settings: EvictorSettings, where: ConfigMaps, meanwhile: _Meanwhile, prog: str
) -> SourceResult:
    from moorage.evictor.sources import dump

    if arguments.dumps:
        try:
            return dump.read(arguments.dumps, where, meanwhile.say)
        except dump.DumpError as error:
            raise _ended(prog, str(error), FAILED) from error
    from moorage.evictor.sources import live
    from moorage.kube.errors import KubeError

    try:
        return run_command(lambda: _live(settings, where, meanwhile))
    except (KubeError, live.NothingSeen) as error:
        raise _ended(prog, str(error), FAILED) from error


async def _live(settings: EvictorSettings, where: ConfigMaps, meanwhile: _Meanwhile) -> SourceResult:
    from moorage.evictor.sources import live

    async with connected(settings) as client:
        return await live.gather(client.transport, where, lambda plural, count: meanwhile.say(f"{plural}: {count:,}"))


class _Meanwhile:
    """A progress line on a terminal; it is cleared at the end."""

    def __init__(self) -> None:
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(_CLEAR, end="", flush=True, file=sys.stderr)

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            self._shown = True
            print(f"{_CLEAR}{plain(text)} …", end="", flush=True, file=sys.stderr)


def _ended(prog: str, text: str, code: int) -> Ended:
    _say(prog, text)
    return Ended(code)


def _say(prefix: str, text: str) -> None:
    if sys.stderr.isatty():
        print(_CLEAR, end="", file=sys.stderr)
    for line in text.splitlines():
        print(f"{prefix}: {plain(line)}", file=sys.stderr)
