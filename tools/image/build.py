"""Builds the image with buildah: as root, without a daemon or registry, and apart from the machine's own images.

All files are in the user's cache (`image/`), under one lock. The next build removes what a killed build has left: the
archive appears in one step, and its key is written after it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tools.image import archive, debian, indexes, inputs
from tools.image.errors import ImageError
from tools.localcluster import host as machine
from tools.toolchain import guard, host
from tools.toolchain.locks import locked

NEEDED_MIB = 3000
LARGEST_STORE_MIB = 12_000  # layers of earlier builds stay; above this size the cache is emptied
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
_SBOM = "usr/share/moorage/sbom.cdx.json"


class Builder:
    """Builds the image of a checkout.

    Args:
        say: prints a line.
        progress: shows the current step.
        environ: HOME or XDG_CACHE_HOME, and the source of Python packages.
    """

    def __init__(
        self, say: Callable[[str], None], progress: Callable[[str], None], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._say = say
        self._progress = progress
        self._environ = environ
        self.cache = host.cache_dir(environ) / "image"
        self.output = inputs.ROOT / "build/image"
        self.archive = self.output / f"moorage-{inputs.version()}.tar"
        self.sbom = self.output / f"moorage-{inputs.version()}.cdx.json"
        self.log = self.output / "build.log"
        self._stamp = self.output / f"moorage-{inputs.version()}.key"

    def current(self) -> bool:
        """Whether the archive exists and matches the current sources."""
        return self.archive.exists() and self.sbom.exists() and _read(self._stamp) == inputs.key()

    def build(self) -> Path:
        """Build what is not current.

        Returns:
            The archive.

        Raises:
            ImageError: this machine lacks something, or a step failed.
        """
        if self.current():
            return self.archive
        if reason := missing():
            raise ImageError(reason)
        for folder in (self.cache, self.output):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(self.cache / ".lock", self._say, "building the image"):
            if not self.current():
                self._build()
        return self.archive

    def clean(self) -> None:
        """Remove the archives and everything in the cache.

        Raises:
            ImageError: the process is not root, who owns the cache.
        """
        if not self.cache.exists():
            return
        if os.geteuid():
            raise ImageError(f"{self.cache} belongs to root; run it as root")
        with locked(self.cache / ".lock", self._say, "building the image"):
            for path in self.cache.iterdir():
                if path.name != ".lock":
                    shutil.rmtree(path)
        shutil.rmtree(self.output, ignore_errors=True)

    def _build(self) -> None:
        free = host.free_mib(self.cache)
        if free < NEEDED_MIB:
            raise ImageError(
                f"building the image needs {NEEDED_MIB} MiB of disk and {self.cache} has {free}; make room or set "
                "XDG_CACHE_HOME to a folder that has it"
            )
        key = inputs.key()
        self.log.write_text("")
        self._tidy()
        bases = {"BUILDER": self._base("builder", debian.BUILDER), "BASE": self._base("final", debian.FINAL)}
        arguments = {**bases, "VERSION": inputs.version(), "REVISION": inputs.revision()}
        self._say(f"building {inputs.name()} (half a minute; two when its requirements have changed)")
        options = ["--file", "runtime/Dockerfile", "--tag", inputs.name(), "--format", "oci"]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        with tempfile.TemporaryDirectory(prefix="secrets-", dir=self.cache) as folder:
            for name, path in indexes.secrets(self._environ, Path(folder)).items():
                options += ["--secret", f"id={name},src={path}"]
            self._buildah("build", "--layers", "--pull-never", *options, ".")
        self._export(key)

    def _export(self, key: str) -> None:
        with tempfile.TemporaryDirectory(prefix="export-", dir=self.cache) as folder:
            layout = Path(folder, "layout")
            self._say("writing the archive")
            self._buildah("push", "--quiet", inputs.name(), f"oci:{layout}:{inputs.version()}")
            self._stamp.unlink(missing_ok=True)
            for old in self.output.glob("moorage-*"):
                if old not in (self.archive, self.sbom):
                    old.unlink()
            archive.write(layout, self.archive, inputs.name(), inputs.epoch())
        self.sbom.write_bytes(archive.read(self.archive).file(_SBOM))
        self._stamp.write_text(key)

    def _base(self, kind: str, packages: Sequence[str]) -> str:
        """Build one of the local bases if it does not exist. Its tag is the key of its inputs."""
        name = f"localhost/moorage-{kind}:{inputs.base_key()[:12]}"
        if self._call("inspect", "--type", "image", name) == 0:
            return name
        with tempfile.TemporaryDirectory(prefix="base-", dir=self.cache) as folder:
            debs = debian.fetch(packages, self.cache / f"debian-{kind}", self._say)
            self._say(f"making the {kind} base of {len(debs)} Debian packages")
            debian.write_root(debs, Path(folder, "root.tar"))
            Path(folder, "Containerfile").write_text(debian.containerfile(_ENVIRONMENT))
            self._buildah("build", "--layers=false", "--tag", name, "--format", "oci", folder)
        shutil.rmtree(self.cache / f"debian-{kind}", ignore_errors=True)
        return name

    def _tidy(self) -> None:
        """Remove the remains of killed builds, and the whole store if it is too large.

        buildah's records of mounts are valid for one build only, as after a restart of the machine.
        """
        for pattern in ("secrets-*", "export-*", "base-*", "probe-*", "run-*", "debian-*"):
            for left in self.cache.glob(pattern):
                shutil.rmtree(left, ignore_errors=True)
        store = self.cache / f"storage-{self._driver}"
        if store.exists() and _size_mib(store) > LARGEST_STORE_MIB:
            self._say(f"the store of layers has grown beyond {LARGEST_STORE_MIB} MiB: starting a new one")
            shutil.rmtree(store)
        elif store.exists():
            self._call("rm", "--all")

    @cached_property
    def _driver(self) -> str:
        """Overlay if the kernel allows it, else vfs, which works everywhere and copies whole trees."""
        with tempfile.TemporaryDirectory(prefix="probe-", dir=self.cache) as folder:
            parts = {name: Path(folder, name) for name in ("lowerdir", "upperdir", "workdir")}
            for path in (*parts.values(), Path(folder, "merged")):
                path.mkdir()
            options = ",".join(f"{name}={path}" for name, path in parts.items())
            mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"]
            tried = subprocess.run(["unshare", "--mount", *mount], capture_output=True, check=False)
            return "vfs" if tried.returncode else "overlay"

    @cached_property
    def _store(self) -> list[str]:
        root, run = self.cache / f"storage-{self._driver}", self.cache / f"run-{self._driver}"
        return ["--root", str(root), "--runroot", str(run), "--storage-driver", self._driver]

    def _call(self, *arguments: str) -> int:
        with self.log.open("ab") as log:
            return self._run(arguments, log.fileno(), None)

    def _buildah(self, *arguments: str) -> None:
        """Run buildah. Its output goes to the log, and its steps are shown."""
        begin = self.log.stat().st_size
        with self.log.open("ab") as log:
            code = self._run(arguments, subprocess.PIPE, log.write)
        if code:
            tail = self.log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()[-15:]
            raise ImageError(
                "\n".join(
                    [
                        *tail,
                        f"buildah {arguments[0]} failed (exit code {code}); reason above, all output: {self.log}",
                    ]
                )
            )

    def _run(self, arguments: Sequence[str], stdout: int, sink: Callable[[bytes], object] | None) -> int:
        # Mounts in a namespace of their own end with its processes, also after kill -9.
        command = ["unshare", "--mount", "buildah", *self._store, *arguments]
        environment = {**self._environ, "BUILDAH_ISOLATION": "chroot", "LC_ALL": "C"}
        process = guard.spawn(command, cwd=inputs.ROOT, env=environment, stdout=stdout)
        try:
            if sink is not None and process.stdout is not None:
                for line in process.stdout:
                    sink(line)
                    if line.startswith((b"STEP", b"[")):
                        self._progress(line.decode(errors="replace").strip()[:200])
            return process.wait()
        finally:
            guard.end(process)
            if process.stdout is not None:
                process.stdout.close()


def missing() -> str | None:
    """What this machine lacks to build the image.

    Returns:
        A sentence, or None when nothing is missing.
    """
    if reason := machine.missing("image"):
        return reason
    lacking = [name for name in ("apt-get", "dpkg-deb", "unshare", "chroot") if shutil.which(name) is None]
    if lacking:
        return f"the local bases are made of Debian packages, and {', '.join(lacking)} is missing"
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _size_mib(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total // host.MIB
