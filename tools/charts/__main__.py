"""``./taskw charts:lint`` and ``charts:package``: what Helm says about the charts, and their archives."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.helmrepo.repository import RepositoryError, charts, package
from tools.toolchain import ToolError, ensure

FOLDER = Path(__file__).resolve().parents[2] / "build" / "charts"


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is asked for every chart; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.charts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lint", help="helm lint --strict")
    packages = commands.add_parser("package", help="write NAME-VERSION.tgz of each chart")
    packages.add_argument("--folder", type=Path, default=FOLDER, help="where to (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        return lint() if arguments.command == "lint" else write(arguments.folder)
    except (RepositoryError, ToolError) as error:
        print(f"charts: {error}", file=sys.stderr)
        return 1


def lint() -> int:
    """Lint every chart; returns helm's exit code.

    Raises:
        ToolError: there is no helm, and it cannot be built.
    """
    command = [str(ensure(["helm"])["helm"]), "lint", "--strict", "--quiet", *(str(chart) for chart in charts())]
    return subprocess.run(command).returncode


def write(folder: Path) -> int:
    """Package every chart into the folder, and name the archives.

    Raises:
        RepositoryError: helm refuses a chart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for chart in charts():
        print(package(chart, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
