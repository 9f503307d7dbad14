"""Base images from Debian packages, for machines that reach a mirror but no registry.

They replace the public bases of runtime/Dockerfile. The final base has Python, its libraries, certificates and time
zones, and no shell or package manager, as distroless images. Packages are unpacked, never installed: no maintainer
script runs, and this machine does not change.

On any Debian they use the release of the public bases, so tests and measurements run what users run. On derivatives,
for example Ubuntu, they use the running release.
"""

from __future__ import annotations

import io
import os
import platform
import posixpath
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tools.image.errors import ImageError
from tools.toolchain import guard

RELEASE = "trixie"  # Debian 13, as in runtime/Dockerfile
_APT = Path("/etc/apt")

# python3-minimal and libpython3-stdlib depend on the release's own minor.
FINAL = ("base-files", "netbase", "tzdata", "ca-certificates", "libstdc++6", "python3-minimal", "libpython3-stdlib")
BUILDER = (*FINAL, "python3-pip", "python3-wheel", "python3-setuptools")

# Needed only by maintainer scripts. They are declared as installed, so that apt does not fetch them.
_ABSENT = (
    *("bash", "coreutils", "dash", "debconf", "debianutils", "dpkg", "findutils", "gawk", "grep", "install-info"),
    *("libc-bin", "mawk", "openssl", "perl-base", "readline-common", "sed", "sensible-utils", "tar", "build-essential"),
)
_PROVIDES = {"debconf": "debconf-2.0", "mawk": "awk", "build-essential": "c-compiler"}

