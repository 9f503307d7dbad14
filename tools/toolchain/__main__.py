"""The command: `python -m tools.toolchain build|path|doctor|pack|digest|clean`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from tools.toolchain import doctor, golang, guard, pack, provide
from tools.toolchain.cache import Cache, remove
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError

EXAMPLES = """examples:
  ./taskw tools:build -- demo           build what `./taskw demo` needs
  ./taskw tools:build -- kubectl helm   build two tools
  ./taskw tools:build                   build everything
  python -m tools.toolchain path kubectl
  ./taskw doctor -- -o json
  ./taskw tools:clean -- --all          free the disk, Go's downloads of the fetched Go included
environment:
  MOORAGE_TOOLS_DIR   where built tools lie (default: the user's cache folder, moorage/tools)
  MOORAGE_TOOLS_URL   a packed set of tools to install instead of building (https, file, or http on loopback)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Every failure is a sentence on standard error.

    Args:
        arguments: without the program's name; None: those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    console = Console()
    guard.interrupt_with_parent()
    command: Callable[[argparse.Namespace, Cache, Console], int] = options.command
    try:
        return command(options, Cache(), console)
    except ToolError as error:
        console.say(f"tools: {error}")
    except OSError as error:
        console.say(f"tools: {error.filename}: {error.strerror}; free space or grant rights there, and run it again")
    except KeyboardInterrupt:
        console.say("tools: interrupted; run again to resume")
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.toolchain",
        description="Build and find the programs that Moorage's demo, tests and benchmarks run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace, Cache, Console], int], text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(
            name, help=text, description=text, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        child.set_defaults(command=run)
        return child

    add("build", _build, "build tools that are missing").add_argument("names", nargs="*", metavar="GROUP|TOOL")
    add("path", _path, "print the path of a tool").add_argument("name", metavar="TOOL")
    add("doctor", _doctor, "show the state of every tool").add_argument(
        "-o", "--output", choices=["text", "json"], default="text"
    )
    add("pack", _pack, "write built tools to one archive").add_argument("names", nargs="*", metavar="GROUP|TOOL")
    add("digest", _digest, "record the digests of the packed archives in tools/digests.txt")
    add("clean", _clean, "delete outdated builds").add_argument("--all", action="store_true", help="delete every build")
    return parser


def _build(options: argparse.Namespace, cache: Cache, console: Console) -> int:
    for name, path in provide.ensure(options.names, cache, console).items():
        sys.stdout.write(f"{name} {path}\n")
    return 0


def _path(options: argparse.Namespace, cache: Cache, _console: Console) -> int:
    sys.stdout.write(f"{provide.tool_path(options.name, cache)}\n")
    return 0


def _doctor(options: argparse.Namespace, cache: Cache, _console: Console) -> int:
    report = doctor.examine(cache)
    text = json.dumps(doctor.as_json(report), indent=2) if options.output == "json" else doctor.as_text(report)
    sys.stdout.write(f"{text}\n")
    return 1 if report.problems else 0


def _pack(options: argparse.Namespace, cache: Cache, console: Console) -> int:
    names = options.names or ["demo", "test"]
    provide.ensure(names, cache, console)
    sys.stdout.write(f"{pack.write(cache, cache.manifest.select(names), cache.root / 'build')}\n")
    return 0


def _digest(_options: argparse.Namespace, cache: Cache, console: Console) -> int:
    for line in pack.record(cache.root):
        console.say(f"tools: recorded {line}")
    return 0


def _clean(options: argparse.Namespace, cache: Cache, console: Console) -> int:
    folders = cache.outdated()
    if options.all:
        folders += [path for tool in cache.manifest.tools.values() if (path := cache.folder(tool.folder)).is_dir()]
        folders += golang.own_folders(cache)
    freed = sum(remove(folder) for folder in dict.fromkeys(folders))
    console.say(f"tools: {freed} MiB freed in {cache.base}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
