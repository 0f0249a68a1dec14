"""INTAKE=files: events of S3, and the files that they name."""

import hashlib
import json
from datetime import timedelta
from typing import Any, Literal

import pytest

from pillarbox.ids import time_of
from pillarbox.object_key import KeyTemplate
from service2_consumer.intake.files import FileIntake, Inbox
from service2_consumer.model import Download, InFlightMessage, Reading, Record
from service2_consumer.ports import StoreError
from service2_consumer.record import Recorder

from ..fakes import START, FakeSource, LaneHarness, message_id

EMAIL = (
    b"From: Jane Doe <jane@example.com>\r\nTo: box@example.com\r\nSubject: Hello\r\n"
    b"Date: Thu, 10 Dec 2026 14:00:00 +0000\r\nX-SES-Spam-Verdict: PASS\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n"
)
KEY = "inbox/a b.eml"


def etag_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324  # as S3 makes it


def created(key: str = KEY, content: bytes = EMAIL, bucket: str = "inbox", **changes: Any) -> dict[str, Any]:
    """Return a record as S3 sends it."""
    encoded = key.replace(" ", "+")
    described = {"key": encoded, "size": len(content), "eTag": etag_of(content), "versionId": "v1", "sequencer": "0"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {k: v for k, v in (described | changes).items() if v is not None}},
    }


class Files:
    """A file intake and its inbox."""

    def __init__(
        self, on_missing: Literal["dead_letter", "drop"] = "dead_letter", own_prefixes: tuple[str, ...] = ()
    ) -> None:
        self.source = FakeSource({KEY: EMAIL})
        self.intake = FileIntake(
            Recorder(KeyTemplate("{prefix}{date:%Y/%m/%d}/{message_id}.json", "messages/"), "1.2.3"),
            self.source,
            Inbox("inbox", own_prefixes, 10_000, on_missing),
        )

    def open(self, *events: dict[str, Any], receive_count: int = 1) -> Reading | Download:
        message = InFlightMessage("sqs-1", "r", json.dumps({"Records": events}), {}, START, receive_count)
        opened = self.intake.open(message, START)
        message.body = ""  # like the lane, for the messages that it holds
        return opened

    def read(self, *events: dict[str, Any]) -> Reading:
        opened = self.open(*events)
        return opened.read(START + timedelta(hours=1)) if isinstance(opened, Download) else opened

    def record(self, *events: dict[str, Any]) -> Record:
        reading = self.read(*events)
        assert (reading.poison, reading.skipped) == (None, [])
        (record,) = reading.records
        return record


def reason_of(reading: Reading) -> str:
    assert reading.poison
    return reading.poison.reason


def test_a_file_becomes_a_record_with_its_origin_its_attachments_and_its_verdicts() -> None:
    record = Files().record(created())
    document = json.loads(record.body)
    assert document == {
        "message_id": record.message_id,
        "processed_at": "2026-12-10T15:30:22Z",
        "email_data": {
            "email_subject": "Hello",
            "email_sender": "Jane Doe <jane@example.com>",
            "email_timestream": "1796911200",
            "email_content": "Grüße",
        },
        "attachments": [
            {
                "file_name": "a.pdf",
                "content_type": "application/pdf",
                "size_bytes": 4,
                "sha256": hashlib.sha256(b"%PDF").hexdigest(),
            }
        ],
        "metadata": {
            "processor_version": "1.2.3",
            "source": "file",
            "received_at": "2026-12-10T14:30:22.000Z",
            "sqs_message_id": "sqs-1",
            "source_object": {"bucket": "inbox", "key": KEY, "version": "v1", "etag": etag_of(EMAIL)},
            "spam_verdict": "PASS",
            "defects": [],
            "timestream_source": "date",
        },
    }
    assert record.key == f"messages/2026/12/10/{record.message_id}.json"
    assert time_of(record.message_id) == START


def test_the_id_is_that_of_the_object_however_often_and_where_it_is_delivered() -> None:
    assert Files().record(created()).message_id == Files().record(created(sequencer="1")).message_id
    other = Files()
    other.source.objects["inbox/other.eml"] = EMAIL
    assert other.record(created("inbox/other.eml")).message_id != other.record(created()).message_id
    assert other.record(created(versionId="v2")).message_id != other.record(created()).message_id


def test_the_version_is_read_and_else_the_object_with_the_etag() -> None:
    files = Files()
    files.read(created())
    files.read(created(versionId=None))
    files.read(created(versionId="null"))
    etag = etag_of(EMAIL)
    assert files.source.asked == [(KEY, "v1", etag), (KEY, None, etag), (KEY, None, etag)]


