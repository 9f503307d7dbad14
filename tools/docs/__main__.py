"""`python -m tools.docs build` writes the site to build/docs/site; `serve` also shows it until Ctrl-C."""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import shutil
import subprocess
import sys
from pathlib import Path

from tools.docs import checking, staging
from tools.docs.markdown import LinkError
from tools.toolchain import bootstrap
from tools.toolchain.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
STAGED = ROOT / "build/docs"
SITE = STAGED / "site"
ENVIRONMENT = ROOT / "build/venv-docs"
REQUIREMENTS = "requirements/docs.txt"


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: of the command line.

    Returns:
        The exit code: 1 if the site has a mistake.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("command", choices=["build", "serve"])
    parser.add_argument("--port", type=int, default=8000, help="where serve listens, on loopback only")
    options = parser.parse_args(arguments)
    try:
        found = build()
    except (LinkError, ToolError) as error:
        found = [str(error)]
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        return 1
    print(SITE / "index.html")
    return serve(options.port) if options.command == "serve" else 0


def build() -> list[str]:
    """Build the site. Returns its mistakes.

    Raises:
        LinkError: a link leads to no file of the repository, or a page is in no menu.
        ToolError: the generator cannot be installed.
    """
    generator = _environment() / "bin/zensical"
    staging.stage(ROOT, STAGED)
    command = [str(generator), "build", "--strict", "--clean", "-f", str(STAGED / staging.CONFIGURATION)]
    done = subprocess.run(command, cwd=STAGED, check=False, capture_output=True, text=True)
    if done.returncode:
        return [f"the generator failed:\n{done.stdout}{done.stderr}".rstrip()]
    return checking.problems(SITE)


def serve(port: int) -> int:
    """Show the site until Ctrl-C.

    Args:
        port: on loopback.
    """
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/ until Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def _environment() -> Path:
    """The generator's environment, created again when its requirements have changed. The stamp is written last."""
    text = (ROOT / REQUIREMENTS).read_bytes()
    stamp, wanted = ENVIRONMENT / bootstrap.STAMP, hashlib.sha256(text + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return ENVIRONMENT
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    uv = bootstrap.find_uv(ROOT)
    bootstrap.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(ENVIRONMENT)], ROOT)
    python = str(ENVIRONMENT / "bin/python")
    bootstrap.run([uv, "pip", "sync", "--python", python, "--require-hashes", REQUIREMENTS], ROOT)
    stamp.write_text(wanted)
    return ENVIRONMENT


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
