"""``python -m tools.proto check|freeze``: check the .proto file against the declared v1, and declare additions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .baseline import Baseline, Refused


def main(argv: Sequence[str] | None = None, baseline: Baseline | None = None) -> int:
    """Check or freeze. Returns the exit code: 1 if something is broken, and then nothing is written."""
    parser = argparse.ArgumentParser(prog="python -m tools.proto", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="fail if the .proto file breaks the declared version; additions pass")
    freeze = commands.add_parser("freeze", help="declare the current .proto file")
    freeze.add_argument("--force", metavar="REASON", default="", help="break the declared version, and keep the reason")
    arguments = parser.parse_args(argv)
    kept = baseline or Baseline()
    try:
        if arguments.command == "check":
            return _check(kept)
        for name in kept.freeze(arguments.force):
            print(f"new: {name}")
    except (Refused, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{kept.path.name} declares what {kept.proto.name} says")
    return 0


def _check(kept: Baseline) -> int:
    broken, new = kept.compare()
    for each in broken:
        print(each, file=sys.stderr)
    if broken:
        hint = "Undo it and add something new instead, or give a reason: ./taskw proto:freeze -- --force REASON"
        print(
            f"{kept.proto.name} breaks what {kept.path.name} declares in {len(broken)} places. {hint}", file=sys.stderr
        )
        return 1
    if new:
        print(f"{len(new)} additions are not declared yet: run ./taskw proto:freeze before a release")
    return 0


if __name__ == "__main__":
    sys.exit(main())
