"""The load generator: what it counts."""

import asyncio
from itertools import count

import pytest

from bench.api_load import load
from common.testing.ports import free_port

REQUEST_END = b"\r\n\r\n{}"


async def loaded_server(connections: int, refuse_every: int) -> tuple[dict[str, float], int]:
    """Run the load against a server that refuses some requests; return its figures and the number of requests."""
    numbers = count(1)
    handled = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal handled
        try:
            while await reader.readuntil(REQUEST_END):
                handled += 1
                status = b"503 Busy" if next(numbers) % refuse_every == 0 else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(b"done")
        except asyncio.IncompleteReadError:
            writer.close()

    port = free_port()
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        return await load(port, "/api/message", connections, 0.05, b"{}"), handled


@pytest.mark.parametrize("connections", [1, 8])
def test_every_answer_is_counted_as_accepted_or_refused(connections: int) -> None:
    figures, handled = asyncio.run(loaded_server(connections, refuse_every=2))
    assert figures["accepted"] + figures["refused"] == handled >= connections
    assert figures["refused"] == handled // 2


def test_percentiles_are_ordered() -> None:
    figures, _ = asyncio.run(loaded_server(2, refuse_every=10**9))
    assert figures["refused"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
