"""A load generator: each connection sends its next request when the previous one is answered.

Run: python -m bench.api_load PORT PATH CONNECTIONS SECONDS BODY_FILE
Prints JSON: the numbers of answers with 200 and with another status, and percentiles of the latency in milliseconds.
"""

import asyncio
import sys
import time
from pathlib import Path

import orjson


class Client(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, request: bytes, latencies: list[float], ends_at: float) -> None:
        self._request = request
        self._latencies = latencies
        self._ends_at = ends_at
        self._received = b""
        self.done = asyncio.get_running_loop().create_future()
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found or len(rest) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self._received = b""
        now = time.perf_counter()
        self._latencies.append(now - self._sent_at)
        self.refused += not head.startswith(b"HTTP/1.1 200")
        if now < self._ends_at:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(exc)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]  # the transport of a client can write


async def load(port: int, path: str, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    """Return the counts and the percentiles of one run."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    latencies: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(request, latencies, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    for client in clients:
        await client.done
    took = time.perf_counter() - began
    latencies.sort()
    refused = sum(client.refused for client in clients)
    return {
        "accepted": len(latencies) - refused,
        "refused": refused,
        "seconds": took,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


if __name__ == "__main__":
    _, port, path, connections, seconds, file = sys.argv
    result = asyncio.run(load(int(port), path, int(connections), float(seconds), Path(file).read_bytes()))
    print(orjson.dumps(result).decode())
