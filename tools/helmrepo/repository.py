"""Packages charts, indexes them with Helm's own command, and serves the folder."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.toolchain import ToolError, ensure

CHARTS = Path(__file__).resolve().parents[2] / "charts"


class RepositoryError(Exception):
    """A chart cannot be packaged, or the port is in use. The message has helm's own text."""


class Repository:
    """A chart repository that is served while the context is open.

    Args:
        folder: for the packages and the index; created if it does not exist.
        port: of 127.0.0.1; 0 chooses a free one.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        """Serve the folder.

        Raises:
            RepositoryError: the port is in use.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        handler = partial(_Quiet, directory=str(self._folder))
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        except OSError as error:
            raise RepositoryError(f"127.0.0.1:{self._port} cannot be served: {error}; choose another port") from error
        threading.Thread(target=self._server.serve_forever, name="chart repository", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """The URL for ``helm repo add``."""
        if self._server is None:
            raise RepositoryError("the repository is not served: use it as a context manager")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, *charts: Path) -> list[Path]:
        """Package charts and index everything in the folder anew.

        Args:
            charts: chart folders. Existing versions are replaced.

        Returns:
            The packages, in the order of the charts.

        Raises:
            RepositoryError: helm is not available, or refuses a chart.
        """
        packages = [package(chart, self._folder) for chart in charts]
        _helm("repo", "index", str(self._folder), "--url", self.url)
        return packages


def package(chart: Path, folder: Path, epoch: int | None = None) -> Path:
    """Make the archive of one chart.

    Args:
        chart: its folder.
        folder: for the archive.
        epoch: time of all files in seconds since 1970, so that equal charts give equal archives. None: each file's own.

    Raises:
        RepositoryError: helm is not available, or refuses the chart.
    """
    words = _helm("package", str(chart), "--destination", str(folder), epoch=epoch)
    # "Successfully packaged chart and saved it to: FILE"
    return Path(words.strip().rpartition(": ")[2])


def charts(folder: Path = CHARTS) -> list[Path]:
    """All chart folders in a folder, by default those of this checkout."""
    return sorted(path.parent for path in folder.glob("*/Chart.yaml"))


def _helm(*arguments: str, epoch: int | None = None) -> str:
    try:
        helm = ensure(["helm"])["helm"]
    except ToolError as error:
        raise RepositoryError(str(error)) from error
    environment = os.environ if epoch is None else {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run([str(helm), *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RepositoryError(f"helm {' '.join(arguments)}: {_joined(done.stderr.splitlines())}")
    return done.stdout


def _joined(lines: Iterable[str]) -> str:
    return "; ".join(line.strip() for line in lines if line.strip())


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no access log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log."""
