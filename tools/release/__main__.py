"""``./taskw release:version|package|verify|push``: from a version to what users install."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.charts.release import ReleaseError as ImageNameError
from tools.helmrepo.repository import RepositoryError
from tools.image.errors import ImageError
from tools.release import packages, signing, versions
from tools.release.errors import ReleaseError
from tools.release.push import Pushed, push
from tools.release.registry import Registry
from tools.release.verify import verify
from tools.toolchain import ToolError

IMAGE_VARIABLE, KEY_VARIABLE = "MOORAGE_IMAGE_REPOSITORY", "MOORAGE_RELEASE_KEY"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code. Errors are sentences."""
    given = _parser().parse_args(argv)
    commands = {"version": _version, "package": _package, "verify": _verify, "push": _push}
    try:
        commands[given.command](given)
    except (ReleaseError, ImageNameError, RepositoryError, ImageError, ToolError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted; run it again", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./taskw release:", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    version = commands.add_parser("version", help="set the version everywhere, or check that all places agree")
    version.add_argument("version", nargs="?", help="like 2.1.0; without it the version is checked and printed")
    version.add_argument("--date", help="of the release, YYYY-MM-DD, for the changelog's section")

    package = commands.add_parser("package", help="make all files of the release in build/release/VERSION")
    package.add_argument(
        "--image-repository",
        metavar="REPOSITORY",
        default=os.environ.get(IMAGE_VARIABLE, ""),
        help=f"where the image will be, without a tag; the charts name it ({IMAGE_VARIABLE})",
    )
    package.add_argument("--image", type=Path, metavar="ARCHIVE", help="an OCI archive, instead of building the image")
    package.add_argument("--image-bill", type=Path, metavar="FILE", help="the bill of materials of that archive")
    package.add_argument("--key", type=Path, default=_path(KEY_VARIABLE), help=f"signs, PEM ({KEY_VARIABLE})")
    package.add_argument("--folder", type=Path, help="where to (build/release/VERSION)")
    package.add_argument("--dirty", action="store_true", help="also if files differ from the commit")

    verified = commands.add_parser("verify", help="check the files of a release")
    verified.add_argument("--key", type=Path, metavar="PUBLIC", help="the public key whose signatures there must be")
    verified.add_argument("--folder", type=Path, help="with the files (build/release/VERSION)")

    pushed = commands.add_parser("push", help="push image and charts to an OCI registry")
    pushed.add_argument("registry", help="host and path, like registry.example/moorage")
    pushed.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    pushed.add_argument("--dry-run", action="store_true", help="only show what would be pushed")
    pushed.add_argument("--unreleased", action="store_true", help="also if CHANGELOG.md has no date for the version")
    pushed.add_argument("--folder", type=Path, help="with the files (build/release/VERSION)")
    return parser


def _version(given: argparse.Namespace) -> None:
    if given.version is None:
        print(versions.current())
        return
    for name in versions.write(given.version, given.date):
        print(f"wrote {name}")
    print("Now run ./taskw generate, and read CHANGELOG.md")


def _package(given: argparse.Namespace) -> None:
    key = signing.private_key(given.key, os.environ.get(signing.PASSWORD_VARIABLE)) if given.key else None
    wanted = packages.Wanted(given.image_repository, given.image, given.image_bill, key, given.dirty)
    folder = packages.make(wanted, given.folder)
    for path in sorted(folder.iterdir()):
        print(path)
    if key is None:
        print("not signed: name a key with --key", file=sys.stderr)


def _verify(given: argparse.Namespace) -> None:
    key = signing.public_key(given.key) if given.key else None
    found = verify(_folder(given), key)
    signed = "signed by this key" if key else "signatures not looked at: name a public key with --key"
    print(f"{found.folder}: {found.version} is as it was packaged; {signed}")


def _push(given: argparse.Namespace) -> None:
    heading = versions.newest()
    if heading.date is None and not (given.unreleased or given.dry_run):
        raise ReleaseError(
            f"CHANGELOG.md says that {heading.version} is unreleased. Give it a date: "
            f"./taskw release:version -- {heading.version} --date YYYY-MM-DD; or push with --unreleased"
        )
    push(verify(_folder(given)), Registry(given.registry, given.plain_http), _show, dry_run=given.dry_run)


def _show(found: Pushed) -> None:
    print(f"{found.done}: {found.reference}" + (f"@{found.digest}" if found.digest else ""), flush=True)


def _folder(given: argparse.Namespace) -> Path:
    folder: Path = given.folder or packages.RELEASES / versions.current()
    return folder


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


if __name__ == "__main__":
    sys.exit(main())
