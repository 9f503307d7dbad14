"""``moorage pod-pinner``: settings, logs, signals; the work is the pinner's."""

from __future__ import annotations

import argparse
import os
import sys

from moorage.ops import configuration, logs
from moorage.ops.settings import PinnerSettings

from .parser import WRONG_USAGE, Parser, make

EXAMPLES = """\
  moorage pod-pinner                                  in a pod, everything from the environment
  moorage pod-pinner --planner-address 127.0.0.1:9443 --planner-plaintext --context kind-dev
                                                      from a shell, with a planner on this machine"""


def parser(prog: str) -> Parser:
    """The command's arguments: one flag per setting."""
    made = make(prog, "Follows a planner's instructions: placeholder nodes, pinned pods, adopted machines.", EXAMPLES)
    configuration.add_flags(made, PinnerSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Run until a signal or an error ends it."""
    try:
        settings = configuration.load(PinnerSettings, os.environ, vars(arguments))
    except configuration.SettingsError as error:
        print(f"moorage pod-pinner: {error}", file=sys.stderr)
        return WRONG_USAGE
    logs.configure(settings.log_level, settings.log_format)

    # numpy's linear algebra is never called: its threads, one per core of the node, only cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from moorage.kube.errors import KubeError  # after the settings, so that a wrong one is reported at once
    from moorage.ops import aio, health
    from moorage.pinner import service

    known = (configuration.SettingsError, KubeError, health.HealthError)
    return aio.run(lambda: service.run(settings), known=known, grace=settings.stop_grace)
