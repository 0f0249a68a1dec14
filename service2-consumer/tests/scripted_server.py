"""An HTTP server that sends the answers of a test and records the requests."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, s3_code: str = "", headers: dict[str, str] | None = None) -> Reply:
    """Return a reply in the form of S3."""
    return answer(code, f"<Error><Code>{s3_code}</Code></Error>" if s3_code else "", headers)


def answer(code: int, text: str, headers: dict[str, str] | None = None) -> Reply:
    """Return a reply with a text."""
    body = text.encode()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"ETag": '"e"', "Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return reply


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    handler.server.released.wait(10)  # type: ignore[attr-defined]
    handler.close_connection = True


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


class ScriptedServer(ThreadingHTTPServer):
    """Answers by method and records the requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {"PUT": [], "GET": [], "HEAD": [], "POST": []}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Told)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Told(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        server = self.server
        assert isinstance(server, ScriptedServer)
        server.asked.append((self.command, self.path, dict(self.headers)))
        server.replies[self.command].pop(0)(self)

    def do_PUT(self) -> None:  # the name that http.server calls
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
