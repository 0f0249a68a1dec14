"""The command is killed while it moves dead letters to a consumer that runs: none is lost, none is stored twice."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.testing.emulator import ROOT
from common.testing.ports import free_port
from common.testing.waiting import eventually
from local_stack.processes import Process
from pillarbox.ids import new_message_id

from .pipelines import Pipeline

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MANY = 500
HOLD_SECONDS = 10
COMMAND = (
    *(sys.executable, "-c", "from pillarbox_ops.cli import main; main()"),
    *("dlq", "redrive", "--reason", "redrivable", "--yes", "--hold", str(HOLD_SECONDS)),
)
SLOWLY = ("--rate", "25")  # so that the end is far when the kill comes, however busy the machine is
POISON = ('{"cut": %d', '{"email_subject": "only", "n": %d}', "[%d]", "plain text %d")


def _email(number: int) -> str:
    fields = {"email_subject": "s", "email_sender": "jane@example.com", "email_timestream": 1693561101}
    return json.dumps(fields | {"email_content": f"Letter {number}"})


def _fill(pipeline: Pipeline) -> None:
    """Put e-mails, every second one of a foreign producer and so without an id, and as much poison into the queue."""
    entries: list[dict[str, Any]] = []
    for number in range(MANY):
        identity = {"message_id": {"DataType": "String", "StringValue": new_message_id()}}
        own = {"MessageAttributes": identity} if number % 2 else {}
        entries += [{"MessageBody": _email(number), **own}, {"MessageBody": POISON[number % len(POISON)] % number}]
    for start in range(0, len(entries), 10):
        batch = [entry | {"Id": str(i)} for i, entry in enumerate(entries[start : start + 10])]
        pipeline.sqs.send_message_batch(QueueUrl=pipeline.dlq_url, Entries=batch)


def _depth(pipeline: Pipeline, url: str) -> Counter[str]:
    found = pipeline.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = {"visible": "ApproximateNumberOfMessages", "hidden": "ApproximateNumberOfMessagesNotVisible"}
    return Counter({state: int(found[name]) for state, name in names.items()})


@pytest.fixture
def consumer(pipeline: Pipeline, tmp_path: Path) -> Iterator[Process]:
    port = free_port()
    settings = {"LONG_POLL_SECONDS": "1", "BIND_HOST": "127.0.0.1", "PORT": str(port), "LANES": "2"}
    process = Process(
        "consumer",
        (ROOT / ".venvs/service2-consumer/bin/python", "-m", "service2_consumer"),
        environment=pipeline.environment | settings,
        directory=tmp_path,
        working_directory=ROOT,
        ready_url=f"http://127.0.0.1:{port}/ready",
    )
    process.start()
    process.wait_ready(60)
    yield process
    process.stop(30)


def test_a_redrive_that_is_killed_twice_loses_and_duplicates_nothing(pipeline: Pipeline, consumer: Process) -> None:
    _fill(pipeline)
    total = 2 * MANY
    for kill in (1, 2):
        with subprocess.Popen((*COMMAND, *SLOWLY), env=pipeline.environment) as command:  # noqa: S603
            goal = total - kill * MANY // 4
            eventually(lambda: _depth(pipeline, pipeline.dlq_url).total() <= goal, "a part is moved")  # noqa: B023
            command.send_signal(signal.SIGKILL)
            assert command.wait(30) == -signal.SIGKILL
        assert _depth(pipeline, pipeline.dlq_url).total() > MANY, "the kill came before the end"
        eventually(lambda: _depth(pipeline, pipeline.dlq_url)["hidden"] == 0, "what it held is shown again")
    done = subprocess.run(COMMAND, env=pipeline.environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    eventually(lambda: _depth(pipeline, pipeline.queue_url).total() == 0, "the consumer has stored everything")
    _assert_each_is_stored_once(pipeline)
    poison = Counter(message["Body"] for message in pipeline.received(pipeline.dlq_url))
    assert poison == Counter(POISON[number % len(POISON)] % number for number in range(MANY))


def _assert_each_is_stored_once(pipeline: Pipeline) -> None:
    pages = pipeline.s3.get_paginator("list_objects_v2").paginate(Bucket=pipeline.bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", []) if "health/" not in entry["Key"]]
    assert all(key.startswith("messages/") for key in keys)
    records = [json.load(pipeline.s3.get_object(Bucket=pipeline.bucket, Key=key)["Body"]) for key in keys]
    stored = Counter(json.dumps(record["email_data"], sort_keys=True) for record in records)
    assert stored == Counter(json.dumps(json.loads(_email(number)), sort_keys=True) for number in range(MANY))
