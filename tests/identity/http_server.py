"""An HTTP server on a free port of 127.0.0.1, in threads of this process, for what stands in for AWS."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    """Serves from construction until `close`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that leave in the middle belong to these tests."""

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class Quiet(BaseHTTPRequestHandler):
    """Keeps connections and writes no log."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """Read the request's body."""
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def reply(self, status: int, text: str, content_type: str, headers: dict[str, str] | None = None) -> None:
        """Answer; a client that has gone is left alone."""
        content = text.encode()
        with contextlib.suppress(OSError):
            self.send_response_only(status)
            for name, value in {"Content-Type": content_type, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Keep quiet."""
