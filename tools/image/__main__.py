"""``python -m tools.image build|ready|clean``: the image from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import tools.image as image
from tools.image import archive, inputs
from tools.image.build import Builder
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError
from tools.toolchain.guard import interrupt_with_parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code. Errors are sentences."""
    parser = argparse.ArgumentParser(prog="./taskw image:", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the image unless it is current; prints name, digest and archive")
    commands.add_parser("ready", help="build the image unless it is current, or this machine cannot")
    commands.add_parser("clean", help="remove the archive and the cache of layers")
    command = parser.parse_args(argv).command
    interrupt_with_parent()
    try:
        if command == "clean":
            Builder(Console().say, Console().progress).clean()
        elif command == "ready":
            _ready()
        else:
            made = archive.read(image.ensure())
            print(f"{image.name()} {made.digest}")
            for path in (made.path, image.sbom()):
                print(path.relative_to(inputs.ROOT))
    except (image.ImageError, ToolError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"image: {error.filename or ''}: {error.strerror}; free space or grant rights there, and run it again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("image: interrupted; run it again to continue", file=sys.stderr)
        return 130
    return 0


def _ready() -> None:
    """Build before tests that run in parallel: alone it is quick, and no test waits for it."""
    if (reason := image.missing()) is not None:
        print(f"tests with the image will be skipped: {reason}")
    else:
        image.ensure()


if __name__ == "__main__":
    sys.exit(main())
