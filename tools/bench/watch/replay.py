"""A server that sends every reader the same data at full speed: recorded lists, then recorded watch events.

A real API server makes events only as fast as it can write, which is slower than any reader. So the events are recorded
from the real server once and sent from memory over TLS, with one HTTP chunk and one TLS record per event as
kube-apiserver flushes them. Each reader gets the encoding that it requests, JSON or protobuf. After the last event the
recording starts again, with later resourceVersions (and in JSON another day in every time), because Moorage's cache,
unlike client-go's, skips versions that it has.

Commands: `lists` and `events N` (record the lists, and the next N pod events once they have happened), `go N` (send N
events to the next pod watch; answered when the last is sent).
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tools.bench.watch import protobuf
from tools.bench.watch.child import TOKEN_VARIABLE
from tools.bench.watch.recording import PROTOBUF, PROTOBUF_WATCH, Event, RecordedList, Server, initial_frames

_KINDS = {"/api/v1/pods": "Pod", "/api/v1/nodes": "Node"}
_RECORDED_DAY = b"2026-01-01T"


class Story:
    """The recorded data, and the orders to send it."""

    def __init__(self) -> None:
        self.lists: dict[str, RecordedList] = {}
        self.events: list[Event] = []
        self.initial_frames: dict[str, list[bytes]] = {}
        self.event_frames: list[bytes] = []
        self.cut_frames: list[protobuf.Frame] = []
        self.watchers: queue.Queue[queue.Queue[int]] = queue.Queue()

    def tell(self, count: int, *, binary: bool, initial: bool) -> Iterator[bytes]:
        """The first `count` events of the endless recording.

        Args:
            count: number of events.
            binary: in protobuf.
            initial: whether they are for client-go, which accepts the same versions again.
        """
        if binary and initial:
            return islice(cycle(self.event_frames), count)
        return self._frames(count) if binary else self._lines(count)

    def _frames(self, count: int) -> Iterator[bytes]:
        span = self.cut_frames[-1].version - self.cut_frames[0].version + 1
        for number in range(count):
            turn, place = divmod(number, len(self.cut_frames))
            frame = self.cut_frames[place]
            yield frame.told(frame.version + turn * span)

    def _lines(self, count: int) -> Iterator[bytes]:
        span = self.events[-1].version - self.events[0].version + 1
        for number in range(count):
            turn, place = divmod(number, len(self.events))
            event = self.events[place]
            after = event.after.replace(_RECORDED_DAY, b"2026-%02d-%02dT" % (turn // 28 % 12 + 1, turn % 28 + 1))
            yield event.before + b"%d" % (event.version + turn * span) + after


class Handler(BaseHTTPRequestHandler):
    """Lists in pages, watches with or without initial events."""

    protocol_version = "HTTP/1.1"
    story: Story

    def do_GET(self) -> None:
        """Serve a list or a watch."""
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path not in _KINDS:
            self.send_error(404)
        elif query.get("watch", "") in ("true", "1"):
            self._watch(address.path, query)
        else:
            self._list(address.path, query)

    def _list(self, path: str, query: dict[str, str]) -> None:
        recorded = self.story.lists[path]
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(recorded.items)
        metadata = {"resourceVersion": str(recorded.version)}
        if start + limit < len(recorded.items):
            metadata["continue"] = str(start + limit)
        if self._binary:
            part = recorded.binary_items[start : start + limit]
            self._send(PROTOBUF, protobuf.page(_KINDS[path], str(recorded.version), metadata.get("continue", ""), part))
            return
        head = json.dumps({"kind": f"{_KINDS[path]}List", "apiVersion": "v1", "metadata": metadata}).encode()
        body = head[:-1] + b',"items":[' + b",".join(recorded.items[start : start + limit]) + b"]}"
        self._send("application/json", body)

    def _send(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @property
    def _binary(self) -> bool:
        """Whether the reader prefers protobuf."""
        return self.headers.get("Accept", "").startswith(PROTOBUF)

    def _watch(self, path: str, query: dict[str, str]) -> None:
        initial = query.get("sendInitialEvents") == "true"
        binary = self._binary
        self.send_response(200)
        self.send_header("Content-Type", PROTOBUF_WATCH if binary else "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if binary and initial:
            for frame in self.story.initial_frames[path]:
                self._chunk(frame)
        elif initial:
            self._send_initial_events(path)
        orders: queue.Queue[int] = queue.Queue()
        if path.endswith("/pods"):
            self.story.watchers.put(orders)
        count = orders.get()  # for ever if this is not a watch of pods, or if its reader has disconnected
        for event in self.story.tell(count, binary=binary, initial=initial):
            self._chunk(event)
        _answer(sent=count)
        orders.get()

    def _send_initial_events(self, path: str) -> None:
        """The parameters that client-go sends instead of a list (KEP-3157)."""
        kind, recorded = _KINDS[path], self.story.lists[path]
        bare = b'{"kind":"%s","apiVersion":"v1",' % kind.encode()
        for item in recorded.items:
            self._chunk(b'{"type":"ADDED","object":' + bare + item[1:] + b"}\n")
        metadata = {
            "resourceVersion": str(recorded.version),
            "annotations": {"k8s.io/initial-events-end": "true"},
            "creationTimestamp": None,
        }
        bookmark = {"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": "v1", "metadata": metadata}}
        self._chunk(json.dumps(bookmark).encode() + b"\n")

    def _chunk(self, line: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, format: str, *args: object) -> None:
        """Requests go to the log file."""
        print(format % args, file=sys.stderr, flush=True)


class QuietServer(ThreadingHTTPServer):
    """A reader closes its connection when it has finished."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class names it
        """Name the error in the log without a traceback."""
        print(client_address, repr(sys.exception()), file=sys.stderr, flush=True)


