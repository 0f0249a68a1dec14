"""The checks of a request's head: what is passed to waitress, and what is refused."""

import time

import pytest

from service1_api.problems import Problem
from service1_api.server.head import (
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    check_fields,
    checked,
    connection_option,
)

LINE = b"POST /api/message HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"Host: x\r\n\r\n",
        LINE + b"\r\n",
        LINE + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        LINE + b"Host: x\r\nTransfer-Encoding:\t Chunked \r\n\r\n",
        LINE + b"Host: x\r\nX-Transfer-Encoding: gzip\r\n\r\n",
        LINE + b"A: 1\r\n" * MAX_FIELDS + b"\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\n",  # waitress parses this instead of a head that is too large
    ],
)
def test_plain_head_passes_unchanged(head: bytes) -> None:
    assert checked(head) == head


@pytest.mark.parametrize("minor", [b"2", b"9"])
def test_later_minor_version_is_read_as_1_1(minor: bytes) -> None:
    assert checked(b"GET / HTTP/1." + minor + b"\r\nHost: x\r\n\r\n") == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"GET /\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/2.0\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.10\r\n\r\n", "malformed_request"),
        (b"GET  / HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"GET / x HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", "uri_too_long"),
        (LINE + b"A: 1\r\n" * (MAX_FIELDS + 1) + b"\r\n", "headers_too_large"),
        (LINE + b"A: " + b"a" * MAX_FIELD_BYTES + b"\r\n\r\n", "headers_too_large"),
        (LINE + b"A: 1\r\n 2\r\n\r\n", "malformed_request"),
        (LINE + b" A: 1\r\n\r\n", "malformed_request"),
        (LINE + b"A: 1\r\n\tTransfer-Encoding: chunked\r\n\r\n", "malformed_request"),
        (LINE + b"A: 1\nB: 2\r\n\r\n", "malformed_request"),
        (LINE + b"A: 1\rB: 2\r\n\r\n", "malformed_request"),
        (LINE + b"A: \x00\r\n\r\n", "malformed_request"),
        (LINE + b"A: \x0b\r\n\r\n", "malformed_request"),
        (LINE + b"A:" + b" " * 4000 + b"a\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: gzip\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: chunked, chunked\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding:\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: chunked,\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: \xc3\xa7hunked\r\n\r\n", "malformed_request"),
        (LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "malformed_request"),
        (LINE + b"content-length: 5\r\nTRANSFER-ENCODING: chunked\r\n\r\n", "malformed_request"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed_request"),
    ],
)
def test_ambiguous_head_is_refused(head: bytes, code: str) -> None:
    with pytest.raises(Problem) as refused:
        checked(head)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "malformed_request"),
        ({"HOST": "a, b"}, "malformed_request"),
        ({"HOST": "a b"}, "malformed_request"),
        ({"HOST": "x", "CONTENT_LENGTH": "5, 5"}, "malformed_request"),
        ({"HOST": "x", "CONTENT_LENGTH": "+5"}, "malformed_request"),
        ({"HOST": "x", "CONTENT_LENGTH": "1" * 19}, "malformed_request"),
        ({"HOST": "x", "CONTENT_LENGTH": ""}, "malformed_request"),
        ({"HOST": "x", "EXPECT": "200-ok"}, "expectation_failed"),
        ({"HOST": "x", "EXPECT": "100-continue, 100-continue"}, "expectation_failed"),
    ],
)
def test_invalid_fields_are_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Problem) as refused:
        check_fields("1.1", headers)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", {"HOST": ""}),
        ("1.1", {"HOST": "[2001:db8::1]:8080", "EXPECT": "100-Continue"}),
        ("1.1", {"HOST": "x", "CONTENT_LENGTH": "0" * 20 + "500"}),
        ("1.0", {}),
        ("1.0", {"EXPECT": "anything"}),
    ],
)
def test_valid_fields_pass(version: str, headers: dict[str, str]) -> None:
    check_fields(version, headers)


@pytest.mark.parametrize(
    ("header", "version", "option"),
    [
        ("close", "1.1", "close"),
        ("TE, Close", "1.1", "close"),
        ("keep-alive, close", "1.0", "close"),
        ("Keep-Alive, TE", "1.0", "keep-alive"),
        ("keep-alive", "1.1", ""),
        ("", "1.0", ""),
    ],
)
def test_connection_header_is_read_as_a_list(header: str, version: str, option: str) -> None:
    assert connection_option(header, version) == option


@pytest.mark.parametrize(
    "filling", [b" ", b"\t", b"a", b"a ", b":", b"\r\nA:", b"0", b"\xff", b"\r\nTransfer-Encoding: chunked"]
)
def test_largest_head_is_checked_in_linear_time(filling: bytes) -> None:
    """In quadratic time this head would take minutes."""
    head = LINE + b"Content-Length:" + (filling * MAX_HEAD_BYTES)[:MAX_HEAD_BYTES] + b"\n\r\n\r\n"
    began = time.monotonic()
    with pytest.raises(Problem):
        checked(head)
    assert time.monotonic() - began < 5
