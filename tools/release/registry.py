"""A registry as crane and helm reach it, with the logins that these programs keep."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.release.errors import ReleaseError
from tools.toolchain import ensure

_MISSING = re.compile(r"MANIFEST_UNKNOWN|NAME_UNKNOWN|NOT_FOUND|status code 404|404 Not Found")
_REFUSED = re.compile(r"UNAUTHORIZED|DENIED|\b401\b|\b403\b|no basic auth credentials", re.IGNORECASE)
_AWAY = re.compile(
    r"connection refused|no such host|i/o timeout|connection reset|network is unreachable|EOF|\b50[0234]\b|lookup "
)


@dataclass(frozen=True)
class Registry:
    """A registry and a path in it.

    Attributes:
        name: host with port and path, without a scheme: `registry.example:5000/moorage`.
        plain_http: whether it has no TLS.
    """

    name: str
    plain_http: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?", self.name):
            raise ReleaseError(
                f"{self.name!r} is no registry; write it like registry.example/moorage, without https://"
            )

    def digest(self, reference: str) -> str | None:
        """The digest of what is at a reference, or None.

        Raises:
            ReleaseError: the registry does not answer, or refuses.
        """
        return self._unless_missing("digest", reference)

    def manifest(self, reference: str) -> dict[str, Any] | None:
        """The manifest at a reference, or None.

        Raises:
            ReleaseError: the registry does not answer, or refuses.
        """
        found = self._unless_missing("manifest", reference)
        return None if found is None else dict(json.loads(found))

    def push_layout(self, layout: Path, reference: str, several: bool) -> None:
        """Push the only image of an OCI layout; its digest stays.

        Raises:
            ReleaseError: the registry does not answer, or refuses.
        """
        index = json.loads((layout / "index.json").read_text("utf-8"))["manifests"][0] if several else None
        if index is None:
            self._crane("push", str(layout), reference)
            return
        # crane pushes the file index.json itself as an index, so the one that it names takes its place.
        kind, _, value = index["digest"].partition(":")
        (layout / "index.json").write_bytes((layout / "blobs" / kind / value).read_bytes())
        self._crane("push", "--index", str(layout), reference)

    def push_chart(self, archive: Path, repository: str, epoch: int) -> None:
        """Push a chart's archive with helm.

        Args:
            archive: NAME-VERSION.tgz.
            repository: the reference without the chart's name.
            epoch: seconds since 1970. Helm puts the file's time into the manifest: equal charts get equal digests.

        Raises:
            ReleaseError: the registry does not answer, or refuses.
        """
        os.utime(archive, (epoch, epoch))
        options = ["--plain-http"] if self.plain_http else []
        self._run([str(ensure(["helm"])["helm"]), "push", *options, str(archive), f"oci://{repository}"])

    def _unless_missing(self, command: str, reference: str) -> str | None:
        try:
            return self._crane(command, reference).strip()
        except _MissingError:
            return None

    def _crane(self, *arguments: str) -> str:
        options = ["--insecure"] if self.plain_http else []
        return self._run([str(ensure(["crane"])["crane"]), *options, *arguments])

    def _run(self, command: list[str]) -> str:
        environment = {**os.environ, "TZ": "UTC"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        if _MISSING.search(done.stderr):
            raise _MissingError(f"{self.name} does not have it: {said}")
        if _REFUSED.search(done.stderr):
            host = self.name.partition("/")[0]
            raise ReleaseError(
                f"{self.name} refuses: {said}. Log in: crane auth login {host}; helm registry login {host}"
            )
        if "server gave HTTP response to HTTPS client" in done.stderr:
            raise ReleaseError(f"{self.name} has no TLS. Push to it with --plain-http, on a network that you trust")
        if _AWAY.search(done.stderr):
            raise ReleaseError(
                f"{self.name} does not answer: {said}. Run it again; what is pushed stays, and is skipped"
            )
        raise ReleaseError(f"{self.name}: {Path(command[0]).name} {command[1]} failed: {said}")


class _MissingError(ReleaseError):
    """Nothing is at the reference."""


def layer_of(manifest: dict[str, Any]) -> str:
    """The digest of a chart's archive in the manifest that helm has pushed; empty if it is no chart's.

    Source: https://helm.sh/docs/topics/registries (Helm chart manifest).
    """
    kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    found = [each["digest"] for each in manifest.get("layers", ()) if each.get("mediaType") == kind]
    return found[0] if len(found) == 1 else ""
