"""A collector that takes spans over OTLP and only counts them: `python -m bench.otlp_sink PORT`.

GET /counts returns {"requests": …, "bytes": …}.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink(ThreadingHTTPServer):
    """The server, and what it has taken."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.counts = {"requests": 0, "bytes": 0}
        self.counting = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:  # http.server calls this name
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.counting:
            self.server.counts["requests"] += 1
            self.server.counts["bytes"] += size
        self._answer(b"")

    def do_GET(self) -> None:  # http.server calls this name
        self._answer(json.dumps(self.server.counts).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        pass


if __name__ == "__main__":
    Sink(int(sys.argv[1])).serve_forever()
