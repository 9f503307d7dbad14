"""Serves this checkout's charts until Ctrl-C: ``python -m tools.helmrepo``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tools.helmrepo.repository import Repository, RepositoryError, charts
from tools.toolchain.guard import interrupt_with_parent


def main(argv: Sequence[str] | None = None) -> int:
    """Package and serve the charts, and print the commands that use them. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="./taskw charts:serve --",
        description="A chart repository of this checkout's charts on loopback, until Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=8879, help="port of 127.0.0.1; 0 chooses a free one (%(default)s)")
    arguments = parser.parse_args(argv)
    interrupt_with_parent()
    try:
        with tempfile.TemporaryDirectory(prefix="moorage-charts-") as folder:
            _serve(Repository(Path(folder), arguments.port))
    except RepositoryError as error:
        print(f"charts:serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(repository: Repository) -> None:
    with repository:
        for package in repository.add(*charts()):
            print(package.name)
        print(f"\nhelm repo add moorage {repository.url}\nhelm repo update\n\nserved until Ctrl-C", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
