"""A small SQS and S3 for benchmarks: one asyncio process, in memory, so fast that the consumer's own cost shows.

Receipts, visibility timeouts and `If-None-Match: *` work as in AWS; signatures are not checked.
"""

import argparse
import asyncio
import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Callable

import orjson

from bench.stub_content import BUCKET, email_file_of, email_of, event_of, key_of
from bench.stub_queue import Queue
from pillarbox.message import encode_body

_DIFFERENT_FILES = 20
_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 412: "Precondition Failed"}


class Stub:
    """Routes requests: to SQS by `X-Amz-Target`, to S3 by path, and `/stub/…` to the control of the benchmark."""

    def __init__(self, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.queue = Queue()
        self.objects: dict[str, dict[str, str]] = {}
        self.files: dict[str, bytes] = {}
        self.lines_stored = 0
        self.refused = 0

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        """Return status, body and extra header lines."""
        if target := headers.get("x-amz-target"):
            return 200, orjson.dumps(await self._sqs(target.partition(".")[2], orjson.loads(body))), ""
        if path.startswith("/stub/"):
            return 200, json.dumps(self._control(path.removeprefix("/stub/"), body)).encode(), ""
        return self._s3(method, path, headers, body)

    async def _sqs(self, action: str, request: dict[str, object]) -> dict[str, object]:
        if action == "ReceiveMessage":
            return await self.queue.receive(request)
        plain: dict[str, Callable[[], dict[str, object]]] = {
            "DeleteMessageBatch": lambda: self.queue.delete_batch(request),
            "DeleteMessage": lambda: self.queue.delete(request),
            "ChangeMessageVisibilityBatch": lambda: self.queue.change_visibility_batch(request),
            "GetQueueAttributes": self.queue.attributes,
        }
        return plain[action]()

    def _s3(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        if method == "GET" and path in self.files:
            return 200, self.files[path], self._file_headers(self.files[path])
        if method in ("HEAD", "GET"):  # the consumer needs only the metadata
            found = self.objects.get(path)
            extra = "".join(f"{name}: {value}\r\n" for name, value in (found or {}).items())
            return (200, b"", extra) if found else (404, b"", "")
        if headers.get("if-none-match") == "*" and path in self.objects:
            self.refused += 1
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", ""
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        kept = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        if "/health/" not in path:
            self.lines_stored += gzip.decompress(body).count(b"\n") if path.endswith(".gz") else 1
        self.objects[path] = kept | {"etag": etag, "last-modified": "Thu, 10 Dec 2026 14:30:22 GMT"}
        return 200, b"", f"etag: {etag}\r\n"

    @staticmethod
    def _file_headers(content: bytes) -> str:
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return f'etag: "{etag}"\r\nlast-modified: Thu, 10 Dec 2026 14:30:22 GMT\r\n'

    def _control(self, action: str, body: bytes) -> dict[str, object]:
        wanted = json.loads(body)
        if action == "fill":
            self.queue.fill(encode_body(email_of(n, wanted["bytes"])) for n in range(wanted["count"]))
        if action == "fill-files":
            contents = [email_file_of(n, wanted["bytes"]) for n in range(_DIFFERENT_FILES)]
            self.files = {f"/{BUCKET}/{key_of(n)}": contents[n % _DIFFERENT_FILES] for n in range(wanted["count"])}
            self.queue.fill(event_of(n, contents[n % _DIFFERENT_FILES]) for n in range(wanted["count"]))
        return {
            "cpu_seconds": time.process_time(),
            "received": self.queue.received,
            "deleted": self.queue.deleted,
            "objects": len(self.objects),
            "lines_stored": self.lines_stored,
            "refused": self.refused,
        }


class Connection(asyncio.Protocol):
    """One HTTP/1.1 keep-alive connection, without pipelining."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # create_server passes one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request when it is complete."""
        self._buffer += data
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            del self._buffer[: end + 4]
            self._head = (method, path, headers)
            if "expect" in headers:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(self._head[2].get("content-length", 0))
        if len(self._buffer) >= length:
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            head, self._head = self._head, None
            self._task = asyncio.get_running_loop().create_task(self._respond(*head, body))

    async def _respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if self._stub.latency_seconds and not path.startswith("/stub/"):
            await asyncio.sleep(self._stub.latency_seconds)
        status, content, extra = await self._stub.answer(method, path, headers, body)
        checksum = f"x-amz-crc32: {zlib.crc32(content)}\r\n" if "x-amz-target" in headers else ""
        head = f"HTTP/1.1 {status} {_STATUS[status]}\r\n{extra}{checksum}content-length: {len(content)}\r\n\r\n"
        self._transport.write(head.encode() + content)


async def serve(port: int, latency_seconds: float) -> None:
    """Serve on 127.0.0.1 until killed."""
    stub = Stub(latency_seconds)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stub), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.latency_ms / 1000))
