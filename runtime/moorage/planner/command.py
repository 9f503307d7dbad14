"""``moorage planner``: arguments and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TextIO, cast

from moorage.ops import configuration, logs

WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the planner to a parser: one per setting."""
    from .settings import PlannerSettings

    configuration.add_flags(parser, PlannerSettings)


def main(arguments: argparse.Namespace) -> int:
    """Serve the plan.

    Returns:
        0, or with ``--once`` 1 when something was not applied; 1 after an error; 2 for wrong settings or a plan file
        that is not a plan; 130 after Ctrl-C.
    """
    from .settings import PlannerSettings

    try:
        settings = configuration.load(PlannerSettings, os.environ, vars(arguments))
    except configuration.SettingsError as error:
        print(f"moorage planner: {error}", file=sys.stderr)
        return WRONG_USAGE
    logs.configure(settings.log_level, settings.log_format, cast("TextIO", _StandardError()))

    from moorage.files.mistakes import FileMistakes

    # After the settings, so that a wrong setting is reported at once.
    from moorage.kube.credentials import CredentialsError
    from moorage.kube.errors import KubeError
    from moorage.ops import aio

    from . import service
    from .file_source import PlanFile
    from .operation import OperationError
    from .server import ServerError

    if not settings.in_cluster:  # in a cluster, the plan may appear or be corrected later
        try:
            PlanFile(settings.plan, rebalancing=settings.rebalancing).load()
        except FileMistakes as error:
            print(error, file=sys.stderr)
            return WRONG_USAGE
    known = (configuration.SettingsError, CredentialsError, KubeError, ServerError, OperationError, FileMistakes)
    return aio.run(lambda: service.run(settings), known=known)


class _StandardError:
    """The current standard error. While a table is on the terminal, lines are printed above it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()