_DROPPED = (
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bash-completion/",
    "usr/share/info/",
)
_MERGED = ("bin", "sbin", "lib", "lib64")  # links into usr, on every release since Debian 12
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_EPOCH = 1_577_836_800
_FOLDERS: tuple[str, ...] = ("etc", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64")
_FOLDERS += ("var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/status.d")


def fetch(packages: Iterable[str], folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Download packages and all their dependencies, with apt's own settings and signatures, into a separate folder.

    Args:
        packages: names.
        folder: for apt's state and the downloads.
        say: prints a line.

    Returns:
        The .deb files, sorted by name.

    Raises:
        ImageError: apt is missing or failed.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ImageError(
            "the local bases are built from Debian packages, and apt-get or dpkg-deb is missing; build on Debian "
            "or Ubuntu, or build runtime/Dockerfile on its public bases (docs/guides/image.md)"
        )
    archives = folder / "cache/archives"
    for needed in (folder / "state/lists/partial", archives / "partial"):
        needed.mkdir(parents=True, exist_ok=True)
    (folder / "status").write_text("".join(_stanza(name) for name in _ABSENT))
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": _sources(folder / "sources"),
        "APT::Sandbox::User": "root",  # else apt's own user would have to read these folders
        "APT::Install-Recommends": "0",
        "APT::Update::Post-Invoke": "",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    say("fetching Debian packages for the local bases")
    _run(["apt-get", "-qq", *options, "update"], folder)
    for old in archives.glob("*.deb"):
        old.unlink()  # an unfinished download may have left packages of another list
    _run(["apt-get", "-qq", "-y", *options, "install", "--download-only", *packages], folder)
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise ImageError(f"apt-get downloaded nothing for {' '.join(packages)}; run it again")
    return found


def _sources(folder: Path) -> Path:
    """This machine's mirrors, with their keys and options, for the release of the bases."""
    folder.mkdir(mode=0o700, exist_ok=True)  # sources may hold passwords
    running = codename(platform.freedesktop_os_release())
    for source in (_APT / "sources.list", *_APT.glob("sources.list.d/*.list"), *_APT.glob("sources.list.d/*.sources")):
        if source.exists():
            text = source.read_text("utf-8", errors="surrogateescape")
            ours = released(text, running) if running else text
            (folder / source.name).write_text(ours, "utf-8", errors="surrogateescape")
    return folder


def codename(release: Mapping[str, str]) -> str:
    """The running release of Debian.

    Args:
        release: os-release(5).

    Returns:
        Its code name. Empty if this is not Debian, or its sources name no release (testing, unstable).
    """
    return release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else ""


def released(text: str, running: str) -> str:
    """Replace the running release in a file of apt's sources: the release itself, its updates and its security fixes.

    Args:
        text: sources.list(5), of either format.
        running: code name.

    Returns:
        The text. Other suites (backports, third parties) stay unchanged.
    """
    return re.sub(rf"(?<=\s){re.escape(running)}(?=(-updates|-security)?(\s|$))", RELEASE, text)


def _stanza(name: str) -> str:
    provides = f"Provides: {_PROVIDES[name]}\n" if name in _PROVIDES else ""
    return (
        f"Package: {name}\nStatus: install ok installed\nMulti-Arch: foreign\nArchitecture: all\nVersion: 99:1\n"
        f"Maintainer: none <none@localhost>\n{provides}Description: declared, not present\n\n"
    )


def _run(command: list[str], folder: Path) -> None:
    with tempfile.TemporaryFile() as log:
        process = guard.spawn(command, cwd=folder, env={**os.environ, "LC_ALL": "C"}, stdout=log)
        try:
            code = process.wait()
        finally:
            guard.end(process)
        if code:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()[-10:]
            raise ImageError(
                "\n".join([*lines, f"apt-get {command[-1]} failed (exit code {code}); the lines above say why"])
            )


def write_root(debs: Iterable[Path], target: Path) -> None:
    """Unpack packages into one tar archive with a complete root file system.

    Args:
        debs: package files.
        target: the archive to write.

    Raises:
        ImageError: a package cannot be read.
    """
    seen: set[str] = set()
    bundle: list[bytes] = []
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as root:
        for name in _FOLDERS:  # with a time of their own, whoever unpacks the archive
            _add(root, seen, _entry(name, tarfile.DIRTYPE, 0o755))
        for name in _MERGED:
            _add(root, seen, _entry(name, tarfile.SYMTYPE, 0o777, link=f"usr/{name}"))
        for deb in debs:
            for member, content in _members(deb):
                if "ca-certificates/mozilla/" in member.name and member.isreg():
                    bundle.append(content)
                _add(root, seen, member, content)
            _add_text(root, seen, f"var/lib/dpkg/status.d/{deb.name.partition('_')[0]}", _control(deb))
        for name, text in _TEXTS.items():
            _add_text(root, seen, name, text)
        _add_text(root, seen, _BUNDLE, b"".join(sorted(bundle)).decode())
        for name, mode in (("tmp", 0o1777), ("home/nonroot", 0o700)):
            entry = _entry(name, tarfile.DIRTYPE, mode)
            entry.uid = entry.gid = 0 if name == "tmp" else 65532
            seen.discard(name)
            _add(root, seen, entry)


def _members(deb: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True, check=False)
    if unpacked.returncode:
        raise ImageError(f"{deb.name} cannot be unpacked: {unpacked.stderr.decode().strip()}; run ./taskw image:clean")
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as package:
        for member in package:
            member.name = _merged(member.name)
            if member.islnk():
                member.linkname = _merged(member.linkname)
            if member.name == "." or member.name.startswith(_DROPPED):
                continue
            if member.name.startswith("usr/share/doc/") and member.isreg() and not member.name.endswith("/copyright"):
                continue
            file = package.extractfile(member) if member.isreg() else None
            content = file.read() if file else b""
            if not content.startswith((b"#!/bin/sh", b"#!/bin/bash")):  # there is no shell to run it
                yield member, content


def _merged(name: str) -> str:
    clean = posixpath.normpath(name)
    return f"usr/{clean}" if clean.partition("/")[0] in _MERGED else clean


def _control(deb: Path) -> str:
    shown = subprocess.run(["dpkg-deb", "--field", str(deb)], capture_output=True, check=False, text=True)
    if shown.returncode:
        raise ImageError(f"{deb.name} cannot be read: {shown.stderr.strip()}; run ./taskw image:clean")
    return shown.stdout


def _entry(name: str, kind: bytes, mode: int, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.mtime = kind, mode, link, _EPOCH
    return entry


def _add_text(root: tarfile.TarFile, seen: set[str], name: str, text: str) -> None:
    entry = _entry(name, tarfile.REGTYPE, 0o644)
    content = text.encode()
    entry.size = len(content)
    seen.discard(name)
    _add(root, seen, entry, content)


def _add(root: tarfile.TarFile, seen: set[str], entry: tarfile.TarInfo, content: bytes = b"") -> None:
    if entry.name in seen:
        return
    seen.add(entry.name)
    entry.mtime = _EPOCH
    entry.mode &= ~0o6000  # no file here needs set-uid or set-gid
    root.addfile(entry, io.BytesIO(content))


def containerfile(environ: Mapping[str, str]) -> str:
    """The Containerfile that makes the archive an image.

    Args:
        environ: variables of the image.

    Returns:
        Its text. It adds `root.tar`.
    """
    variables = "\n".join(f"ENV {name}={value}" for name, value in environ.items())
    return f"FROM scratch\nADD root.tar /\n{variables}\nUSER 65532:65532\n"
