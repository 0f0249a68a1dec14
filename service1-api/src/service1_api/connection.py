"""One client connection of the worker: the bytes of the request that is arriving on it, and what it may take."""

import socket
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from service1_api.errors import PROBLEM_MEDIA_TYPE, Problem, problem_document, problem_headers
from service1_api.framing import Framing


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
        self.init()  # makes the parser
        self.expect_request()

    def expect_request(self) -> None:
        """Forget the last request."""
        self.sock.setblocking(False)
        self.received = bytearray()
        self.began = 0.0
        self.framing = Framing(self._max_body_bytes)
        self.body_left_unread = False
        self.told_to_continue = False


def closing_response(problem: Problem) -> bytes:
    """Give a problem as a whole HTTP/1.1 response, after which the connection closes."""
    body = orjson.dumps(problem_document(problem))
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in (headers | problem_headers(problem)).items()]
    head = "\r\n".join([f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}", *lines])
    return head.encode() + b"\r\n\r\n" + body