def test_a_download_has_the_size_of_the_event_or_the_limit_without_one() -> None:
    sizes = []
    for event in (created(), created(size=None)):
        opened = Files().open(event, created("inbox/b"))
        assert isinstance(opened, Download)
        sizes.append(opened.size_bytes)
    assert sizes == [2 * len(EMAIL), 10_000 + len(EMAIL)]


def test_an_object_that_was_replaced_is_superseded() -> None:
    reading = Files().read(created(versionId=None, eTag=etag_of(b"old")))
    assert (reading.records, reading.skipped, reading.poison) == ([], ["superseded"], None)


def test_a_missing_object_is_dead_lettered_or_dropped() -> None:
    assert reason_of(Files().read(created("inbox/none"))) == "missing_object"
    assert Files("drop").read(created("inbox/none")).skipped == ["missing"]


def test_another_bucket_is_poison_and_is_not_read() -> None:
    files = Files()
    assert reason_of(files.read(created(bucket="other"))) == "foreign_bucket"
    assert files.source.asked == []


def test_what_the_archive_writes_is_skipped_where_it_is_in_the_same_bucket() -> None:
    files = Files(own_prefixes=("messages/", "conflicts/", "health/"))
    assert files.read(created("messages/2026/a.json")).skipped == ["own_output"]
    assert files.read(created("health/service2-consumer")).skipped == ["own_output"]
    assert files.source.asked == []
    assert len(files.read(created()).records) == 1


def test_the_setup_object_of_ses_is_skipped() -> None:
    assert Files().read(created("inbox/AMAZON_SES_SETUP_NOTIFICATION")).skipped == ["ses_setup"]


def test_a_file_above_the_limit_is_poison_without_a_get() -> None:
    files = Files()
    assert reason_of(files.read(created(size=10_001))) == "too_large"
    assert files.source.asked == []


def test_a_file_larger_than_its_event_says_is_not_read() -> None:
    assert reason_of(Files().read(created(size=5))) == "not_an_event"
    files = Files()
    files.source.objects[KEY] = b"x" * 10_001
    assert reason_of(files.read(created(size=None, versionId=None, eTag=None))) == "too_large"


def test_a_file_that_its_writer_encrypted_is_poison() -> None:
    files = Files()
    files.source.metadata = {"x-amz-key-v2": "secret"}
    assert reason_of(files.read(created())) == "client_side_encrypted"


def test_what_is_no_email_is_poison() -> None:
    files = Files()
    files.source.objects[KEY] = b"\x89PNG\r\n"
    assert reason_of(files.read(created(content=b"\x89PNG\r\n"))) == "not_an_email"


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"Records": 1}', "\ud800"])
def test_what_is_no_event_is_poison(body: str) -> None:
    opened = Files().intake.open(InFlightMessage("sqs-1", "r", body, {}, START, 1), START)
    assert isinstance(opened, Reading)
    assert reason_of(opened) == "not_an_event"


def test_a_test_event_is_skipped_without_a_read() -> None:
    message = InFlightMessage("sqs-1", "r", json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}), {}, START, 1)
    assert Files().intake.open(message, START) == Reading(skipped=["test_event"])


def test_every_record_of_an_event_is_read_and_one_that_is_poison_keeps_none_from_the_archive() -> None:
    files = Files()
    second = EMAIL.replace(b"Hello", b"Second")
    files.source.objects["inbox/b"] = second
    removed = created() | {"eventName": "ObjectRemoved:Delete"}
    reading = files.read(created(), created("inbox/b", second), removed, created("x", bucket="other"))
    assert [json.loads(record.body)["email_data"]["email_subject"] for record in reading.records] == ["Hello", "Second"]
    assert (reading.skipped, reason_of(reading)) == (["other_event"], "foreign_bucket")


def test_a_failure_of_s3_is_left_to_the_lane() -> None:
    files = Files()
    files.source.failing = StoreError("timeout")
    with pytest.raises(StoreError):
        files.read(created())
    with pytest.raises(StoreError):
        files.intake.check()


def test_a_lane_archives_a_file_once_whatever_is_delivered_twice() -> None:
    files = Files()
    harness = LaneHarness(long_poll_seconds=1, intake=files.intake, read_budget_bytes=100_000).checked()
    sent = [harness.queue.send(json.dumps({"Records": [created()]})) for _ in range(10)]
    for number in range(10):
        key = f"inbox/{number}.eml"
        files.source.objects[key] = EMAIL
        sent.append(harness.queue.send(json.dumps({"Records": [created(key)]})))
    while harness.queue.messages:
        harness.lane.run_once()
    assert sorted(harness.queue.deleted) == sorted(sent)
    assert len(harness.archive.objects) == 11
    assert (harness.value("stored_total"), harness.value("duplicates_total")) == (11, 9)
    assert message_id(0) not in harness.archive.objects
