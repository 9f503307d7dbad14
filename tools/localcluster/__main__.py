"""Command line: `python -m tools.localcluster up|down|status [NAME] [--real]`, and `install`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from tools.localcluster import host, real, status, supervisor
from tools.localcluster.binaries import binaries
from tools.localcluster.errors import ClusterError

DEFAULT_NAME = "dev"
DEFAULT_REAL_NAME = "real"
_EXIT_CODES = """\
exit codes: 0 done (up: it runs; down: it does not run; status: it runs and is healthy), 1 failed,
2 wrong usage, 3 status: it does not run, 4 status: a component has exited or it is not ready yet,
130 interrupted"""


def main() -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.localcluster",
        description=__doc__,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start a cluster that runs until `down`"),
        ("down", "end it and remove its folder"),
        ("status", "show it"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", nargs="?", help=f"its name ({DEFAULT_NAME}; --real: {DEFAULT_REAL_NAME})")
        command.add_argument("--real", action="store_true", help="with real nodes, whose containers run (as root)")
        if name == "status":
            command.add_argument("-o", "--output", choices=["text", "json"], default="text")
        if name == "up":
            command.add_argument("--nodes", type=int, metavar="N", help="real nodes (1); implies --real")
            command.add_argument("--hollow", type=int, default=0, metavar="N", help="hollow nodes beside them (0)")
    commands.add_parser("tools", help="build the tools of `up --real`, unless real nodes cannot run on this machine")
    commands.add_parser("install", help="install the Debian packages that real nodes and images need, as root")
    supervise = commands.add_parser("supervise")  # the background process of `up`
    supervise.add_argument("name")
    supervise.add_argument("--parent", type=int, required=True)
    supervise.add_argument("--nodes", type=int, required=True)
    supervise.add_argument("--hollow", type=int, required=True)
    arguments = parser.parse_args()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, for example `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (ClusterError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "supervise":
        return supervisor.supervise(arguments.name, arguments.parent, arguments.nodes, arguments.hollow)
    if arguments.command == "install":
        host.install(lambda line: print(line, flush=True))
        return 0
    if arguments.command == "tools":
        if (reason := host.missing("cluster")) is None:
            binaries(real.TOOLS)
        else:
            print(f"tests with real nodes will be skipped: {reason}")
        return 0
    if arguments.name is None:
        arguments.name = DEFAULT_REAL_NAME if arguments.real or getattr(arguments, "nodes", None) else DEFAULT_NAME
    if arguments.command == "down":
        ran = supervisor.down(arguments.name)
        print(f"cluster {arguments.name} {'has ended' if ran else 'did not run'}")
        return 0
    description = status.describe(arguments.name)
    if arguments.command == "status":
        as_json = arguments.output == "json"
        print(json.dumps(description, indent=2) if as_json else status.render(description))
        return (0 if description["healthy"] else 4) if description["running"] else 3
    nodes = arguments.nodes or int(arguments.real)
    if description["running"] and description["real"] < nodes:
        has = f"{description['real']} real nodes" if description["real"] else "no real nodes"
        raise ClusterError(f"cluster {arguments.name} is up already and has {has}: `task cluster:down` ends it")
    return _up(arguments.name, description["running"], nodes, arguments.hollow)


def _up(name: str, running: bool, nodes: int, hollow: int) -> int:
    if not running:
        supervisor.up(name, lambda line: print(line, flush=True), nodes, hollow)
    description = status.describe(name)
    while description["running"] and not description["ready"]:
        time.sleep(0.2)  # another `up` is starting it, and its own time limit applies
        description = status.describe(name)
    if not description.get("healthy"):
        print(status.render(description), file=sys.stderr)
        return 1
    print(f"cluster {name} {'is already up' if running else 'is up'}: {description['server']}")
    print(f"export KUBECONFIG={description['kubeconfig']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
