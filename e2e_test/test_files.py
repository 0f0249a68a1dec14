"""File intake end to end: an object in the inbox becomes one record in the archive."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.testing.waiting import eventually
from e2e_test.conftest import Pipeline
from e2e_test.send_files import email_file

PICTURE = "inbox/picture.png"  # no e-mail

ROOT = Path(__file__).resolve().parent.parent


def inbox(pipeline: Pipeline) -> str:
    return pipeline.stack.environment["INBOX_BUCKET_NAME"]


def files_queue(pipeline: Pipeline) -> str:
    return pipeline.stack.environment["FILES_QUEUE_URL"]


def wait_read(pipeline: Pipeline) -> None:
    """Wait until the queue of the files is empty, messages in flight included."""
    eventually(lambda: pipeline.queue_counts(files_queue(pipeline)) == (0, 0), "the files' queue is empty")


def archived(pipeline: Pipeline) -> set[str]:
    return set(pipeline.keys("messages/"))


def new_records(pipeline: Pipeline, before: set[str], prefix: str) -> list[dict[str, Any]]:
    """Return the new records of files whose keys begin with a prefix."""
    found = [pipeline.record(key) for key in archived(pipeline) - before]
    return [r for r in found if r["metadata"].get("source_object", {}).get("key", "").startswith(prefix)]


def dead_letters(pipeline: Pipeline) -> int:
    queue_url = f"{files_queue(pipeline)}-dlq"
    return sum(pipeline.queue_counts(queue_url))


def other_dead_letters(pipeline: Pipeline) -> list[str]:
    """Return the dead letters other than the picture's, which the last test may have put there before."""
    reply = pipeline.sqs.receive_message(
        QueueUrl=f"{files_queue(pipeline)}-dlq", MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [message["Body"] for message in reply.get("Messages", []) if PICTURE not in message["Body"]]


def test_25_files_become_25_records(pipeline: Pipeline) -> None:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [ROOT / "e2e_test/send_files.sh", "--yes"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=outer | pipeline.stack.environment,
    )
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 25
    wait_read(pipeline)
    assert other_dead_letters(pipeline) == [], "the event of the notification's test is acknowledged too"


def test_a_file_under_ten_names_gives_ten_records(pipeline: Pipeline) -> None:
    before, raw = archived(pipeline), email_file("ten names", datetime.now(UTC))
    for number in range(10):
        pipeline.s3.put_object(Bucket=inbox(pipeline), Key=f"inbox/ten/{number}.eml", Body=raw)
    eventually(lambda: len(new_records(pipeline, before, "inbox/ten/")) == 10, "ten records are stored")
    keys = {record["metadata"]["source_object"]["key"] for record in new_records(pipeline, before, "inbox/ten/")}
    assert keys == {f"inbox/ten/{number}.eml" for number in range(10)}


def test_an_event_that_comes_ten_times_more_gives_one_record(pipeline: Pipeline) -> None:
    before, raw = archived(pipeline), email_file("one event", datetime.now(UTC))
    pipeline.s3.put_object(Bucket=inbox(pipeline), Key="inbox/once/mail", Body=raw)
    head = pipeline.s3.head_object(Bucket=inbox(pipeline), Key="inbox/once/mail")
    described = {
        "key": "inbox/once/mail",
        "size": len(raw),
        "eTag": head["ETag"].strip('"'),
        "versionId": head["VersionId"],
    }
    event = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": inbox(pipeline)}, "object": described},
    }
    for _ in range(10):
        pipeline.sqs.send_message(QueueUrl=files_queue(pipeline), MessageBody=json.dumps({"Records": [event]}))
    eventually(lambda: new_records(pipeline, before, "inbox/once/"), "the record is stored")
    wait_read(pipeline)
    assert len(new_records(pipeline, before, "inbox/once/")) == 1
    assert other_dead_letters(pipeline) == []


def test_what_is_no_e_mail_ends_in_the_dead_letter_queue_of_files(pipeline: Pipeline) -> None:
    before, stored = dead_letters(pipeline), archived(pipeline)
    pipeline.s3.put_object(Bucket=inbox(pipeline), Key=PICTURE, Body=b"\x89PNG\r\n\x1a\n" + bytes(100))
    eventually(lambda: dead_letters(pipeline) == before + 1, "the event is in the dead-letter queue")
    assert new_records(pipeline, stored, PICTURE) == []
