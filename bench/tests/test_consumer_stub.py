"""The stub of SQS and S3: objects are written once, and the control counts what a benchmark needs."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from bench.consumer_stub import Stub
from bench.stub_content import BUCKET


@pytest.fixture
def stub() -> Stub:
    return Stub(latency_seconds=0)


def answer(
    stub: Stub, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    return asyncio.run(stub.answer(method, path, headers or {}, body))


def control(stub: Stub, action: str, **parameters: int) -> dict[str, Any]:
    _, body, _ = answer(stub, "POST", f"/stub/{action}", json.dumps(parameters).encode())
    return dict(json.loads(body))


def test_object_is_written_once(stub: Stub) -> None:
    headers = {"if-none-match": "*", "x-amz-meta-email-sha256": "abc"}
    assert answer(stub, "PUT", "/bench/messages/1.json", b"{}", headers)[0] == 200
    assert answer(stub, "PUT", "/bench/messages/1.json", b"{}", headers)[0] == 412
    status, _, extra = answer(stub, "HEAD", "/bench/messages/1.json")
    assert (status, "x-amz-meta-email-sha256: abc\r\n" in extra) == (200, True)
    assert answer(stub, "HEAD", "/bench/messages/2.json")[0] == 404
    stats = control(stub, "stats")
    assert (stats["objects"], stats["lines_stored"], stats["refused"]) == (1, 1, 1)


def test_stored_lines_of_a_batch_are_counted_without_the_probe(stub: Stub) -> None:
    answer(stub, "PUT", "/bench/messages/1.jsonl.gz", gzip.compress(b"{}\n{}\n{}\n"))
    answer(stub, "PUT", "/bench/health/service2-consumer", b"x")
    assert control(stub, "stats")["lines_stored"] == 3


def test_filled_messages_are_received_and_deleted_through_sqs(stub: Stub) -> None:
    control(stub, "fill", count=2, bytes=300)
    target = {"x-amz-target": "AmazonSQS.ReceiveMessage"}
    _, body, _ = answer(stub, "POST", "/", json.dumps({"MaxNumberOfMessages": 10}).encode(), target)
    messages = json.loads(body)["Messages"]
    assert len({json.loads(message["Body"])["email_subject"] for message in messages}) == 2
    entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    target = {"x-amz-target": "AmazonSQS.DeleteMessageBatch"}
    answer(stub, "POST", "/", json.dumps({"Entries": entries}).encode(), target)
    stats = control(stub, "stats")
    assert (stats["received"], stats["deleted"]) == (2, 2)


def test_filled_files_are_readable_by_the_keys_of_their_events(stub: Stub) -> None:
    control(stub, "fill-files", count=3, bytes=3 * 1024)
    target = {"x-amz-target": "AmazonSQS.ReceiveMessage"}
    _, body, _ = answer(stub, "POST", "/", json.dumps({"MaxNumberOfMessages": 10}).encode(), target)
    events = [json.loads(message["Body"])["Records"][0]["s3"] for message in json.loads(body)["Messages"]]
    assert len(events) == 3
    for event in events:
        status, content, extra = answer(stub, "GET", f"/{BUCKET}/{event['object']['key']}")
        assert (status, len(content)) == (200, event["object"]["size"])
        assert event["object"]["eTag"] in extra
