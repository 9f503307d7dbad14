"""Parsing HTTP answers: the same in any pieces, and invalid bytes are never an answer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kube.http import parser
from moorage.kube.http.parser import BadResponse, Response, ResponseParser

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"

WHOLE = [
    (_OK + b"Content-Length: 5\r\nDate: now\r\n\r\nhello", 200, b"hello", True),
    (b"HTTP/1.1 201 Created\r\ncontent-length:0\r\n\r\n", 201, b"", True),
    (b"HTTP/1.1 204 \r\nContent-Length: 7\r\n\r\n", 204, b"", True),
    (_CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 200, b"abc0123456789", True),
    (_CHUNKED + b"0\r\nX-Trailer: a\r\nY: b\r\n\r\n", 200, b"", True),
    (_OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", 200, b"ok", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    (_EARLY + b"HTTP/1.1 409 X\r\nContent-Length: 1\r\n\r\n!", 409, b"!", True),
]

BAD = [
    b"garbage\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 99 Low\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
    b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 134217729\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    _CHUNKED + b"0\r\nA: " + b"b" * 70_000,
    _CHUNKED + b"1;a=" + b"b" * 70_000,
]


def read(data: bytes, cuts: list[int]) -> Response | None:
    reader = ResponseParser()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        assert not reader.complete, "it was whole before its end"
        reader.feed(data[start:end])
    return reader.response() if reader.complete else None


@pytest.mark.parametrize(("data", "status", "body", "kept"), WHOLE)
@given(cuts=st.lists(st.integers(0, 200), max_size=20))
def test_an_answer_does_not_depend_on_the_pieces(
    data: bytes, status: int, body: bytes, kept: bool, cuts: list[int]
) -> None:
    found = read(data, cuts)
    assert found is not None
    assert (found.status, found.body, found.keep_alive) == (status, body, kept)


def test_headers_have_lower_case_names_and_no_space_around() -> None:
    found = read(b"HTTP/1.1 429 X\r\nRetry-After: \t7 \r\nDATE:x\r\nContent-Length: 0\r\n\r\n", [])
    assert found is not None
    assert found.headers == {"retry-after": "7", "date": "x", "content-length": "0"}


@pytest.mark.parametrize(("data", "status", "body", "kept"), WHOLE)
@given(cuts=st.lists(st.integers(0, 200), max_size=20))
def test_a_body_may_be_taken_while_it_comes(data: bytes, status: int, body: bytes, kept: bool, cuts: list[int]) -> None:
    reader = ResponseParser(unlimited=True)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    taken = []
    for start, end in itertools.pairwise(places):
        reader.feed(data[start:end])
        waiting = reader.buffered
        taken.append(reader.take_body())
        assert waiting == len(taken[-1])
    assert reader.complete
    found = reader.response()
    assert (found.status, b"".join(taken), found.body, found.keep_alive) == (status, body, b"", kept)


def test_of_a_chunk_nothing_waits_for_the_rest() -> None:
    reader = ResponseParser(unlimited=True)
    reader.feed(_CHUNKED + b"FFFFFFFF\r\nso far")
    assert reader.take_body() == b"so far"
    reader.feed(b" and on")
    assert reader.take_body() == b" and on"
    assert not reader.complete


@pytest.mark.parametrize("data", BAD)
@given(cuts=st.lists(st.integers(0, 80_000), max_size=6))
def test_what_is_no_answer_is_refused(data: bytes, cuts: list[int]) -> None:
    with pytest.raises(BadResponse):
        read(data, cuts)


@pytest.mark.parametrize(("data", "status", "body", "kept"), WHOLE)
def test_one_that_is_cut_off_is_none(data: bytes, status: int, body: bytes, kept: bool) -> None:
    for end in range(len(data)):
        reader = ResponseParser()
        assert not reader.feed(data[:end])
        with pytest.raises(BadResponse):
            reader.end()


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    reader = ResponseParser()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nso far")
    assert not reader.feed(b" and on")
    reader.end()
    found = reader.response()
    assert (found.body, found.keep_alive) == (b"so far and on", False)


@pytest.mark.parametrize("begun", [_OK + b"\r\n0123456789", _CHUNKED + b"a\r\n0123456789\r\n1\r\n"])
def test_a_body_that_does_not_say_its_length_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(parser, "MAX_BODY", 10)
    reader = ResponseParser()
    assert not reader.feed(begun)
    with pytest.raises(BadResponse, match="larger than"):
        reader.feed(b"!")


def test_after_bytes_that_nobody_asked_for_the_connection_is_not_used_again() -> None:
    found = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK", [])
    assert found is not None
    assert (found.body, found.keep_alive) == (b"ok", False)
