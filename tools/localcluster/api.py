"""The few requests the local cluster itself makes to its API server."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 15


class ApiError(Exception):
    """The API server refused: `status` is the HTTP status, `reason` the reason of its Status object."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class ApiClient:
    """Synchronous JSON requests.

    Args:
        server: https URL of the server.
        ca: PEM file of the authority its certificate must come from.
        token: bearer token, None for anonymous requests.
        agent: User-Agent, none if empty.
    """

    def __init__(self, server: str, ca: Path, token: str | None, agent: str = "") -> None:
        address = urlsplit(server)
        if address.hostname is None or address.port is None:
            raise ValueError(f"{server} has no host and port")
        self._host, self._port = address.hostname, address.port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if agent:
            self._headers["User-Agent"] = agent

    def get(self, path: str) -> Any:
        """Reads an object or list."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Makes one request and returns the decoded JSON answer (text that is not JSON as it is).

        Raises:
            ApiError: the server answered with an error.
            OSError: no answer; http.client.HTTPException: half an answer.
        """
        payload = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": content_type} if payload else {})
        answer, data = self._exchange(method, path, payload, headers)
        if "json" not in answer.headers.get("Content-Type", ""):
            content: Any = data.decode(errors="replace")
            reason = answer.reason
        else:
            content = json.loads(data)
            reason = content.get("reason", answer.reason)
        if answer.status >= 400:
            message = content.get("message", "") if isinstance(content, dict) else str(content)
            raise ApiError(answer.status, reason, message)
        return content

    def answers_ok(self, path: str) -> bool:
        """Whether a health path answers 200; False when nothing answers at all."""
        try:
            self.request("GET", path)
        except (OSError, ApiError, http.client.HTTPException):
            return False
        return True

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        # A connection per request: the harness makes few, from any thread, to servers that are killed under it.
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=15, context=self._tls)
        with closing(connection):
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            return answer, answer.read()
