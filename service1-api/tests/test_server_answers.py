"""How responses are written: in one send, closing when the worker stops, and a problem for each rejection."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.utilities import BadRequest, InternalServerError  # type: ignore[import-untyped]

from service1_api.problems import Problem
from service1_api.server.answers import ApplicationAnswer, RefusalAnswer

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class FakeChannel:
    """A connection that keeps what is written and reported."""

    def __init__(self, *, stopping: bool = False) -> None:
        self.addr = ("192.0.2.1", 50_000)
        self.adj = SimpleNamespace(log_socket_errors=True)
        self.server = SimpleNamespace(adj=SimpleNamespace(ident=""))
        self.connections = SimpleNamespace(stopping=stopping, report=self.report)
        self.sent: list[bytes] = []
        self.reported: list[tuple[str, str, Mapping[str, Any]]] = []

    def write_soon(self, data: bytes) -> None:
        self.sent.append(data)

    def report(self, problem: Problem, trace_id: str, environ: Mapping[str, Any]) -> None:
        self.reported.append((problem.code, trace_id, environ))


def refused(error: object, problem: Problem | None = None, **headers: str) -> tuple[FakeChannel, dict[str, Any], str]:
    """Return the channel, the problem document and the head of the response to a rejected request."""
    channel = FakeChannel()
    request = SimpleNamespace(version="1.1", headers=headers, error=error, problem=problem)
    answer = RefusalAnswer(channel, request)
    answer.service()
    assert answer.close_on_finish
    (sent,) = channel.sent
    head, _, body = sent.partition(b"\r\n\r\n")
    return channel, json.loads(body), head.decode()


class Answer(ApplicationAnswer):
    """A response whose application needs no environment."""

    def get_environment(self) -> dict[str, Any]:
        return {}


def answered(channel: FakeChannel, *parts: bytes, length: int) -> None:
    def application(_environ: object, start_response: Any) -> tuple[bytes, ...]:
        start_response("200 OK", [("Content-Length", str(length))])
        return parts

    channel.server.application = application
    Answer(channel, SimpleNamespace(version="1.1", headers={}, command="GET")).service()


def test_head_and_body_are_sent_together() -> None:
    channel = FakeChannel()
    answered(channel, b"ok", length=2)
    (sent,) = channel.sent
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\nok")


def test_later_parts_of_a_body_are_sent_without_the_head() -> None:
    channel = FakeChannel()
    answered(channel, b"first", b"second", length=11)
    assert channel.sent[0].endswith(b"\r\n\r\nfirst")
    assert channel.sent[1:] == [b"second"]


@pytest.mark.parametrize("stopping", [True, False])
def test_response_of_a_stopping_worker_closes_the_connection(stopping: bool) -> None:
    channel = FakeChannel(stopping=stopping)
    answered(channel, b"ok", length=2)
    assert (b"Connection: close" in channel.sent[0]) is stopping


def test_refusal_is_a_problem_with_the_trace_of_the_request() -> None:
    channel, document, head = refused(None, Problem("too_large", "a body"), TRACEPARENT=TRACEPARENT)
    assert head.startswith("HTTP/1.1 413 ")
    assert {"Content-Type: application/problem+json", "Connection: close"} <= set(head.split("\r\n"))
    assert (document["code"], document["detail"]) == ("too_large", "a body")
    assert document["trace_id"] == TRACEPARENT[3:35]
    (report,) = channel.reported
    assert report[:2] == ("too_large", TRACEPARENT[3:35])
    assert report[2]["REMOTE_ADDR"] == "192.0.2.1"


def test_refusal_without_a_valid_trace_starts_a_new_one() -> None:
    ids = {refused(None, Problem("too_large", "a body"), TRACEPARENT="unknown")[1]["trace_id"] for _ in range(2)}
    assert len(ids) == 2


def test_refusal_has_the_headers_of_its_status() -> None:
    assert "Retry-After: 1" in refused(None, Problem("overloaded", "busy"))[2].split("\r\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadRequest("GET /secret"), "malformed_request", "the request is not valid"),
        (InternalServerError("a secret"), "internal_error", "the server failed"),
    ],
)
def test_errors_of_waitress_become_problems_without_their_text(error: object, code: str, said: str) -> None:
    _, document, head = refused(error)
    assert (document["code"], document["detail"].startswith(said)) == (code, True)
    assert "secret" not in f"{document}{head}"
