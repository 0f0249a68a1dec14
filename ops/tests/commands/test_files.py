import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import pytest

from common.testing.emulator import REGION
from pillarbox_ops import enqueue
from pillarbox_ops.errors import ExitCode

from ..pipelines import Pipeline, Ran

KEYS = [f"old/{number:02} é+ü.eml" for number in range(23)]


class Backfill:
    """A versioned bucket with 23 files, one of them written twice, one deleted, a folder, and one elsewhere."""

    def __init__(self, pipeline: Pipeline, run: Callable[..., Ran]) -> None:
        self._pipeline, self._run = pipeline, run
        self.bucket = f"files-{pipeline.name}"
        self.url = pipeline.sqs.create_queue(QueueName=f"files-{pipeline.name}")["QueueUrl"]
        pipeline.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def version(self) -> None:
        s3 = self._pipeline.s3
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, *keys: str) -> None:
        for key in keys:
            self._pipeline.s3.put_object(Bucket=self.bucket, Key=key, Body=b"Subject: x\n\nx")

    def delete(self, key: str) -> None:
        self._pipeline.s3.delete_object(Bucket=self.bucket, Key=key)

    def head(self, key: str) -> Any:
        return self._pipeline.s3.head_object(Bucket=self.bucket, Key=key)

    def run(self, *arguments: str, **variables: str) -> Ran:
        return self._run("files", "enqueue", *arguments, **({"FILES_QUEUE_URL": self.url} | variables))

    def objects(self) -> list[dict[str, Any]]:
        """Return what the events say of their objects; each message has one."""
        records = [json.loads(message["Body"])["Records"] for message in self._pipeline.received(self.url)]
        assert {len(found) for found in records} <= {1}
        assert {found[0]["s3"]["bucket"]["name"] for found in records} <= {self.bucket}
        kinds = {(found[0]["eventSource"], found[0]["eventName"]) for found in records}
        assert kinds <= {("aws:s3", "ObjectCreated:Put")}
        return [found[0]["s3"]["object"] for found in records]


@pytest.fixture
def empty(pipeline: Pipeline, run: Callable[..., Ran]) -> Backfill:
    """Return a backfill whose bucket has neither versions nor files."""
    return Backfill(pipeline, run)


@pytest.fixture
def backfill(empty: Backfill) -> Backfill:
    empty.version()
    empty.put(*KEYS, KEYS[0], "old/deleted.eml", "old/folder/", "elsewhere/x.eml")
    empty.delete("old/deleted.eml")
    return empty


def test_each_file_gets_one_event_that_names_its_current_version(backfill: Backfill) -> None:
    ran = backfill.run("--yes", f"s3://{backfill.bucket}/old/")
    assert ran.code == 0, ran.err
    assert "23 events sent" in ran.err
    found = {unquote_plus(each["key"]): each for each in backfill.objects()}
    assert sorted(found) == KEYS
    for key, described in found.items():
        head = backfill.head(key)
        assert described["versionId"] == head["VersionId"]
        assert (described["eTag"], described["size"]) == (head["ETag"].strip('"'), head["ContentLength"])


def test_a_bucket_without_versions_gives_events_without_a_version(empty: Backfill) -> None:
    empty.put("at-the-top")
    assert empty.run("--yes", f"s3://{empty.bucket}").code == 0
    (described,) = empty.objects()
    assert (described["key"], "versionId" in described) == ("at-the-top", False)
    assert described["eTag"]


def test_a_dry_run_counts_sends_nothing_and_needs_no_queue(backfill: Backfill) -> None:
    ran = backfill.run("--dry-run", f"s3://{backfill.bucket}/old/", FILES_QUEUE_URL="")
    assert ran.code == 0, ran.err
    assert f"would enqueue 23 files, {23 * 13} bytes, below s3://{backfill.bucket}/old/" in ran.err
    assert KEYS[0] in ran.err
    assert backfill.objects() == []


def test_nothing_is_sent_where_nobody_can_answer(backfill: Backfill) -> None:
    assert backfill.run(f"s3://{backfill.bucket}/old/").code == ExitCode.USAGE
    assert backfill.objects() == []


def test_what_was_created_before_a_time_is_left_out(backfill: Backfill) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ran = backfill.run("--yes", "--since", later, f"s3://{backfill.bucket}/old/")
    assert (ran.code, backfill.objects()) == (ExitCode.NOTHING_MATCHED, [])
    assert backfill.run("--yes", "--since", "1h", f"s3://{backfill.bucket}/old/").code == 0
    assert len(backfill.objects()) == 23


def test_a_bucket_or_a_queue_that_is_not_there_is_said(backfill: Backfill) -> None:
    without_bucket = backfill.run("--yes", "s3://no-such-bucket/old/")
    assert (without_bucket.code, "NoSuchBucket" in without_bucket.err) == (1, True)
    url = f"{backfill.url}-missing"
    without_queue = backfill.run("--yes", f"s3://{backfill.bucket}/old/", FILES_QUEUE_URL=url)
    assert (without_queue.code, "NonExistentQueue" in without_queue.err) == (1, True)


def test_what_sqs_refuses_is_counted(backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(9))

    def refusing(reply: Any, count: int) -> list[str]:
        return ["InternalError" if next(calls) else "", *[""] * (count - 1)]

    monkeypatch.setattr(enqueue, "results_of", refusing)
    ran = backfill.run("--yes", f"s3://{backfill.bucket}/old/")
    assert ran.code == ExitCode.DONE_IN_PART
    assert "19 sent, then SQS refused 1: InternalError. Run it again" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("bucket/prefix",),
        ("s3://",),
        ("s3://a/b?versions",),
        ("s3://a/b", "s3://c/d"),
        ("--all", "s3://a/b"),
        ("--since", "yesterday", "s3://a/b"),
        ("--rate", "0", "s3://a/b"),
    ],
)
def test_a_wrong_call_is_refused(empty: Backfill, arguments: tuple[str, ...]) -> None:
    assert empty.run("--yes", *arguments).code == ExitCode.USAGE


@pytest.mark.parametrize("name", ["FILES_QUEUE_URL", "AWS_REGION"])
def test_a_setting_that_is_missing_is_named(empty: Backfill, name: str) -> None:
    ran = empty.run("--yes", "s3://a/b", **{name: "", "AWS_DEFAULT_REGION": ""})
    assert (ran.code, f"{name} is not set" in ran.err) == (ExitCode.USAGE, True), ran.err
