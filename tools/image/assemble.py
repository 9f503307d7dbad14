"""Assembles the image's files. It runs inside the build (runtime/Dockerfile) with only Python and pip.

It makes two trees. Each is copied onto the final base as one layer. One changes with the requirements (the packages,
and bytecode for the base's own standard library), the other with the code.
"""

from __future__ import annotations

import argparse
import compileall
import csv
import io
import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.image import elf
from tools.image.bill import bill

LIBRARY = "usr/local/lib/moorage"
LAUNCHER = "usr/local/bin/moorage"
SHARE = "usr/share/moorage"
BACKEND = "backend"  # builds the wheel of runtime/; stays in the builder
MINOR = f"python{sys.version_info[0]}.{sys.version_info[1]}"
EPOCH = 1_577_836_800  # a file time that is the same in all builds: equal inputs make equal layers

# Only compilers, type checkers and test runners need these.
PRUNED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cpp", ".a", ".f", ".f90"}
PRUNED_FOLDERS = {"tests", "test", "benchmarks", "_examples", "__pycache__"}
TEST_MODULE = re.compile(r"_\w+_tests\.|_simd\.")  # numpy's own tests, compiled
PRUNED = ("bin", "numpy/f2py", "numpy/testing", "numpy/_pyinstaller", "numpy/conftest.py")

# Isolated: the caller's PYTHON* variables and working folder do not affect imports, and nothing is written.
LAUNCHER_TEXT = """\
#!{python} -IB
import sys

sys.path.insert(0, "/{library}")

from moorage.cli import main

sys.exit(main())
"""


class AssemblyError(Exception):
    """The image cannot be built. The text names the thing, the reason and the way out."""


def dependencies(base: Path, out: Path) -> None:
    """Install the locked packages, remove what a running program never reads, and compile.

    Args:
        base: root of the final base.
        out: the tree to make.

    Raises:
        AssemblyError: the base does not fit, or a package is not available.
    """
    stdlib(base)  # the quickest check first
    library = out / LIBRARY
    pip("install", "--require-hashes", "--target", str(library), "-r", "image.txt")
    pip("install", "--require-hashes", "--target", BACKEND, "-r", "image-build.txt")
    prune(library)
    check_shared_objects(library, base)
    strip(library)
    compile_tree(library, out)
    compile_stdlib(base, out)
    settle(out)


def application(base: Path, packages: Path, out: Path) -> None:
    """Build and install the wheel of this checkout, with the launcher, the licence and the bill of materials.

    Args:
        base: root of the final base.
        packages: the tree of `dependencies`.
        out: the tree to make.

    Raises:
        AssemblyError: the wheel cannot be built.
    """
    os.environ["PYTHONPATH"] = str(Path(BACKEND).resolve())
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "wheel", "./runtime")
    library = out / LIBRARY
    pip("install", "--no-deps", "--no-index", "--target", str(library), *map(str, Path("wheel").glob("*.whl")))
    prune(library)
    compile_tree(library, out)
    write(out / LAUNCHER, LAUNCHER_TEXT.format(python=interpreter(base), library=LIBRARY), 0o755)
    share = out / SHARE
    write(share / "sbom.cdx.json", bill([packages / LIBRARY, library], base))
    write(share / "LICENSE", Path("LICENSE").read_text())
    settle(out)


def pip(verb: str, *arguments: str) -> None:
    """Run pip. It reads its settings from /etc/pip.conf, which is a secret of the build.

    Raises:
        AssemblyError: it failed. Its own lines above name the reason.
    """
    options = ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--quiet"]
    if verb == "install":
        options += ["--only-binary", ":all:", "--no-compile", "--root-user-action=ignore"]
    if subprocess.run([sys.executable, "-m", "pip", verb, *options, *arguments], check=False).returncode:
        raise AssemblyError(
            f"pip {verb} failed; its lines above name the reason. The secret pip.conf names another package index, "
            "and the secret ca.crt its CA"
        )


def prune(library: Path) -> None:
    """Remove what only compilers, type checkers and test runners read, and its entries in the packages' own lists.

    Args:
        library: a folder of installed packages.
    """
    for name in PRUNED:
        if (library / name).is_dir():
            shutil.rmtree(library / name)
        else:
            (library / name).unlink(missing_ok=True)
    for folder, names, files in os.walk(library):
        for name in [name for name in names if name in PRUNED_FOLDERS]:
            shutil.rmtree(Path(folder, name))
            names.remove(name)
        for name in files:
            useless = Path(name).suffix in PRUNED_SUFFIXES or TEST_MODULE.match(name)
            if useless or name == "direct_url.json":  # it names a path of the builder
                Path(folder, name).unlink()
    for record in library.glob("*.dist-info/RECORD"):
        rows = [row for row in csv.reader(io.StringIO(record.read_text())) if (library / row[0]).exists()]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        record.write_text(text.getvalue())


