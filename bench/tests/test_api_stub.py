"""The stub of SQS and SSM: every entry is accepted and counted."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bench.api_stub import Counts, Stub


class Transport(asyncio.Transport):
    """Collects what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False


def call(counts: Counts, action: str, body: Mapping[str, Any], pieces: int = 1) -> dict[str, Any]:
    """Send one request in some pieces and return the JSON of the answer."""

    async def exchange() -> bytes:
        stub, transport = Stub(counts, 0, "secret"), Transport()
        stub.connection_made(transport)
        content = json.dumps(body).encode()
        head = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {len(content)}\r\n\r\n"
        request = head.encode() + content
        size = len(request) // pieces + 1
        for start in range(0, len(request), size):
            assert transport.written == b""
            stub.data_received(request[start : start + size])
        while not transport.written:
            await asyncio.sleep(0)
        return transport.written

    return dict(json.loads(asyncio.run(exchange()).partition(b"\r\n\r\n")[2]))


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_every_entry_of_a_batch_is_accepted_and_counted(pieces: int) -> None:
    counts = Counts()
    entries = [{"Id": str(n), "MessageBody": "{}"} for n in range(3)]
    reply = call(counts, "SendMessageBatch", {"Entries": entries}, pieces)
    assert [entry["Id"] for entry in reply["Successful"]] == ["0", "1", "2"]
    assert (counts.calls, counts.emails) == (1, 3)


def test_single_message_is_counted_as_one_call() -> None:
    counts = Counts()
    reply = call(counts, "SendMessage", {"MessageBody": "{}"})
    assert reply["MD5OfMessageBody"] == "99914b932bd37a50b983c5e7c90ae93b"  # of "{}"
    assert (counts.calls, counts.emails) == (1, 1)


def test_parameter_is_the_token_of_the_benchmark() -> None:
    assert call(Counts(), "GetParameter", {"Name": "/any"})["Parameter"]["Value"] == "secret"


def test_counts_are_returned() -> None:
    counts = Counts()
    call(counts, "SendMessage", {"MessageBody": "{}"})
    assert call(counts, "", {}) == {"calls": 1, "emails": 1}
