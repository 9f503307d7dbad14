"""The few requests the local cluster itself makes to its API server."""

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
        self._is_for = (server, token)
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if agent:
            self._headers["User-Agent"] = agent
        self._idle: deque[http.client.HTTPSConnection] = deque()
        weakref.finalize(self, _close, self._idle)

    def is_for(self, server: str, token: str | None) -> bool:
        """Whether it speaks to that server with that token."""
        return self._is_for == (server, token)

    def close(self) -> None:
        """Closes the connections that are kept for further requests."""
        _close(self._idle)

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
        """One that no other thread uses and the server has not ended, else a new one.

        Waits here are made of many requests, and a handshake costs both sides more than a request.
        """
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread has taken it
                break
            if not _has_ended(connection):
                return connection
            connection.close()
        return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls)


def _has_ended(connection: http.client.HTTPSConnection) -> bool:
    """Whether the server has closed it, as when it was killed: between two answers it has nothing else to say."""
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
