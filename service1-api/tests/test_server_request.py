"""A request received in pieces: where it ends, what it holds, and what ends it early."""

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]

from service1_api.problems import Problem
from service1_api.server.budget import Budget
from service1_api.server.head import MAX_HEAD_BYTES
from service1_api.server.request import Request

HEAD = b"POST /api/message HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MAX_BODY_BYTES = 100_000


def new_request(budget: Budget | None = None) -> Request:
    adjustments = Adjustments(max_request_header_size=MAX_HEAD_BYTES, sockets=[])
    return Request(adjustments, MAX_BODY_BYTES, budget or Budget(10**9))


def outcome(data: bytes, *cuts: int) -> tuple[Any, ...]:
    """Return the outcome of the first request that is not only blank lines, received in pieces between the cuts."""
    request = new_request()
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        piece = data[start:end]
        while piece and not request.completed:
            piece = piece[request.received(piece) :]
            if request.empty:
                request = new_request()
        if request.completed:
            request.read_ahead += piece
    refused = request.error is not None
    body = b"" if refused or not request.completed else request.get_body_stream().read()
    return request.completed, refused, request.problem and request.problem.code, body, refused or request.read_ahead


@pytest.mark.parametrize(
    ("data", "body", "read_ahead"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"", b"GET /"),
        (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello", b""),
        (HEAD + b"Content-Length: 5\r\n\r\nhelloGET /", b"hello", b"GET /"),
        (HEAD + b"Content-Length: 0000000005\r\n\r\nhello", b"hello", b""),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\nGET /", b"hello", b"GET /"),
        (CHUNKED + b"5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\nGET /", b"hello", b"GET /"),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\nGET /", b"", b"GET /"),
    ],
)
def test_request_ends_at_its_last_byte_and_keeps_the_rest_as_read_ahead(
    data: bytes, body: bytes, read_ahead: bytes
) -> None:
    assert outcome(data) == (True, False, None, body, read_ahead)
    for cut in range(1, len(data)):
        assert outcome(data, cut) == (True, False, None, body, read_ahead)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HEAD + b"Content-Length: 100001\r\nExpect: 100-continue\r\n\r\n", "too_large"),
        (CHUNKED + b"FFFFFFF\r\n", "too_large"),
        (CHUNKED + b"123456789\r\n", "too_large"),
        (CHUNKED + b"1\r\na\r\n" * 20_000, "too_large"),
        (CHUNKED + b"1;" + b"a" * 70_000, "too_large"),
        (CHUNKED + b"0\r\nA: " + b"a" * 70_000, "too_large"),
        (CHUNKED + b"ZZ\r\n", None),
        (CHUNKED + b"5\r\nhello!\r\n", None),
        (HEAD + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n", None),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (HEAD + b"Name : x\r\n\r\n", None),
        (HEAD + b"\r\n"[:0] + b": x\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES, None),
    ],
)
def test_invalid_request_is_refused_as_early_as_possible(data: bytes, code: str | None) -> None:
    completed, refused, found, _, _ = outcome(data)
    assert (completed, refused, found) == (True, True, code)


def test_completed_request_expects_no_continue() -> None:
    request = new_request()
    request.received(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}")
    assert request.completed
    assert not request.expect_continue


def test_request_reports_that_it_expects_100_continue() -> None:
    request = new_request()
    request.received(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (request.completed, request.expect_continue) == (False, True)


def test_http_1_0_gets_no_100_continue() -> None:
    request = new_request()
    request.received(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (request.completed, request.expect_continue) == (False, False)


def test_many_small_chunks_take_linear_time() -> None:
    data = CHUNKED + b"28\r\n" + b"a" * 40 + b"\r\n"
    data += (b"28\r\n" + b"a" * 40 + b"\r\n") * 2_000 + b"0\r\n\r\n"
    began = time.monotonic()
    assert outcome(data)[:3] == (True, False, None)
    assert time.monotonic() - began < 5


def test_body_counts_in_the_budget_until_the_request_is_closed() -> None:
    budget = Budget(1000)
    request = new_request(budget)
    request.hold(900)
    assert not budget.has_room(0, 200)
    request.close()
    request.close()
    assert budget.has_room(0, 1000)


def test_large_requests_leave_a_quarter_of_the_budget_to_small_ones() -> None:
    budget = Budget(1_000_000)
    budget.take(700_000)
    assert not budget.has_room(600_000, 100_000)
    assert budget.has_room(0, 50_000)


def test_body_that_cannot_be_buffered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        remain = 5

        def __len__(self) -> int:
            return 0

        def received(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    request = new_request()
    request.received(HEAD + b"Content-Length: 5\r\n\r\n")
    request.body_rcv = Full()
    request.received(b"hello")
    assert isinstance(request.error, Problem)
    assert request.error.code == "overloaded"


NOISE = st.lists(
    st.sampled_from(
        [
            b"POST / HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
            b"\r\n", b"\n", b"\r", b" ", b":", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b"A: b\r\n", b"\x00", b"\xff",
            b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"GET http://[ HTTP/1.1\r\n", b"1.0",
        ]
    ),
    max_size=14,
).map(b"".join)  # fmt: skip


@given(NOISE, st.lists(st.integers(0, 300), max_size=4))
def test_arbitrary_bytes_split_anywhere_have_the_same_outcome(noise: bytes, cuts: list[int]) -> None:
    assert outcome(noise, *(min(cut, len(noise)) for cut in cuts)) == outcome(noise)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing(noise: bytes) -> None:
    new_request().received(CHUNKED + noise) if noise else None
    new_request().received(noise + b"\r\n\r\n")
