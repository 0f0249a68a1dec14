"""Which records share an object, and when an object is due."""

import gzip
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from pillarbox.message import Envelope, encode_body
from pillarbox.object_key import KeyTemplate
from service2_consumer.batching import HourlyBatcher, SingleBatcher
from service2_consumer.model import InFlightMessage, Record
from service2_consumer.record import Recorder

from .fakes import DEFAULT_TEMPLATE, START, email, message_id

RECORDER = Recorder(KeyTemplate(DEFAULT_TEMPLATE, "messages/"), "1.2.3")


def batches(max_messages: int = 500, max_bytes: int = 1_000_000, max_seconds: float = 30) -> HourlyBatcher:
    return HourlyBatcher("messages/", max_messages=max_messages, max_bytes=max_bytes, max_seconds=max_seconds)


def record(number: int, hours: int = 0, content: str = "text") -> Record:
    envelope = Envelope(message_id(number, START + timedelta(hours=hours)))
    body = encode_body(email(number, email_content=content))
    return RECORDER.record(InFlightMessage("sqs", "", body, envelope.to_attributes(), START, 1), START)


def held(receipt: str) -> InFlightMessage:
    return InFlightMessage("sqs", receipt, "", {}, START, 1)


def test_single_batcher_makes_each_message_due_at_once() -> None:
    batcher = SingleBatcher()
    batcher.add(held("a"), record(1), 0)
    (upload,) = batcher.take_due(0)
    assert upload.key.endswith(f"{message_id(1)}.json")
    assert (upload.digest_name, upload.digest) == ("email-sha256", record(1).sha256)
    assert batcher.take_due(0) == []


def test_a_compressed_object_has_the_suffix_the_encoding_and_the_same_digest() -> None:
    plain, compressed = SingleBatcher(), SingleBatcher(compresses=True)
    for batcher in (plain, compressed):
        batcher.add(held("a"), record(1), 0)
    (upload,), (expected,) = compressed.take_due(0), plain.take_due(0)
    assert (upload.key, upload.conflict_key) == (f"{expected.key}.gz", f"{expected.conflict_key}.gz")
    assert (upload.content_type, upload.content_encoding) == ("application/json", "gzip")
    assert (gzip.decompress(upload.body), upload.digest) == (expected.body, expected.digest)
    assert expected.content_encoding is None


def test_a_message_with_two_records_of_one_hour_is_listed_once_a_record() -> None:
    batcher, message = batches(), held("a")
    for number in (1, 2):
        batcher.add(message, record(number), 0)
    (upload,) = batcher.take_due(0, everything=True)
    assert (upload.messages, upload.message_ids) == ([message, message], [message_id(1), message_id(2)])
    assert batcher.seconds_until_due(0) is None


def test_batch_has_one_line_for_each_record() -> None:
    batcher = batches()
    for number in range(3):
        batcher.add(held(str(number)), record(number), 0)
    (upload,) = batcher.take_due(30)
    lines = [json.loads(line) for line in gzip.decompress(upload.body).splitlines()]
    assert [line["message_id"] for line in lines] == [message_id(number) for number in range(3)]
    assert lines[0] == json.loads(record(0).body)
    assert [message.receipt for message in upload.messages] == ["0", "1", "2"]
    assert upload.key == f"messages/2026/12/10/14/{message_id(0)}-{upload.digest}.jsonl.gz"


def test_batch_is_due_at_its_count_or_its_age() -> None:
    batcher = batches(max_messages=3)
    for number in range(2):
        batcher.add(held("r"), record(number), number)
    assert batcher.take_due(29.9) == []
    assert batcher.seconds_until_due(29) == 1
    batcher.add(held("r"), record(2), 29)
    assert len(batcher.take_due(29)) == 1
    batcher.add(held("r"), record(3), 29)
    assert len(batcher.take_due(59)) == 1


def test_oldest_batch_is_due_above_the_byte_limit() -> None:
    batcher = batches(max_bytes=2500)
    batcher.add(held("old"), record(1, hours=1, content="x" * 800), 0)
    batcher.add(held("new"), record(2, hours=0, content="x" * 800), 1)
    batcher.add(held("new"), record(3, hours=0, content="x" * 100), 2)
    (upload,) = batcher.take_due(2)
    assert [message.receipt for message in upload.messages] == ["old"]
    assert batcher.seconds_until_due(2) == 29


def test_batch_contains_records_of_one_hour() -> None:
    batcher = batches()
    for number in range(10):
        batcher.add(held("r"), record(number, hours=number % 3), 0)
    hours = sorted(upload.key.split("/")[4] for upload in batcher.take_due(0, everything=True))
    assert hours == ["14", "15", "16"]


def test_key_depends_on_every_member_and_not_on_their_order() -> None:
    def key(*records: Record) -> str:
        batcher = batches()
        for one in records:
            batcher.add(held("r"), one, 0)
        return batcher.take_due(0, everything=True)[0].key

    same = key(record(1), record(2))
    assert same == key(record(2), record(1))
    assert (
        len({same, key(record(1)), key(record(1), record(2), record(3)), key(record(1), record(2, content="b"))}) == 4
    )


def test_message_received_twice_is_one_line_with_both_receipts() -> None:
    batcher = batches()
    batcher.add(held("first"), record(1), 0)
    batcher.add(held("again"), record(1), 1)
    batcher.add(held("other"), record(1, content="another e-mail under this id"), 1)
    (upload,) = batcher.take_due(0, everything=True)
    assert gzip.decompress(upload.body).count(b"\n") == 2
    assert [message.receipt for message in upload.messages] == ["first", "again", "other"]


@pytest.mark.parametrize("batcher", [SingleBatcher(), batches()])
def test_empty_batcher_has_nothing_due(batcher: SingleBatcher | HourlyBatcher) -> None:
    assert batcher.take_due(1e9, everything=True) == []


def test_a_probe_shares_no_batch_and_is_due_at_once() -> None:
    batcher = batches()
    probe = replace(record(1), key="health/probe/2026/12/10/x.json")
    batcher.add(held("a"), probe, 0)
    batcher.add(held("b"), record(2), 0)
    (upload,) = batcher.take_due(0)
    assert (upload.key, upload.is_probe) == (probe.key, True)
    (upload,) = batcher.take_due(0, everything=True)
    assert (upload.message_ids, upload.is_probe) == ([message_id(2)], False)
