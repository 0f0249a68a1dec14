"""A proxy that injects faults into some requests: errors, delays, resets, lost answers."""

import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HANG_SECONDS = 2.0  # longer than the deadline of one request in these tests

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class FaultProxy(ThreadingHTTPServer):
    """Forwards to `target`; `faults` has, for `sqs` and `s3`, the probability of each kind of fault.

    Kinds: `500` and `503` answer with that status without forwarding; `reset` closes without forwarding; `lost`
    forwards and closes instead of answering; `garbage` forwards and answers with invalid HTTP; `bare` forwards and
    removes the metadata; `hang` sends nothing for longer than any client waits, then closes.
    A path that contains one of `refused` is always answered with 500.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, seed: int) -> None:
        self.target = urlsplit(target).netloc
        self.faults: dict[str, dict[str, float]] = {"sqs": {}, "s3": {}}
        self.injected: dict[str, int] = {}
        self.refused: set[str] = set()
        self._chance = random.Random(seed)  # noqa: S311  # a reproducible test, no secret
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def fault_of(self, service: str) -> str:
        """Choose the fault of one request; the empty string means none."""
        with self._lock:
            drawn = self._chance.random()
            for kind, chance in self.faults[service].items():
                drawn -= chance
                if drawn < 0:
                    self.injected[f"{service} {kind}"] = self.injected.get(f"{service} {kind}", 0) + 1
                    return kind
        return ""

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: these tests kill clients during requests."""

    def close(self) -> None:
        """Stop."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.server.target, timeout=60)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fault = self.server.fault_of("sqs" if "x-amz-target" in self.headers else "s3")
        if any(part in self.path for part in self.server.refused):
            fault = "500"
        if fault in ("500", "503"):
            self._answer(int(fault), [], b"<Error><Code>Injected</Code></Error>")
            return
        if fault == "hang":
            threading.Event().wait(HANG_SECONDS)
        if fault in ("hang", "reset"):
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        self._upstream.request(self.command, self.path, body, headers)
        answer = self._upstream.getresponse()
        content = answer.read()
        if fault in ("lost", "garbage"):
            self.wfile.write(b"\x16\x03\x01 no HTTP\r\n\r\n" if fault == "garbage" else b"")
            self.close_connection = True
            return
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
        if fault == "bare":
            kept = [(name, value) for name, value in kept if not name.lower().startswith("x-amz-meta-")]
        self._answer(answer.status, kept, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:  # the names that http.server calls
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