def strip(library: Path) -> None:
    """Drop debugging information from shared objects.

    Args:
        library: a folder of installed packages.
    """
    for path in library.rglob("*.so*"):
        before = path.read_bytes()
        if (after := elf.without_debug(before)) is not before:
            path.write_bytes(after)


def compile_tree(library: Path, out: Path) -> None:
    """Compile every module, so that a read-only root costs no time at the start.

    The bytecode is not checked against its source: files in an image do not change.

    Args:
        library: a folder of packages below `out`.
        out: the image's root.

    Raises:
        AssemblyError: a module does not compile with this Python.
    """
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(
        library, quiet=1, workers=0, stripdir=str(out), prependdir="/", invalidation_mode=unchecked
    ):
        raise AssemblyError("modules do not compile with this Python; the lines above name them")


def compile_stdlib(base: Path, out: Path) -> None:
    """Compile the base's standard library. Bases have no bytecode and would compile it at every start.

    Args:
        base: root of the final base.
        out: the image's root.
    """
    source = stdlib(base)
    for module in sorted(source.rglob("*.py")):
        inside = module.relative_to(base)
        cached = module.parent.relative_to(base) / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        original = within(base, module)
        if (base / cached).exists() or not original.exists():
            continue
        py_compile.compile(
            str(original),
            cfile=str(out / cached),
            dfile=f"/{inside}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def within(base: Path, path: Path) -> Path:
    """Resolve a link as in the image: Debian's sitecustomize.py links to the base's /etc, not to the builder's.

    Args:
        base: root of the final base.
        path: a file below it.

    Returns:
        The link's target below the base, or the path itself if it is not a link.
    """
    if not path.is_symlink():
        return path
    target = path.readlink()
    return base / target.relative_to("/") if target.is_absolute() else path.parent / target


def stdlib(base: Path) -> Path:
    """Find the base's standard library. It must have this Python's minor version.

    Args:
        base: root of the final base.

    Returns:
        Its folder.

    Raises:
        AssemblyError: there is none, or its minor version differs.
    """
    for prefix in ("usr/lib", "usr/local/lib"):
        if (base / prefix / MINOR / "os.py").exists():
            return base / prefix / MINOR
    found = sorted(path.parent.name for path in base.glob("usr/**/lib/python3.*/os.py"))
    raise AssemblyError(
        f"the final base holds {', '.join(found) or 'no Python'} and the builder is {MINOR}; name two of the same "
        "minor with --build-arg BASE=… and --build-arg BUILDER=…"
    )


def interpreter(base: Path) -> str:
    """Find the base's Python.

    Args:
        base: root of the final base.

    Returns:
        Its path inside the image.
    """
    prefix = stdlib(base).relative_to(base).parts[:-2]
    return "/" + "/".join((*prefix, "bin", MINOR))


def check_shared_objects(library: Path, base: Path) -> None:
    """Check that every shared library that a package needs is in the base or in the packages.

    A base without, for example, libstdc++ builds and then fails at the first import in a cluster.

    Args:
        library: a folder of packages.
        base: root of the final base.

    Raises:
        AssemblyError: some are missing.
    """
    have = {path.name for path in library.rglob("*.so*")}
    for folder in ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib"):
        have |= {name for _, _, names in os.walk(base / folder) for name in names if ".so" in name}
    missing: dict[str, str] = {}
    for path in sorted(library.rglob("*.so*")):
        for needed in elf.needed_libraries(path.read_bytes()):
            if needed not in have:
                missing[needed] = path.relative_to(library).parts[0]
    if missing:
        names = ", ".join(f"{name} (for {package})" for name, package in sorted(missing.items()))
        raise AssemblyError(f"the final base lacks {names}; name a base with these libraries: --build-arg BASE=…")


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def settle(out: Path) -> None:
    """Set the same time on all files, and remove write permissions for all users but root.

    Args:
        out: the finished tree.
    """
    for folder, _, files in os.walk(out):
        for name in (".", *files):
            path = Path(folder, name)
            runs = path.is_dir() or (os.access(path, os.X_OK) and path.stat().st_mode & 0o100)
            path.chmod(0o755 if runs else 0o644)
            os.utime(path, (EPOCH, EPOCH))


def main() -> int:
    """Run one step. A failure is one sentence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["dependencies", "application"])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--dependencies", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        if arguments.step == "dependencies":
            dependencies(arguments.base, arguments.out)
        else:
            application(arguments.base, arguments.dependencies, arguments.out)
    except AssemblyError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
