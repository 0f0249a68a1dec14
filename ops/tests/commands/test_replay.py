import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import archived, id_at
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
DAY = ("--after", "2026-11-28", "--before", "2026-11-29")


def _received(pipeline: Pipeline, url: str) -> list[Any]:
    found: list[Any] = []
    while messages := pipeline.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += messages
    return found


def _ids(messages: list[Any]) -> list[str]:
    return sorted(message["MessageAttributes"]["message_id"]["StringValue"] for message in messages)


@pytest.fixture
def other_queue(pipeline: Pipeline) -> str:
    url: str = pipeline.sqs.create_queue(QueueName=f"other-{pipeline.name}")["QueueUrl"]
    return url


def test_a_range_goes_to_another_queue(run: Run, pipeline: Pipeline, other_queue: str) -> None:
    ids = [archived(pipeline, minutes) for minutes in range(12)]
    archived(pipeline, 24 * 60)
    ran = run("replay", *DAY, "--to-queue", other_queue, "--yes")
    assert ran.code == ExitCode.DONE
    assert ran.rows == [{"sent": 12, "too_large": 0, "failed": 0}]
    assert f"send 12 e-mails to {other_queue}" in ran.err
    messages = _received(pipeline, other_queue)
    assert _ids(messages) == ids
    assert json.loads(messages[0]["Body"])["email_subject"] == "A subject"


def test_it_asks_first_and_a_dry_run_sends_nothing(run: Run, pipeline: Pipeline, other_queue: str) -> None:
    message_id = archived(pipeline)
    assert run("replay", message_id, "--to-queue", other_queue).code == ExitCode.USAGE
    ran = run("replay", message_id, "--to-queue", other_queue, "--dry-run")
    assert ran.code == ExitCode.DONE
    assert "would send 1 e-mails" in ran.err
    assert "The content" not in ran.err
    assert _received(pipeline, other_queue) == []


def test_a_journal_lets_it_go_on_where_it_was(run: Run, pipeline: Pipeline, other_queue: str, tmp_path: Path) -> None:
    ids = [archived(pipeline, minutes) for minutes in range(3)]
    (tmp_path / "journal").write_text(f"# pillarbox replay to {other_queue}\n{ids[0]}\n")
    arguments = ("replay", *DAY, "--to-queue", other_queue, "--yes", "--resume", "journal")
    assert run(*arguments).rows[0]["sent"] == 2
    assert _ids(_received(pipeline, other_queue)) == ids[1:]
    again = run(*arguments)
    assert again.code == ExitCode.DONE
    assert "all of them were sent before" in again.err


def test_its_own_queue_is_warned_of(run: Run, pipeline: Pipeline) -> None:
    ran = run("replay", archived(pipeline), "--to-queue", pipeline.queue_url, "--dry-run")
    assert "this is the pipeline's own queue" in ran.err


def test_an_email_too_large_for_sqs_is_reported_or_goes_by_the_bucket(
    run: Run, pipeline: Pipeline, other_queue: str
) -> None:
    message_id = archived(pipeline, email_content="x" * 1024 * 1024)
    arguments = ("replay", message_id, "--to-queue", other_queue, "--yes")
    ran = run(*arguments)
    assert ran.code == ExitCode.FAILED
    assert f"{message_id} is too large for SQS" in ran.err
    assert run(*arguments, PAYLOAD_BUCKET=pipeline.bucket).code == ExitCode.DONE
    (message,) = _received(pipeline, other_queue)
    (_, place) = json.loads(message["Body"])
    stored = pipeline.s3.get_object(Bucket=place["s3BucketName"], Key=place["s3Key"])["Body"].read()
    assert json.loads(stored)["email_content"] == "x" * 1024 * 1024


def test_emails_of_one_batch_are_all_sent(run: Run, pipeline: Pipeline, other_queue: str) -> None:
    emails = [{"message_id": id_at(m), "email_data": {"email_subject": "x" * (m + 1)}} for m in range(3)]
    key = f"messages/2026/11/28/12/{id_at(0)}-{'f' * 64}.jsonl.gz"
    body = "".join(json.dumps(email) + "\n" for email in emails).encode()
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=body)
    assert run("replay", *DAY, "--to-queue", other_queue, "--yes").rows[0]["sent"] == 3


def test_the_queue_of_another_environment_is_that_of_its_stack(run: Run, pipeline: Pipeline, other_queue: str) -> None:
    output = {"QueueUrl": {"Value": other_queue}}
    resources = {"Topic": {"Type": "AWS::SNS::Topic"}}
    pipeline.client("cloudformation").create_stack(
        StackName=f"pillarbox-{pipeline.name}", TemplateBody=json.dumps({"Resources": resources, "Outputs": output})
    )
    message_id = archived(pipeline)
    ran = run("replay", message_id, "--to-environment", pipeline.name, "--yes")
    assert ran.code == ExitCode.DONE
    assert _ids(_received(pipeline, other_queue)) == [message_id]


def test_nothing_matched_sends_nothing(run: Run, other_queue: str) -> None:
    assert run("replay", id_at(0), "--to-queue", other_queue, "--yes").code == ExitCode.NOTHING_MATCHED


@pytest.mark.parametrize(
    "arguments",
    [(*DAY,), (*DAY, "--to-queue", "u", "--to-environment", "e"), ("--to-queue", "u")],
    ids=["no queue", "two queues", "everything"],
)
def test_a_queue_and_a_choice_must_be_named(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("replay", *arguments).code == ExitCode.USAGE


def test_a_journal_that_cannot_be_written_is_told_before_the_question(
    run: Run, pipeline: Pipeline, other_queue: str
) -> None:
    ran = run("replay", archived(pipeline), "--to-queue", other_queue, "--resume", "nowhere/journal")
    assert ran.code == ExitCode.USAGE
    assert "nowhere/journal cannot be written as a journal" in ran.err
    assert "send 1 e-mails" not in ran.err


def test_a_dry_run_leaves_no_journal(run: Run, pipeline: Pipeline, other_queue: str, tmp_path: Path) -> None:
    arguments = ("replay", archived(pipeline), "--to-queue", other_queue, "--resume", "journal")
    assert run(*arguments, "--dry-run").code == ExitCode.DONE
    assert not (tmp_path / "journal").exists()


def test_a_message_that_sqs_refuses_is_reported_and_the_others_are_sent(
    run: Run, pipeline: Pipeline, other_queue: str
) -> None:
    sent, refused = archived(pipeline, 0), id_at(1)
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=f"messages/2026/11/28/{refused}.json", Body=b"")
    ran = run("replay", *DAY, "--to-queue", other_queue, "--yes")
    assert ran.code == ExitCode.DONE_IN_PART
    assert ran.rows == [{"sent": 1, "too_large": 0, "failed": 1}]
    assert f"{refused} was not sent: " in ran.err
    assert _ids(_received(pipeline, other_queue)) == [sent]


def test_times_between_which_nothing_can_lie_are_a_wrong_usage(run: Run, other_queue: str) -> None:
    ran = run("replay", "--after", "1d", "--before", "2d", "--to-queue", other_queue, "--yes")
    assert ran.code == ExitCode.USAGE
    assert "the range from after" in ran.err


@pytest.mark.parametrize("command", [("replay",), ("dlq", "redrive")])
def test_the_help_says_when_a_copy_can_be_stored_twice(run: Run, command: tuple[str, ...]) -> None:
    text = " ".join(run(*command, "--help").out.split())
    assert "with OBJECT_LAYOUT=batch a copy after a kill can be stored a second time in another batch" in text
