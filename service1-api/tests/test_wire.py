"""What service1_api.wire changes of gunicorn: fewer calls for the same bytes and the same answers."""

import socket
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from service1_api.wire import HeadWithBody, PlainParser, freeze, in_one_send

HEAD = b"POST / HTTP/1.1\r\nHost: api\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: api\r\n\r\n"


class RecordingSocket:
    """Keeps what is sent, a piece for each call."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def shutdown(self, _how: int) -> None:
        self.sent.append(b"(shut)")


class UntouchableSocket:
    """Fails the test that reads from it or changes it."""

    def recv(self, _size: int) -> bytes:
        raise AssertionError("the parser asked the connection for more")

    def gettimeout(self) -> float:
        raise AssertionError("the parser changed the connection")

    settimeout = recv


@pytest.fixture
def recording() -> RecordingSocket:
    return RecordingSocket()


@pytest.fixture
def sock(recording: RecordingSocket) -> Any:
    return HeadWithBody(recording)  # type: ignore[arg-type]  # as much of a socket as is used


def parser_of(data: bytes, sock: object, allowed: str = "") -> PlainParser:
    cfg = Config()
    cfg.set("forwarded_allow_ips", allowed)
    parser = PlainParser(cfg, sock, ("127.0.0.1", 50000))
    parser.unreader.unread(data)
    return parser


def test_the_head_leaves_with_the_first_of_the_body_and_the_rest_as_it_comes(
    recording: RecordingSocket, sock: Any
) -> None:
    for piece in (b"head", b"one", b"two"):
        sock.sendall(piece)
    assert recording.sent == [b"headone", b"two"]


def test_a_head_without_a_body_leaves_when_flushed_and_once(recording: RecordingSocket, sock: Any) -> None:
    sock.sendall(b"head")
    sock.flush()
    sock.flush()
    assert recording.sent == [b"head"]


def test_nothing_overtakes_a_head_that_is_kept(recording: RecordingSocket, sock: Any) -> None:
    sock.sendall(b"head")
    sock.shutdown(socket.SHUT_WR)
    assert recording.sent == [b"head", b"(shut)"]


@pytest.mark.parametrize("body", [[], [b"body"]])
def test_a_whole_answer_is_one_send_and_its_verdict_is_passed_on(recording: RecordingSocket, body: list[bytes]) -> None:
    class Conn:
        sock, client, server = recording, ("127.0.0.1", 1), ("127.0.0.1", 2)

    def handle(req: Any, conn: Any) -> object:
        for piece in (b"head", *body):
            conn.sock.sendall(piece)
        return (req, conn.client, conn.server)

    assert in_one_send(handle, "request", Conn) == ("request", Conn.client, Conn.server)
    assert recording.sent == [b"".join([b"head", *body])]


def test_frozen_settings_read_as_before() -> None:
    cfg = Config()
    cfg.set("sendfile", False)  # a setting that a property of the same name reads
    cfg.set("keepalive", 75)
    before = {name: getattr(cfg, name) for name in cfg.settings if name != "logger_class"}
    freeze(cfg)
    assert {name: getattr(cfg, name) for name in before} == before
    assert vars(cfg)["keepalive"] == 75


@pytest.mark.parametrize("head", [NEXT, HEAD + b"Content-Length: 4\r\n\r\nbody"])
def test_a_body_that_was_read_whole_is_not_drained(head: bytes) -> None:
    parser = parser_of(head + NEXT, UntouchableSocket())
    next(parser).body.read()
    assert parser.finish_body(deadline=0.0)
    assert next(parser).path == "/next"


@pytest.mark.parametrize(
    "body", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("read", [0, 2])
def test_a_body_that_was_left_is_drained_before_the_next_request(body: bytes, read: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parser = parser_of(HEAD + body + NEXT, ours)
        next(parser).body.read(read)
        assert next(parser).path == "/next"


def test_a_connection_whose_body_could_not_be_read_is_not_used_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parser = parser_of(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", ours)
        body = next(parser).body
        with pytest.raises(Exception, match="chunk size"):
            body.read()
        assert not parser.finish_body()


@pytest.mark.parametrize(("allowed", "scheme"), [("", "http"), ("10.0.0.1", "http"), ("127.0.0.1", "https")])
def test_only_a_proxy_that_is_trusted_says_the_scheme(allowed: str, scheme: str) -> None:
    parser = parser_of(HEAD + b"X-Forwarded-Proto: https\r\n\r\n", UntouchableSocket(), allowed)
    assert next(parser).scheme == scheme
