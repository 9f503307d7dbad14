"""An archive of built tools, so that users of a release need not compile them.

An archive is trusted only if its SHA-256 is recorded in this checkout's tools/digests.txt.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from tools.toolchain import host
from tools.toolchain.build import publish
from tools.toolchain.cache import Cache
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError
from tools.toolchain.manifest import Tool

DIGESTS = "tools/digests.txt"
MEMBER = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (\S+)\Z")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMEOUT_SECONDS = 30


def write(cache: Cache, tools: Sequence[Tool], folder: Path) -> Path:
    """Write an archive of built tools. Equal tools give equal bytes.

    Args:
        cache: holds the tools.
        tools: the tools. Tools from PATH are refused, and tools with files beside them are left out.
        folder: for the archive.

    Returns:
        Its path: `moorage-tools-<os>-<arch>-<key>.tar.gz`.

    Raises:
        ToolError: a tool is not in the cache.
    """
    files = {}
    for tool in tools:
        if tool.beside:
            continue  # a program in the cache must be complete, and members are unpacked one by one
        if not cache.has(tool):
            raise ToolError(f"{tool.name} is taken from PATH, and an archive holds built tools only; take it off PATH")
        path = cache.path(tool)
        files[path.relative_to(cache.base).as_posix()] = path
    sums = "".join(f"{_sha256(path)}  {name}\n" for name, path in sorted(files.items()))
    key = hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"moorage-tools-{'-'.join(host.go_platform())}-{key}.tar.gz"
    with tempfile.NamedTemporaryFile(dir=folder, prefix="tmp-", delete=False) as raw:
        try:
            with (
                gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as zipped,
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as archive,
            ):
                _add(archive, MEMBER, len(sums), io.BytesIO(sums.encode()))
                for name, path in sorted(files.items()):
                    with path.open("rb") as content:
                        _add(archive, name, path.stat().st_size, content)
        except BaseException:
            Path(raw.name).unlink(missing_ok=True)
            raise
    Path(raw.name).chmod(0o644)
    Path(raw.name).replace(target)
    return target


def record(root: Path) -> list[str]:
    """Write the digests of all archives in `build` into tools/digests.txt. Lines of other archives stay.

    Args:
        root: the checkout.

    Returns:
        The lines of these archives.

    Raises:
        ToolError: there is no archive.
    """
    archives = sorted((root / "build").glob("moorage-tools-*.tar.gz"))
    if not archives:
        raise ToolError(f"there is no archive in {root / 'build'}; ./taskw tools:pack writes one")
    lines = {archive.name: f"{_sha256(archive)}  {archive.name}" for archive in archives}
    path = root / DIGESTS
    known = {name: f"{digest}  {name}" for digest, name in _recorded(path)}
    path.write_text("".join(f"{line}\n" for _, line in sorted((known | lines).items())))
    return list(lines.values())


def install(cache: Cache, url: str, console: Console) -> bool:
    """Install an archive whose digest this checkout has. A failure prints one line and is not an error.

    Args:
        cache: the cache for its tools.
        url: https, file, or http on a loopback address.
        console: for output.

    Returns:
        True if it was installed. Otherwise the caller builds.
    """
    try:
        _install(cache, url, console)
    except (ToolError, OSError, tarfile.TarError, EOFError, ValueError) as error:
        reason: object = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it has the connection
        elif isinstance(error, urllib.error.URLError):
            reason = error.reason
        console.say(f"MOORAGE_TOOLS_URL={url} was not installed ({reason}); building instead")
        return False
    return True


def _install(cache: Cache, url: str, console: Console) -> None:
    check_url(url)
    known = {digest for digest, _ in _recorded(cache.root / DIGESTS)}
    with tempfile.TemporaryDirectory(prefix="tmp-", dir=cache.base) as scratch:
        archive = Path(scratch) / "archive"
        console.say(f"installing tools from {url}")
        _download(url, archive, console)
        if (digest := _sha256(archive)) not in known:
            raise ToolError(f"its SHA-256 {digest} is not in {DIGESTS}")
        installed = _unpack(cache, archive, Path(scratch))
    console.say(f"installed {', '.join(installed)}")


def check_url(url: str) -> None:
    """Refuse URLs where a third party could watch or delay the download.

    Args:
        url: any text.

    Raises:
        ToolError: it is not https, file, or http on loopback.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("https", "file") or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise ToolError("only https, file, and http on a loopback address are allowed")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to URLs that are allowed."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            check_url(newurl)
            if newurl.startswith("file:"):
                raise ToolError("a redirect to a file is not allowed")
        except ToolError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, target: Path, console: Console) -> None:
    opener = urllib.request.build_opener(_CheckedRedirects)
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as response, target.open("wb") as output:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := response.read(1 << 20):
            output.write(chunk)
            done += len(chunk)
            console.progress(f"downloading tools: {done // host.MIB} of {total // host.MIB or '?'} MiB")
        console.clear()
        if total and done != total:
            raise ToolError(f"the download ended after {done} of {total} bytes")


def _unpack(cache: Cache, archive: Path, scratch: Path) -> list[str]:
    """Move the archive's current tools into the cache. Members with other names or digests are refused."""
    wanted = {cache.path(tool).relative_to(cache.base).as_posix(): tool for tool in cache.manifest.tools.values()}
    installed = []
    with tarfile.open(archive, mode="r:gz") as opened:
        sums = opened.extractfile(MEMBER) if MEMBER in opened.getnames() else None
        if sums is None:
            raise ToolError(f"it has no {MEMBER}")
        expected = {name: digest for digest, name in _parse(sums.read().decode())}
        for member in opened:
            tool = wanted.get(member.name)
            content = opened.extractfile(member) if tool and member.isreg() else None
            if tool is None or content is None or cache.has(tool):
                continue
            new = scratch / tool.name
            with new.open("wb") as output:
                shutil.copyfileobj(content, output, 1 << 20)
            if _sha256(new) != expected.get(member.name):
                raise ToolError(f"{member.name} in it does not have the digest in its {MEMBER}")
            cache.path(tool).parent.mkdir(parents=True, exist_ok=True)
            publish(new, cache.path(tool))
            installed.append(tool.name)
    if not installed:
        raise ToolError("it has no tool of this checkout's versions for this machine")
    return installed


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)  # owner 0, time 0: nothing depends on this machine
    member.size = size
    member.mode = 0o644 if name == MEMBER else 0o755
    archive.addfile(member, content)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _recorded(path: Path) -> list[tuple[str, str]]:
    return _parse(path.read_text()) if path.exists() else []


def _parse(text: str) -> list[tuple[str, str]]:
    """Read the lines of `sha256sum`. Any other line is an error."""
    result = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match:
            raise ToolError(f"{line!r} is not a digest line; ./taskw tools:digest writes them")
        result.append((match[1], match[2]))
    return result
