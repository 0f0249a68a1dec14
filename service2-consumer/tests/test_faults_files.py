"""Files are archived once and unchanged, although consumers are killed and S3 fails."""

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage

import pytest

from pillarbox.strict_json import JsonValue

from .fault_arena import REGION, Arena, NewArena

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

INBOX = "inbox"
FILES = int(os.environ.get("FAULT_FILES", "2000"))
SETTINGS = {"INTAKE": "files", "INBOX_BUCKET_NAME": INBOX, "LANES": "3"}


class FileArena:
    """An arena with an inbox whose notifications go to the queue."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.sent: dict[str, str] = {}  # subject by key
        location = {"LocationConstraint": REGION}
        arena.s3.create_bucket(Bucket=INBOX, CreateBucketConfiguration=location)  # type: ignore[arg-type]
        arena.s3.put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
        queue = {"QueueArn": f"arn:aws:sqs:{REGION}:000000000000:emails", "Events": ["s3:ObjectCreated:*"]}
        arena.s3.put_bucket_notification_configuration(
            Bucket=INBOX,
            NotificationConfiguration={"QueueConfigurations": [queue]},  # type: ignore[list-item]
        )

    def upload(self, count: int, first: int = 0) -> None:
        """Upload e-mails; every twentieth event is delivered twice."""
        with ThreadPoolExecutor(4) as threads:
            for event in threads.map(self._upload, range(first, first + count)):
                if event:
                    self.arena.sqs.send_message(QueueUrl=self.arena.queue_url, MessageBody=event)

    def _upload(self, number: int) -> str:
        key, subject = f"inbox/{number % 7}/mail {number}+ü.eml", f"File {number}"
        email = EmailMessage()
        email["From"], email["Subject"], email["Date"] = "a@example.com", subject, "Thu, 10 Dec 2026 14:00:00 +0000"
        email.set_content(f"Text {number} ü\n" * 40)
        content = email.as_bytes()
        put = self.arena.s3.put_object(Bucket=INBOX, Key=key, Body=content)
        self.sent[key] = subject
        if number % 20:
            return ""
        described = {"key": key, "size": len(content), "etag": put["ETag"].strip('"'), "version-id": put["VersionId"]}
        detail = {"bucket": {"name": INBOX}, "object": described}
        return json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail})

    def assert_each_is_archived_once(self) -> None:
        records = self.arena.records()
        assert Counter(source_key(record) for record in records) == Counter(self.sent.keys())
        assert {source_key(record): subject_of(record) for record in records} == self.sent
        assert self.arena.dead_bodies() == []


def source_key(record: dict[str, JsonValue]) -> str:
    match record:
        case {"metadata": {"source_object": {"key": str(key)}}}:
            return key
    raise AssertionError(record)


def subject_of(record: dict[str, JsonValue]) -> JsonValue:
    email = record["email_data"]
    assert isinstance(email, dict)
    assert str(email["email_content"]).startswith(f"Text {str(email['email_subject']).removeprefix('File ')} ü\n")
    return email["email_subject"]


def test_files_through_consumers_that_are_killed_are_archived_once(new_arena: NewArena) -> None:
    files = FileArena(arena := new_arena(max_receive_count=20, **SETTINGS))
    uploading = threading.Thread(target=files.upload, args=(FILES,))
    uploading.start()
    arena.start(2)
    for _ in range(8):
        arena.sleep(1.0, 2.0)
        assert arena.end_one(signal.SIGKILL) == -signal.SIGKILL
    uploading.join()
    arena.settle()
    files.assert_each_is_archived_once()


@pytest.mark.parametrize("kind", ["500", "503", "reset", "lost", "garbage", "hang"])
def test_files_from_an_unreliable_s3_are_archived_once(new_arena: NewArena, kind: str) -> None:
    files = FileArena(arena := new_arena(max_receive_count=5, **SETTINGS))
    files.upload(300)
    arena.proxy.faults["s3"] = {kind: 0.03 if kind == "hang" else 0.25}
    arena.start(2)
    arena.until_injected("s3", kind, 20)
    arena.settle()
    files.assert_each_is_archived_once()


def test_an_outage_of_s3_dead_letters_no_file(new_arena: NewArena) -> None:
    files = FileArena(arena := new_arena(max_receive_count=3, **SETTINGS))
    arena.start(1)
    files.upload(100)
    arena.proxy.faults["s3"] = {"503": 1.0}
    files.upload(100, first=100)
    arena.until_injected("s3", "503", 25)
    arena.settle()
    files.assert_each_is_archived_once()
