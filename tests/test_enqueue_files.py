"""infrastructure/enqueue_files.sh: events for files that are older than the notification.

The module is tested in this process, on the emulator; the script is tested as a process.
"""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import pytest

from common.testing.emulator import REGION, ROOT, outer_environment, running_emulator
from infrastructure import enqueue_files
from tests.deploy.cloud import Cloud
from tests.deploy.in_process import Done, run_main

BUCKET = "files-of-old"
KEYS = [f"old/{number:02} é+ü.eml" for number in range(23)]


class Backfill:
    """A bucket with files and a queue for the events; `run` runs the module, `run_script` the script."""

    def __init__(self, environment: dict[str, str], bucket: str) -> None:
        self._environment, self.bucket = environment, bucket
        cloud = Cloud(environment)
        self.s3, self.sqs = cloud.client("s3"), cloud.client("sqs")
        self.queue_url = self.sqs.create_queue(QueueName=bucket)["QueueUrl"]
        self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"Subject: x\n\nx")

    def run(self, action: str, url: str, since: str = "", **settings: str) -> Done:
        environment = self._environment | {"FILES_QUEUE_URL": self.queue_url} | settings
        return run_main(lambda: enqueue_files.main([action, url, since], environment), environment)

    def run_script(self, *arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "infrastructure/enqueue_files.sh", *arguments],
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            env=outer_environment() | self._environment | {"FILES_QUEUE_URL": self.queue_url} | settings,
        )

    def messages(self) -> list[dict[str, Any]]:
        """Receive and delete all messages of the queue."""
        found = []
        while batch := self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", []):
            for message in batch:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def objects(self) -> list[dict[str, Any]]:
        """Return the objects of the events; each message has one."""
        records = [record for message in self.messages() for record in message["Records"]]
        assert {record["s3"]["bucket"]["name"] for record in records} <= {self.bucket}
        assert {(record["eventSource"], record["eventName"]) for record in records} <= {("aws:s3", "ObjectCreated:Put")}
        return [record["s3"]["object"] for record in records]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield environment


@pytest.fixture(scope="module")
def backfill(emulator: dict[str, str]) -> Backfill:
    """A versioned bucket with 23 files (one written twice), a deleted file, a folder marker, and a file elsewhere."""
    made = Backfill(emulator, BUCKET)
    made.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    made.put(*KEYS, KEYS[0], "old/deleted.eml", "old/folder/", "elsewhere/x.eml")
    made.s3.delete_object(Bucket=BUCKET, Key="old/deleted.eml")
    return made


def test_each_file_gets_one_event_that_names_its_current_version(backfill: Backfill) -> None:
    done = backfill.run("send", f"s3://{BUCKET}/old/")
    assert done.returncode == 0, done.stderr
    assert "23 event(s) sent" in done.stdout
    found = {unquote_plus(each["key"]): each for each in backfill.objects()}
    assert sorted(found) == KEYS
    for key, described in found.items():
        head = backfill.s3.head_object(Bucket=BUCKET, Key=key)
        assert described["versionId"] == head["VersionId"]
        assert (described["eTag"], described["size"]) == (head["ETag"].strip('"'), head["ContentLength"])


def test_a_bucket_without_versions_gives_events_without_a_version(emulator: dict[str, str]) -> None:
    backfill = Backfill(emulator, "unversioned")
    backfill.put("at-the-top")
    done = backfill.run("send", "s3://unversioned")
    assert done.returncode == 0, done.stderr
    (described,) = backfill.objects()
    assert (described["key"], "versionId" in described) == ("at-the-top", False)
    assert described["eTag"]


def test_a_dry_run_counts_and_sends_nothing(backfill: Backfill) -> None:
    done = backfill.run("count", f"s3://{BUCKET}/old/", FILES_QUEUE_URL="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"23 file(s), {23 * 13} bytes, below s3://{BUCKET}/old/"
    assert backfill.messages() == []


@pytest.mark.parametrize(("typed", "code", "sent"), [("n\n", 2, 0), ("", 2, 0), ("y\n", 0, 23)])
def test_it_counts_first_and_sends_only_after_a_yes(backfill: Backfill, typed: str, code: int, sent: int) -> None:
    done = backfill.run_script(f"s3://{BUCKET}/old/", typed=typed)
    assert done.returncode == code, done.stderr
    assert "23 file(s)" in done.stdout
    assert len(backfill.messages()) == sent


def test_what_was_created_before_a_time_is_left_out(backfill: Backfill) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    done = backfill.run("send", f"s3://{BUCKET}/old/", later.isoformat())
    assert (done.returncode, "0 event(s) sent" in done.stdout) == (0, True)
    assert backfill.messages() == []


def test_a_bucket_or_a_queue_that_is_not_there_is_said(backfill: Backfill) -> None:
    without_bucket = backfill.run("send", "s3://no-such-bucket/old/")
    assert without_bucket.returncode == 1
    assert without_bucket.stderr.startswith("0 sent, then: ")
    without_queue = backfill.run("send", f"s3://{BUCKET}/old/", FILES_QUEUE_URL=f"{backfill.queue_url}-missing")
    assert without_queue.returncode == 1
    assert without_queue.stderr.startswith("0 sent, then: ")


def test_the_options_of_the_script_reach_the_module(backfill: Backfill) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    sent = backfill.run_script("--yes", "--since", later, f"s3://{BUCKET}/old/")
    assert (sent.returncode, "0 event(s) sent" in sent.stdout) == (0, True), sent.stderr
    counted = backfill.run_script("--dry-run", f"s3://{BUCKET}/old/", FILES_QUEUE_URL="")
    assert (counted.returncode, "23 file(s)" in counted.stdout) == (0, True), counted.stderr
    assert backfill.messages() == []
    unset = backfill.run_script("--yes", "s3://a/b", FILES_QUEUE_URL="")
    assert (unset.returncode, "not set: FILES_QUEUE_URL" in unset.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", [(), ("bucket/prefix",), ("s3://",), ("s3://a/b", "s3://c/d"), ("--all", "s3://a/b"), ("--since",)]
)
def test_a_wrong_call_is_refused(backfill: Backfill, arguments: tuple[str, ...]) -> None:
    done = backfill.run_script(*arguments)
    assert (done.returncode, done.stderr.splitlines()[-1][:6]) == (2, "usage:")


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (("send", "s3://a/b"), {"FILES_QUEUE_URL": ""}, "not set: FILES_QUEUE_URL"),
        (("count", "s3://a/b"), {"AWS_REGION": ""}, "not set: AWS_REGION"),
        (("count", "s3://a/b", "yesterday"), {}, "--since: expected a time such as"),
        (("count", "s3://a/b?versions"), {}, "expected s3://BUCKET/PREFIX"),
    ],
)
def test_settings_that_are_missing_or_wrong_are_named(
    backfill: Backfill, arguments: tuple[str, ...], settings: dict[str, str], complaint: str
) -> None:
    done = backfill.run(*arguments, **settings)
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr
