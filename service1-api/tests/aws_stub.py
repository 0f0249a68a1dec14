"""SQS, S3 and SSM over real sockets in this process. Unlike moto, they fail on demand."""

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
from urllib.parse import parse_qs

from .fakes import TOKEN

DROP = "drop"  # accept the messages, then close the connection instead of answering


@dataclass(frozen=True)
class Request:
    """One received request."""

    line: str
    headers: Message
    body: bytes


class AwsStub:
    """Answers SendMessageBatch, GetParameter, and PUT, LIST and HEAD of objects; `sqs`, `ssm`, `s3` decide how."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.delay_seconds = 0.0
        # None: succeed; DROP; or an HTTP status and an error code
        self.sqs: Callable[[], tuple[int, str] | str | None] = lambda: None
        self.ssm: Callable[[], tuple[int, str] | None] = lambda: None
        self.s3: Callable[[], tuple[int, str] | str | None] = lambda: None
        self.s3_delay_seconds = 0.0
        self.objects: dict[str, bytes] = {}  # by path: /bucket/key
        self.pointers: dict[str, dict[str, Any]] = {}  # message id → entry, of those with a number as an attribute
        self.messages: Counter[str] = Counter()  # message id → how often it is in the queue
        self.calls: Counter[str] = Counter()
        self.requests: deque[Request] = deque(maxlen=10)
        self._lock = threading.Lock()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

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
            for entry in entries:
                if any(attribute["DataType"] == "Number" for attribute in entry["MessageAttributes"].values()):
                    self.pointers[entry["MessageAttributes"]["message_id"]["StringValue"]] = entry
        return None if outcome == DROP else (200, {"Successful": [_confirmed(entry) for entry in entries]})

    def put(self, path: str, body: bytes, *, create: bool) -> tuple[int, str] | None:
        """Store an object; return a status and an error code, or None to close the connection without an answer."""
        with self._lock:
            self.calls["PutObject"] += 1
        time.sleep(self.s3_delay_seconds)
        outcome = self.s3()
        if isinstance(outcome, tuple):
            return outcome
        with self._lock:
            if create and path in self.objects:
                return 412, "PreconditionFailed"
            self.objects[path] = body
        return None if outcome == DROP else (200, "")

    def store(self, path: str, body: bytes) -> None:
        """Store an object at /bucket/key, as the consumer would."""
        with self._lock:
            self.objects[path] = body

    def list(self, path: str) -> tuple[int, str] | str | None:
        """Return the XML of a LIST, a status and an error code, or None to close the connection without an answer."""
        with self._lock:
            self.calls["ListObjectsV2"] += 1
        time.sleep(self.s3_delay_seconds)
        outcome = self.s3()
        if outcome is not None:
            return outcome if isinstance(outcome, tuple) else None
        bucket, _, query = path.partition("?")
        (prefix,) = parse_qs(query)["prefix"]
        start = f"{bucket}/"
        with self._lock:
            keys = sorted(name.removeprefix(start) for name in self.objects if name.startswith(start + prefix))
        entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
        return f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{entries}</ListBucketResult>"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, simultaneous connections wait a second or longer

    def __init__(self, stub: AwsStub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _stub(self) -> AwsStub:
        assert isinstance(self.server, _Server)
        return self.server.stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._stub.requests.append(Request(self.requestline, self.headers, body))
        answer = self._stub.answer(self.headers["X-Amz-Target"].rpartition(".")[2], json.loads(body))
        if answer is None:
            self.close_connection = True
            return
        self._send(answer[0], "application/x-amz-json-1.0", json.dumps(answer[1]).encode())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._stub.requests.append(Request(self.requestline, self.headers, b""))
        answer = self._stub.put(self.path, body, create=self.headers["If-None-Match"] == "*")
        if answer is None:
            self.close_connection = True
            return
        error = f"<Error><Code>{answer[1]}</Code></Error>".encode() if answer[1] else b""
        self._send(answer[0], "application/xml", error)

    def do_GET(self) -> None:
        self._stub.requests.append(Request(self.requestline, self.headers, b""))
        answer = self._stub.list(self.path)
        if answer is None:
            self.close_connection = True
        elif isinstance(answer, tuple):
            self._send(answer[0], "application/xml", f"<Error><Code>{answer[1]}</Code></Error>".encode())
        else:
            self._send(200, "application/xml", answer.encode())

    def do_HEAD(self) -> None:
        self._stub.requests.append(Request(self.requestline, self.headers, b""))
        size = len(self._stub.objects[self.path])
        fields = f"Last-Modified: Thu, 10 Dec 2026 14:30:22 GMT\r\nx-amz-meta-email-sha256: {'ab' * 32}\r\n"
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{fields}\r\n".encode())

    def _send(self, status: int, media_type: str, reply: bytes) -> None:
        head = f'HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nETag: "e"\r\n'
        with contextlib.suppress(OSError):  # the client has timed out and gone
            self.wfile.write(f"{head}Content-Length: {len(reply)}\r\n\r\n".encode() + reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Log nothing."""


def _error(status: int, code: str) -> tuple[int, dict[str, Any]]:
    return status, {"__type": f"com.amazonaws.sqs#{code}", "message": "on demand"}


def _confirmed(entry: dict[str, Any]) -> dict[str, str]:
    digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": digest, "MD5OfMessageBody": digest}
