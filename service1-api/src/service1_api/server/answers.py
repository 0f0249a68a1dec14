"""How responses are written: the application's, and the server's own rejections as problem details (RFC 9457)."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson
from waitress.task import ErrorTask, WSGITask  # type: ignore[import-untyped]

from pillarbox import trace
from service1_api.problems import PROBLEM_MEDIA_TYPE, Problem, problem_document, problem_headers

_WAITRESS_CODES = {400: "malformed_request", 413: "too_large", 431: "headers_too_large", 501: "malformed_request"}

log = logging.getLogger(__name__)


Report: TypeAlias = Callable[[Problem, str, Mapping[str, Any]], None]  # the problem, its trace id, the environ


class _OneSend:
    """Sends the head of a response together with its body: one system call instead of two."""

    def write(self: Any, data: bytes) -> None:
        """Write a part of the body; the first part includes the head."""
        if self.wrote_header or self.content_length is None or not self.has_body:
            super().write(data)  # type: ignore[misc]  # of a waitress task
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)


class ApplicationAnswer(_OneSend, WSGITask):  # type: ignore[misc]  # waitress's classes are untyped
    """A response of the WSGI application. While the worker stops, it is the last one on its connection."""

    def execute(self) -> None:
        """Run the application."""
        if self.channel.connections.stopping:
            self.set_close_on_finish()
        super().execute()


class RefusalAnswer(_OneSend, ErrorTask):  # type: ignore[misc]  # waitress's classes are untyped
    """The response to a request that is rejected before the application; it closes the connection."""

    def execute(self) -> None:
        """Write the problem, count it and log it."""
        request = self.request
        environ = {"REMOTE_ADDR": self.channel.addr[0]} | {
            f"HTTP_{name}": value for name, value in request.headers.items()
        }
        given = environ.get("HTTP_TRACEPARENT")
        trace_id = trace.trace_id((given and trace.parse(given)) or trace.new_traceparent())
        problem = getattr(request, "problem", None) or _problem_of(request.error)
        body = orjson.dumps(problem_document(problem) | {"trace_id": trace_id})
        self.status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
        self.response_headers.extend([("Content-Type", PROBLEM_MEDIA_TYPE), *problem_headers(problem).items()])
        self.set_close_on_finish()
        self.content_length = len(body)
        report: Report = self.channel.connections.report
        report(problem, trace_id, environ)
        self.write(body)


def _problem_of(error: Any) -> Problem:
    """Return the problem for an error of waitress, without its text, which may quote the input."""
    code = _WAITRESS_CODES.get(error.code, "internal_error")
    if code == "internal_error":
        log.error("request failed in the server")
        return Problem(code, "the server failed to answer the request")
    return Problem(code, "the request is not valid HTTP/1.1")
