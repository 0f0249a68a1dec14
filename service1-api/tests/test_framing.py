"""Where a request ends, however its bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service1_api.framing import MAX_HEAD_BYTES, Framing, Progress

MAX_BODY_BYTES = 100
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def progress_of(received: bytes) -> Progress:
    return Framing(MAX_BODY_BYTES).progress(bytearray(received))


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: 0\r\n\r\n",
        POST + b"content-length:5 \r\n\r\nhello",
        POST + b"Content-Length: 100\r\n\r\n" + b"a" * 100,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: Chunked\r\n\r\n5;x=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
    ],
)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes: bytes) -> None:
    framing, received = Framing(MAX_BODY_BYTES), bytearray()
    for byte in request_bytes[:-1]:
        received.append(byte)
        assert framing.progress(received) in (Progress.HEAD, Progress.BODY)
    received.append(request_bytes[-1])
    assert framing.progress(received) is Progress.WHOLE
    assert framing.progress(received + b"GET /next") is Progress.WHOLE


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: +5\r\n\r\n",
        POST + b"Content-Length: 5, 5\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"a" * 300,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nT: " + b"a" * 9000,
    ],
)
def test_what_no_parser_should_take_is_not_waited_for(request_bytes: bytes) -> None:
    assert progress_of(request_bytes) is Progress.UNREADABLE


@pytest.mark.parametrize(
    ("request_bytes", "progress"),
    [
        (POST + b"Content-Length: 101\r\n\r\n", Progress.BODY_TOO_LARGE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n", Progress.CHUNKS_TOO_LARGE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 40, Progress.CHUNKS_TOO_LARGE),
        (POST + b"X: " + b"a" * MAX_HEAD_BYTES, Progress.HEAD_TOO_LARGE),
        (POST + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", Progress.HEAD_TOO_LARGE),
    ],
)
def test_what_is_too_large_is_seen_early(request_bytes: bytes, progress: Progress) -> None:
    assert progress_of(request_bytes) is progress


@pytest.mark.parametrize(("header", "expects"), [(b"Expect: 100-continue\r\n", True), (b"X-Expect: no\r\n", False)])
def test_a_client_that_expects_to_be_told_is_noticed(header: bytes, expects: bool) -> None:
    framing = Framing(MAX_BODY_BYTES)
    assert framing.progress(bytearray(POST + header + b"Content-Length: 5\r\n\r\n")) is Progress.BODY
    assert framing.expects_continue is expects


@given(st.binary(max_size=300), st.integers(0, 300))
def test_bytes_of_any_kind_cut_anywhere_give_the_same_answer(noise: bytes, cut: int) -> None:
    received = POST + b"Transfer-Encoding: chunked\r\n\r\n" + noise
    framing, head = Framing(MAX_BODY_BYTES), bytearray(received[:cut])
    first = framing.progress(head)
    if first in (Progress.HEAD, Progress.BODY):
        assert framing.progress(bytearray(received)) is progress_of(received)
