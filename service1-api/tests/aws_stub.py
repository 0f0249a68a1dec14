"""SQS and SSM over real sockets, in this process, that fail on demand, which moto does not support."""

import contextlib
import hashlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .fakes import TOKEN

DROP = "drop"  # take the messages, then cut the connection instead of answering


@dataclass(frozen=True)
class Request:
    """One received request."""

    line: str
    headers: Message
    body: bytes


class AwsStub:
    """Answers SendMessageBatch and GetParameter; `sqs` and `ssm` decide the result of a call."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.delay_seconds = 0.0
        # None: succeed; DROP; or an HTTP status and an error code
        self.sqs: Callable[[], tuple[int, str] | str | None] = lambda: None
        self.ssm: Callable[[], tuple[int, str] | None] = lambda: None
        self.messages: Counter[str] = Counter()  # message id → how often it is in the queue
        self.calls: Counter[str] = Counter()
        self.requests: deque[Request] = deque(maxlen=10)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Return status and body; None closes the connection without an answer."""
        with self._lock:
            self.calls[target] += 1
        if target == "GetParameter":
            fault = self.ssm()
            return _error(*fault) if fault else (200, {"Parameter": {"Name": request["Name"], "Value": self.token}})
        time.sleep(self.delay_seconds)
        outcome = self.sqs()
        if isinstance(outcome, tuple):
            return _error(*outcome)
        entries = request["Entries"]
        with self._lock:
            self.messages.update(e["MessageAttributes"]["message_id"]["StringValue"] for e in entries)
        return None if outcome == DROP else (200, {"Successful": [_confirmed(entry) for entry in entries]})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.requests.append(Request(self.requestline, self.headers, body))
                answer = stub.answer(self.headers["X-Amz-Target"].rpartition(".")[2], json.loads(body))
                if answer is None:
                    self.close_connection = True
                    return
                reply = json.dumps(answer[1]).encode()
                head = f"HTTP/1.1 {answer[0]} X\r\nContent-Type: application/x-amz-json-1.0\r\n"
                with contextlib.suppress(OSError):  # a client that timed out has gone
                    self.wfile.write(f"{head}Content-Length: {len(reply)}\r\n\r\n".encode() + reply)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
                """Log nothing."""

        return Handler


def _error(status: int, code: str) -> tuple[int, dict[str, Any]]:
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": "on demand"}


def _confirmed(entry: dict[str, Any]) -> dict[str, str]:
    digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": digest, "MD5OfMessageBody": digest}
