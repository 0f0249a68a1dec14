"""A cheap stub of SQS and SSM: it answers SendMessage and SendMessageBatch after a delay, and GetParameter.

Run: python -m bench.api_stub PORT DELAY_SECONDS TOKEN
GET /counts returns the numbers of calls and e-mails that it has received.
"""

import asyncio
import hashlib
import sys
from typing import Any

import orjson

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s"
_HEAD_END = b"\r\n\r\n"


class Counts:
    """The numbers of calls and e-mails since the start."""

    def __init__(self) -> None:
        self.calls = 0
        self.emails = 0


class Stub(asyncio.Protocol):
    """One connection of an SDK, without pipelining."""

    def __init__(self, counts: Counts, delay_seconds: float, token: str) -> None:
        self._counts = counts
        self._delay_seconds = delay_seconds
        self._token = token
        self._received = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(_HEAD_END)
        if not found:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        if len(rest) < length:
            return
        self._received = rest[length:]
        target = fields.get(b"x-amz-target", b"").rpartition(b".")[2]
        answer = orjson.dumps(self._answer(target, rest[:length]))
        delay = self._delay_seconds if target.startswith(b"sendmessage") else 0
        self._loop.call_later(delay, self._send, _OK % (len(answer), answer))

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)  # type: ignore[attr-defined]  # the transport of a server can write

    def _answer(self, target: bytes, body: bytes) -> dict[str, Any]:
        if target == b"getparameter":
            return {"Parameter": {"Name": "token", "Type": "SecureString", "Value": self._token, "Version": 1}}
        if target == b"sendmessage":
            return self._accept([orjson.loads(body)])[0]
        if target == b"sendmessagebatch":
            return {"Successful": self._accept(orjson.loads(body)["Entries"])}
        return {"calls": self._counts.calls, "emails": self._counts.emails}

    def _accept(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._counts.calls += 1
        self._counts.emails += len(entries)
        return [
            {
                "Id": entry.get("Id"),
                "MessageId": f"{self._counts.emails:036}",
                "MD5OfMessageBody": hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest(),
            }
            for entry in entries
        ]


async def serve(port: int, delay_seconds: float, token: str) -> None:
    """Serve on 127.0.0.1 until killed."""
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: Stub(counts, delay_seconds, token), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
