"""What every command on a cluster shares: settings, the connection, and each error as one sentence."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from moorage.ops import configuration
from moorage.ops.aio import run_command
from moorage.ops.settings import ClusterSettings

from .parser import WRONG_USAGE, Parser

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client

S = TypeVar("S", bound=ClusterSettings)
FAILED = 1


class Ended(Exception):
    """A command ends here; the reason was printed.

    Args:
        code: the exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def add_output(parser: Parser) -> None:
    """Give a parser ``-o text`` and ``-o json``."""
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json")


def settings_of(kind: type[S], arguments: argparse.Namespace, prog: str) -> S:
    """The settings of a command.

    Args:
        kind: which settings it has.
        arguments: of its command line.
        prog: how messages begin.

    Raises:
        Ended: they are wrong.
    """
    try:
        return configuration.load(kind, os.environ, vars(arguments))
    except configuration.SettingsError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        raise Ended(WRONG_USAGE) from error


@asynccontextmanager
async def connected(settings: ClusterSettings) -> AsyncIterator[Client]:
    """A client of the API server that the settings name, for as long as the context lasts.

    Raises:
        KubeError: the credentials cannot be used.
    """
    from moorage.kube import credentials
    from moorage.kube.client import Client
    from moorage.kube.http.transport import Transport

    async with Transport(credentials.load(settings.kubeconfig, settings.context)) as transport:
        yield Client(transport)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress logs: a command itself reports what it could not read."""
    logger = logging.getLogger("moorage")
    before = logger.level
    if os.environ.get("MOORAGE_LOG_LEVEL") != "debug":
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def on_cluster(
    kind: type[S],
    arguments: argparse.Namespace,
    prog: str,
    work: Callable[[S, Client], Coroutine[Any, Any, int]],
    *,
    undefined: str = "",
    failed: int = FAILED,
) -> int:
    """Run a command on a cluster.

    Args:
        kind: which settings it has.
        arguments: of its command line.
        prog: how messages begin.
        work: does it, and returns the exit code.
        undefined: the error if something does not exist (404); the server's own words by default.
        failed: the exit code if the cluster cannot be reached.

    Returns:
        The exit code.
    """
    try:
        settings = settings_of(kind, arguments, prog)
    except Ended as ended:
        return ended.code
    from moorage.kube.errors import KubeError, NotFound

    async def connect_and_work() -> int:
        async with connected(settings) as client:
            return await work(settings, client)

    try:
        return run_command(connect_and_work)
    except NotFound as error:
        print(f"{prog}: {undefined or error}", file=sys.stderr)
    except KubeError as error:
        print(f"{prog}: {error}", file=sys.stderr)
    return failed