def take_lists(story: Story, server: Server) -> None:
    """Record the lists, in both encodings."""
    plurals = {path: path.rsplit("/", 1)[1] for path in _KINDS}
    story.lists = {path: server.take(plural) for path, plural in plurals.items()}
    story.initial_frames = {path: initial_frames(server.frames(plural, None)) for path, plural in plurals.items()}
    _answer(listed=True)


def take_events(story: Story, server: Server, count: int) -> None:
    """Record the pod events since the lists, in both encodings.

    The API server ends a watch that does not keep up with a burst, so each is opened again where it ended.
    """
    start, events, binary = story.lists["/api/v1/pods"].version, story.events, story.event_frames
    while len(events) < count:
        since = events[-1].version if events else start
        events.extend(Event.parse(line) for line in islice(server.lines("pods", since), count - len(events)))
    while len(binary) < count:
        since = events[len(binary) - 1].version if binary else start
        binary.extend(islice(server.frames("pods", since), count - len(binary)))
    story.cut_frames = [protobuf.Frame.parse(frame) for frame in binary]
    size = sum(len(event.before) + len(event.after) for event in story.events)
    binary_size = sum(map(len, story.event_frames))
    _answer(recorded=count, bytes_per_event=size // count, protobuf_bytes_per_event=binary_size // count)


def _answer(**fields: float | bool) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Run the replay server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="the API server to record from")
    parser.add_argument("--pki", type=Path, required=True, help="folder with ca.crt, apiserver.crt and apiserver.key")
    arguments = parser.parse_args()
    story = Story()
    listener = QuietServer(("127.0.0.1", 0), type("StoryHandler", (Handler,), {"story": story}))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.pki / "apiserver.crt", arguments.pki / "apiserver.key")
    listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    _answer(port=listener.server_address[1])
    real = Server(arguments.server, arguments.pki / "ca.crt", os.environ[TOKEN_VARIABLE])
    for line in sys.stdin:
        match line.split():
            case ["lists"]:
                take_lists(story, real)
            case ["events", count]:
                take_events(story, real, int(count))
            case ["go", count]:
                story.watchers.get(timeout=30).put(int(count))  # one watch at a time: each reader gets each event once
            case _:
                raise SystemExit(f"unknown command {line!r}")


if __name__ == "__main__":
    main()
