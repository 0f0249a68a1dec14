"""One client connection of the worker: the bytes of the request that is arriving on it, and what it may take."""

import logging
import socket
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from gunicorn.http import errors as http_errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from service1_api.errors import PROBLEM_MEDIA_TYPE, Problem, problem_document, problem_headers
from service1_api.framing import Framing
from service1_api.wire import PlainParser

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take: times in seconds, sizes in bytes."""

    head_seconds: float
    body_seconds: float
    max_body_bytes: int
    max_held_bytes: int


class Connection(TConn):  # type: ignore[misc]  # gunicorn's classes are untyped
    """A connection and the bytes of the request that is arriving on it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, max_body_bytes: int) -> None:
        super().__init__(cfg, sock, client, server)
        self._max_body_bytes = max_body_bytes
        self.waits_in: deque[Connection] | None = None
        self.held_bytes = 0
        self.init()  # makes gunicorn's own parser, and the TLS that it may be set to
        self.parser = PlainParser(cfg, self.sock, client)
        self.expect_request()

    def expect_request(self) -> None:
        """Forget the last request."""
        self.sock.setblocking(False)
        self.received = bytearray()
        self.began = 0.0
        self.framing = Framing(self._max_body_bytes)
        self.body_left_unread = False
        self.told_to_continue = False


_CODES: tuple[tuple[type[Exception], str], ...] = (
    (http_errors.LimitRequestLine, "uri_too_long"),
    (http_errors.LimitRequestHeaders, "headers_too_large"),
    (http_errors.ParseException, "malformed_request"),
)


def problem_of(exc: Exception) -> Problem:
    """Give the problem for what gunicorn's parser raised; its text, which echoes the input, is left behind."""
    code = next((code for kind, code in _CODES if isinstance(exc, kind)), "internal_error")
    if code == "internal_error":
        log.error("request failed in the server", extra={"exception_type": type(exc).__name__})
    return Problem(code, "the request is not HTTP/1.1 as this server reads it")


def closing_response(problem: Problem) -> bytes:
    """Give a problem as a whole HTTP/1.1 response, after which the connection closes."""
    body = orjson.dumps(problem_document(problem))
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in (headers | problem_headers(problem)).items()]
    head = "\r\n".join([f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}", *lines])
    return head.encode() + b"\r\n\r\n" + body
