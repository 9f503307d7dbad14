"""``./taskw charts:lint`` and ``charts:package``: lint the charts as Helm does, and write their archives."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.charts.release import ReleaseError, named_image, release_copy
from tools.helmrepo.repository import RepositoryError, charts, package
from tools.toolchain import ToolError, ensure

FOLDER = Path(__file__).resolve().parents[2] / "build" / "charts"
IMAGE_VARIABLE = "MOORAGE_IMAGE_REPOSITORY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command for every chart. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.charts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lint", help="helm lint --strict")
    packages = commands.add_parser("package", help="write NAME-VERSION.tgz of each chart")
    packages.add_argument("--folder", type=Path, default=FOLDER, help="where to (%(default)s)")
    packages.add_argument(
        "--image-repository",
        metavar="REPOSITORY",
        default=os.environ.get(IMAGE_VARIABLE, ""),
        help=f"the repository that has the image, without a tag; the packages use it by default ({IMAGE_VARIABLE})",
    )
    arguments = parser.parse_args(argv)
    try:
        return lint() if arguments.command == "lint" else write(arguments.folder, arguments.image_repository)
    except (ReleaseError, RepositoryError, ToolError) as error:
        print(f"charts: {error}", file=sys.stderr)
        return 1


def lint() -> int:
    """Lint every chart. Returns helm's exit code.

    Raises:
        ToolError: helm does not exist and cannot be built.
    """
    command = [str(ensure(["helm"])["helm"]), "lint", "--strict", "--quiet", *(str(chart) for chart in charts())]
    return subprocess.run(command).returncode


def write(folder: Path, image: str) -> int:
    """Package every chart into the folder, and print the archives.

    Args:
        folder: created if it does not exist.
        image: the repository of the image that the packages use by default.

    Raises:
        ReleaseError: no image is named, or the name is not usable.
        RepositoryError: helm refuses a chart.
    """
    image = named_image(image)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="moorage-charts-") as place:
        for chart in charts():
            print(package(release_copy(chart, Path(place), image), folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
