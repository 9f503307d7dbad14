"""The requests of the local cluster itself to its API server."""

from __future__ import annotations

import http.client
import json
import select
import ssl
import weakref
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 15


class ApiError(Exception):
    """The API server refused a request: `status` is the HTTP status, `reason` the reason of its Status object."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class ApiClient:
    """Synchronous JSON requests.

    Args:
        server: https URL of the server.
        ca: PEM file of the CA of its certificate.
        token: bearer token; None for anonymous requests.
        agent: User-Agent; none if empty.
    """

    def __init__(self, server: str, ca: Path, token: str | None, agent: str = "") -> None:
        address = urlsplit(server)
        if address.hostname is None or address.port is None:
            raise ValueError(f"{server} has no host and port")
        self._host, self._port = address.hostname, address.port
        self._is_for = (server, token)
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if agent:
            self._headers["User-Agent"] = agent
        self._idle: deque[http.client.HTTPSConnection] = deque()
        weakref.finalize(self, _close, self._idle)

    def is_for(self, server: str, token: str | None) -> bool:
        """Whether this object uses that server and token."""
        return self._is_for == (server, token)

    def close(self) -> None:
        """Closes the connections that are kept for later requests."""
        _close(self._idle)

    def get(self, path: str) -> Any:
        """Reads an object or list."""
        return self.request("GET", path)

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Sends a request and returns the decoded JSON answer, or the text if it is not JSON.

        Raises:
            ApiError: the server answered with an error.
            OSError: no answer; http.client.HTTPException: an incomplete answer.
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
        """Whether a health path answers 200. False also if there is no answer."""
        try:
            self.request("GET", path)
        except (OSError, ApiError, http.client.HTTPException):
            return False
        return True

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self._connection()
        try:
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return answer, data

    def _connection(self) -> http.client.HTTPSConnection:
        """An idle connection that the server has not closed, else a new one.

        Waiting takes many requests, and a TLS handshake costs both sides more than a request.
        """
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread uses it
                break
            if not _has_ended(connection):
                return connection
            connection.close()
        return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls)


def _has_ended(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server has closed it, for example when it was killed: between two answers it sends nothing else."""
    if connection.sock is None:
        return True
    news = select.poll()
    news.register(connection.sock, select.POLLIN)
    return bool(news.poll(0))


def _close(idle: deque[http.client.HTTPSConnection]) -> None:
    while idle:
        try:
            idle.pop().close()
        except IndexError:  # another thread was faster
            return
