"""Checks the head of an HTTP/1.x request before waitress parses it. Pure: no I/O.

waitress accepts some heads that a proxy in front may read differently (request smuggling), and some of its patterns
take quadratic time on long white space. Every check here takes linear time.
"""

import re

from service1_api.problems import Problem

MAX_HEAD_BYTES = 32 * 1024
MAX_REQUEST_LINE_BYTES = 4094
MAX_FIELDS = 64
MAX_FIELD_BYTES = 8190

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LONG_WHITE_SPACE = re.compile(rb"[ \t]{64}")
_REQUEST_LINE = re.compile(rb"([^ ]+ [^ ]+ HTTP/1\.)([0-9])")
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:([^\r]*)", re.IGNORECASE)
_LENGTH = re.compile(r"0*[0-9]{1,18}")
_HOST = re.compile(r"[^\s,/?#@\\]*")


def checked(head: bytes) -> bytes:
    """Return a whole head (RFC 9112, 2.1) with its version normalized to 1.0 or 1.1. Raise Problem."""
    request_line, _, fields = head.partition(b"\r\n")
    if len(request_line) > MAX_REQUEST_LINE_BYTES:
        raise Problem("uri_too_long", f"a request line is at most {MAX_REQUEST_LINE_BYTES} bytes")
    if fields.count(b"\r\n") - 1 > MAX_FIELDS:
        raise Problem("headers_too_large", f"a request has at most {MAX_FIELDS} headers")
    if len(fields) > MAX_FIELD_BYTES and max(map(len, fields.split(b"\r\n"))) > MAX_FIELD_BYTES:
        raise Problem("headers_too_large", f"a header is at most {MAX_FIELD_BYTES} bytes")
    if _CONTROL.search(head.replace(b"\r\n", b"")):
        raise Problem("malformed_request", "the head contains a control character")
    if fields.startswith((b" ", b"\t")) or b"\r\n " in fields or b"\r\n\t" in fields:
        raise Problem("malformed_request", "a header is folded over several lines")
    if _LONG_WHITE_SPACE.search(head):
        raise Problem("malformed_request", "the head contains 64 or more white space characters in a row")
    parts = _REQUEST_LINE.fullmatch(request_line)
    if not parts:
        raise Problem("malformed_request", "the request line is not valid HTTP/1.1")
    version = b"0" if parts[2] == b"0" else b"1"  # a later minor version is answered as 1.1 (RFC 9110, 2.5)
    _check_transfer_encoding(head, version)
    return parts[1] + version + b"\r\n" + fields


def _check_transfer_encoding(head: bytes, version: bytes) -> None:
    """Accept chunked alone, once, and without a Content-Length (RFC 9112, 6.1)."""
    if b"transfer-encoding" not in head.lower():
        return
    codings = _TRANSFER_ENCODING.findall(head)
    if not codings:
        return
    if [coding.strip(b" \t").lower() for coding in codings] != [b"chunked"]:
        raise Problem("malformed_request", "the Transfer-Encoding must be chunked and appear once")
    if version == b"0" or b"\r\ncontent-length:" in head.lower():
        raise Problem("malformed_request", "chunked requires HTTP/1.1 and no Content-Length")


def check_fields(version: str, headers: dict[str, str]) -> None:
    """Check the fields that waitress has parsed (upper case, `_` for `-`, repeated ones joined). Raise Problem."""
    host = headers.get("HOST")
    if version == "1.1" and host is None:
        raise Problem("malformed_request", "HTTP/1.1 requires a Host header")
    if host is not None and not _HOST.fullmatch(host):
        raise Problem("malformed_request", "the Host header is invalid or repeated")
    length = headers.get("CONTENT_LENGTH")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Problem("malformed_request", "the Content-Length is invalid or repeated")
    if version == "1.1" and headers.get("EXPECT", "100-continue").lower() != "100-continue":
        raise Problem("expectation_failed", "the only supported expectation is 100-continue")


def connection_option(connection: str, version: str) -> str:
    """Return the one option of a Connection header that waitress must see: `close`, `keep-alive` or none."""
    options = {option.strip(" \t").lower() for option in connection.split(",")}
    if "close" in options:
        return "close"
    return "keep-alive" if version == "1.0" and "keep-alive" in options else ""
