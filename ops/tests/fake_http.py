"""An HTTP server of a test, in this process, that gives the replies that it was told to."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = tuple[int, bytes, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeServer:
    """Gives `replies` one after the other, the last one again and again, or what `answer` returns."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    answer: Callable[[Request], Reply] | None = None
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, request: Request) -> Reply:
        """Return the reply to a request."""
        with self._lock:
            self.requests.append(request)
            if self.answer:
                return self.answer(request)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # of connections; a system that refuses one tries again after a second


@contextmanager
def serving() -> Iterator[FakeServer]:
    """Yield a server on a free port of 127.0.0.1."""
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write for a reply: the client's system acknowledges the first of two after 40 ms

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content, headers = fake.reply(Request(self.command, self.path, dict(self.headers), body))
            if status == 0:  # no reply at all: the connection is lost
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _handle  # noqa: N815  the names that the library calls

        def log_message(self, *_arguments: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
