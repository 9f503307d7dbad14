"""Lists and watches in protobuf: any byte sequence gives only events, objects and typed errors."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.kube import errors
from moorage.kube.resources import NODES, PODS
from moorage.kube.unreadable import Unreadable
from moorage.kube.wire import decoder as decoder_module
from moorage.kube.wire._generated import kubernetes_pb2 as pb
from moorage.kube.wire.as_protobuf import ProtobufDecoder
from moorage.objects import Pod
from tests.examples import examples
from tests.unit.kube.hostile import Store, damaged, protobuf, status
from tests.unit.kube.hostile.protobuf import BROKEN_SPEC, envelope, event, frame, framed, page, pod

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(150))

DOCUMENT = Store().put("a", node="n")
GOOD = frame("ADDED", DOCUMENT)[4:]
PAGE = page([DOCUMENT, Store().put("b", node="n")], {"resourceVersion": "7"})


def offline() -> ProtobufDecoder[Pod]:
    return ProtobufDecoder(PODS, "/api/v1/pods")


def test_an_event_and_a_page_are_read() -> None:
    kind, item = offline().event(GOOD)
    assert kind == "ADDED"
    assert isinstance(item, Pod)
    assert item.spec.node_name == "n"
    meta, items = offline().page(PAGE)
    assert (meta.resource_version, meta.continue_) == ("7", "")
    assert [item.key for item in items] == ["ns/a", "ns/b"]
    meta, items = offline().page(page([], {"resourceVersion": "7", "continue": "more"}))
    assert (meta.continue_, items) == ("more", ())


def test_a_kind_without_a_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="Node is not read in protobuf"):
        ProtobufDecoder(NODES, "/api/v1/nodes")


# --- what is not as promised ---


@pytest.mark.parametrize(
    ("code", "kind"),
    [(410, errors.Gone), (500, errors.ServerError), (429, errors.TooManyRequests), (0, errors.ApiError)],
)
def test_an_error_event_is_a_typed_error(code: int, kind: type[errors.KubeError]) -> None:
    details = {"name": "x", "causes": [{"reason": "r", "message": "m", "field": "f"}], "retryAfterSeconds": 3}
    wrapped = protobuf.status(status(code, "Why", "so", **details))
    with pytest.raises(kind, match="Why: so") as refused:
        offline().event(event("ERROR", wrapped))
    assert isinstance(refused.value, errors.ApiError)
    assert refused.value.status == errors.Status(
        "so", "Why", code, errors.StatusDetails("x", causes=(errors.StatusCause("r", "m", "f"),), retry_after_seconds=3)
    )


@pytest.mark.parametrize("more", [b"", BROKEN_SPEC])
def test_a_bookmark_is_read_whatever_its_empty_object_looks_like(more: bytes) -> None:
    kind, item = offline().event(event("BOOKMARK", envelope(pod({"metadata": {"resourceVersion": "7"}}) + more)))
    assert kind == "BOOKMARK"
    assert isinstance(item, Pod)
    assert item.metadata.resource_version == "7"


_WRAPPED = envelope(pod(DOCUMENT))
GARBAGE = {
    "nothing": b"",
    "text": b"garbage",
    "json": b'{"type":"ADDED","object":{"metadata":{"name":"ghost","resourceVersion":"999"}}}',
    "no object": event("ADDED", b""),
    "no envelope": event("ADDED", pod(DOCUMENT)),
    "half an envelope": event("ADDED", _WRAPPED[:20]),
    "json in an envelope": event("ADDED", envelope(b'{"metadata":{}}')),
    "json instead of an envelope": event("ADDED", b'{"metadata":{"name":"ghost","resourceVersion":"999"}}'),
    "another kind": event("ADDED", envelope(pod(DOCUMENT), "Node")),
    "another version": event("ADDED", envelope(pod(DOCUMENT), api_version="v2")),
    "compressed": event("ADDED", envelope(pod(DOCUMENT), content_encoding="gzip")),
    "a status": event("ADDED", protobuf.status(status(410, "Expired"))),
    "nameless": frame("MODIFIED", {"metadata": {"resourceVersion": "7"}})[4:],
    "without version": frame("ADDED", {"metadata": {"name": "ghost"}})[4:],
    "nameless and broken": frame("ADDED", {"metadata": {"resourceVersion": "7"}, "broken": True})[4:],
    "broken without version": frame("ADDED", {"metadata": {"name": "ghost"}, "broken": True})[4:],
    "metadata that are none": event("ADDED", envelope(b"\x0a\x02\x0a\xff")),
    "unknown type": event("RENAMED", _WRAPPED),
    "no type": event("", _WRAPPED),
    "an error that is none": event("ERROR", _WRAPPED),
    "an error without an object": event("ERROR", b""),
    "a bookmark without a version": event("BOOKMARK", envelope(b"")),
    "a bookmark that is none": event("BOOKMARK", envelope(b"\x0a\x02\x0a\xff")),
    "depth": event("ADDED", envelope(b"\x12\x7f" * 500)),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_event_is_garbage(data: bytes) -> None:
    with pytest.raises(errors.Undecodable, match=r"watch /api/v1/pods: not an event: ."):
        offline().event(data)


BAD_PAGES = {
    "nothing": b"",
    "text": b"<html>Please sign in</html>",
    "json": b'{"metadata":{"resourceVersion":"7"},"items":[]}',
    "no envelope": pb.List(metadata=pb.ListMeta(resource_version="7")).SerializeToString(),
    "cut off": PAGE[:-1],
    "another kind": envelope(pb.List(metadata=pb.ListMeta(resource_version="7")).SerializeToString(), "NodeList"),
    "a single object": envelope(pod(DOCUMENT)),
    "a status": protobuf.status(status(0, "Success")),
    "without version": page([DOCUMENT], {}),
    "an item without a name": page([{"metadata": {"resourceVersion": "7"}}], {"resourceVersion": "7"}),
    "a broken item without a name": page([{"metadata": {"uid": "u"}, "broken": True}], {"resourceVersion": "7"}),
}


@pytest.mark.parametrize("data", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_what_is_no_page_is_garbage(data: bytes) -> None:
    with pytest.raises(errors.Undecodable, match=r"list /api/v1/pods: not a list: ."):
        offline().page(data)


def test_an_unreadable_object_is_named_with_its_version_and_reason() -> None:
    for broken in (
        pod(DOCUMENT) + BROKEN_SPEC,
        pod(DOCUMENT | {"status": {"startTime": "2026-01-01T00:00:00Z"}}).replace(
            protobuf.instant("2026-01-01T00:00:00Z"), b"\x08\xff\xff\xff\xff\xff"
        ),
    ):
        kind, item = offline().event(event("ADDED", envelope(broken)))
        assert kind == "ADDED"
        assert isinstance(item, Unreadable)
        assert (item.key, item.uid, item.resource_version) == ("ns/a", "uid-1", "101")
        assert item.reason
    beside = pb.List(metadata=pb.ListMeta(resource_version="7"), items=[pod(DOCUMENT) + BROKEN_SPEC, pod(DOCUMENT)])
    _, items = offline().page(envelope(beside.SerializeToString(), "PodList"))
    assert [type(item) for item in items] == [Unreadable, Pod]


@relaxed
@given(st.data())
def test_any_damage_ends_in_an_event_or_a_typed_error(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([GOOD, PAGE]))
    bad = damaged(data, whole)
    try:
        if whole is PAGE:
            meta, items = offline().page(bad)
            assert meta.resource_version
        else:
            kind, item = offline().event(bad)
            assert kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
            items = (item,)
            assert kind == "BOOKMARK" or item.key
    except errors.KubeError:
        return
    assert all(isinstance(item, Pod | Unreadable) for item in items)


# --- frames ---


class _Pieces:
    """A stream body that arrives in given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


async def split(*pieces: bytes) -> list[bytes]:
    return [found async for batch in offline().split(_Pieces(*pieces)) for found in batch]


@relaxed
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), max_size=60))
async def test_frames_do_not_depend_on_chunks(events: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(framed, events))
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    assert await split(*pieces, stream) == events


@relaxed
@given(st.data())
async def test_a_stream_that_ends_in_a_frame_is_cut_off(data: st.DataObject) -> None:
    stream = framed(GOOD) * 2
    end = data.draw(st.integers(1, len(stream) - 1).filter(lambda at: at != len(stream) // 2))
    at = data.draw(st.integers(0, end))
    with pytest.raises(errors.ConnectionLost, match="cut off in the middle of an event"):
        await split(stream[:at], stream[at:end])


async def test_a_frame_beyond_all_reason_is_refused_by_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    for length in (decoder_module.MAX_EVENT + 1, (1 << 32) - 1):
        with pytest.raises(errors.Undecodable, match="an event is larger than 64 MiB"):
            await split(length.to_bytes(4, "big"))
    monkeypatch.setattr(decoder_module, "MAX_EVENT", len(GOOD))
    assert await split(framed(GOOD)) == [GOOD]
