"""Where an HTTP/1.1 request ends (RFC 9112), found as its bytes arrive. Pure: no I/O.

This decides only when a request is whole; gunicorn's parser, which sees the same bytes, decides what it means.
"""

import re
from enum import Enum

MAX_HEAD_BYTES = 32 * 1024
_MAX_CHUNK_LINE_BYTES = 256
_MAX_TRAILER_BYTES = 8 * 1024

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_CHUNK_LINE = re.compile(rb"([0-9a-f]{1,8})[ \t]*(?:;.*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Progress(Enum):
    """What is known of a request that is arriving."""

    HEAD = "the head has not ended"
    BODY = "the body has not ended"
    WHOLE = "the request is whole"
    UNREADABLE = "the request is whole, or whatever follows is not worth waiting for: the parser will refuse it"
    BODY_TOO_LARGE = "the declared body is past the limit"
    CHUNKS_TOO_LARGE = "the chunks so far are past the limit"
    HEAD_TOO_LARGE = "the head is past the limit"


class Framing:
    """Follows one request: call `progress` with all of its bytes whenever more have come."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._scanned = 0
        self._body_at = 0
        self._end: int | None = None  # where the request ends; None: chunked
        self._chunk_at = 0
        self.expects_continue = False

    def progress(self, received: bytearray) -> Progress:
        """Say how far the request has come."""
        if not self._body_at:
            head_end = received.find(b"\r\n\r\n", max(0, self._scanned - 3))
            self._scanned = len(received)
            if head_end > MAX_HEAD_BYTES or (head_end < 0 and self._scanned > MAX_HEAD_BYTES):
                return Progress.HEAD_TOO_LARGE
            if head_end < 0:
                return Progress.HEAD
            refusal = self._read_head(bytes(received[: head_end + 4]).lower())
            if refusal:
                return refusal
        if self._end is None:
            return self._chunks(received)
        return Progress.WHOLE if len(received) >= self._end else Progress.BODY

    def _read_head(self, head: bytes) -> Progress | None:
        self._body_at = self._chunk_at = len(head)
        self.expects_continue = b"\r\nexpect:" in head
        lengths, codings = _CONTENT_LENGTH.findall(head), _TRANSFER_ENCODING.findall(head)
        if codings:
            return None if codings == [b"chunked"] and not lengths else Progress.UNREADABLE
        if not lengths:
            self._end = self._body_at
            return None
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            return Progress.UNREADABLE
        if int(lengths[0]) > self._max_body_bytes:
            return Progress.BODY_TOO_LARGE
        self._end = self._body_at + int(lengths[0])
        return None

    def _chunks(self, received: bytearray) -> Progress:
        while True:
            line_end = received.find(b"\r\n", self._chunk_at, self._chunk_at + _MAX_CHUNK_LINE_BYTES)
            if line_end < 0:
                too_long = len(received) - self._chunk_at >= _MAX_CHUNK_LINE_BYTES
                return Progress.UNREADABLE if too_long else Progress.BODY
            line = _CHUNK_LINE.fullmatch(received, self._chunk_at, line_end)
            if not line:
                return Progress.UNREADABLE
            size = int(line[1], 16)
            if size == 0:
                return self._trailers(received, line_end)
            next_at = line_end + 2 + size + 2
            if next_at - self._body_at > self._max_body_bytes * 2:  # chunk lines count too: tiny chunks are no way out
                return Progress.CHUNKS_TOO_LARGE
            if next_at > len(received):
                return Progress.BODY
            self._chunk_at = next_at

    def _trailers(self, received: bytearray, line_end: int) -> Progress:
        if received.find(b"\r\n\r\n", line_end, line_end + _MAX_TRAILER_BYTES) >= 0:
            return Progress.WHOLE
        return Progress.UNREADABLE if len(received) - line_end >= _MAX_TRAILER_BYTES else Progress.BODY
