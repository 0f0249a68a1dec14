import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from pillarbox_ops import redrive, scan
from pillarbox_ops.errors import ExitCode

from ..pipelines import Pipeline, Ran

ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"
ATTRIBUTES = {
    "message_id": {"DataType": "String", "StringValue": ID},
    "picture": {"DataType": "Binary.jpg", "BinaryValue": b"\x00\xff\n"},
    "count": {"DataType": "Number.int", "StringValue": "7"},
    **{f"a{number}": {"DataType": "String", "StringValue": "\u202e é"} for number in range(7)},
}
SECRET = "only for Jane"

Run = Callable[..., Ran]


def _email(**fields: Any) -> str:
    email = {"email_subject": "s", "email_sender": "jane@example.com", "email_timestream": 1693561101}
    return json.dumps(email | {"email_content": SECRET} | fields)


@pytest.fixture
def mixed(pipeline: Pipeline) -> Pipeline:
    """A pipeline with three e-mails and two messages of poison in its dead-letter queue."""
    pipeline.dead_letter(_email(), attributes=ATTRIBUTES)
    pipeline.dead_letter(_email(email_sender="john@example.com"))
    pipeline.dead_letter(_email(email_sender="\u001b[31mred"))
    pipeline.dead_letter("poison")
    pipeline.dead_letter("{}")
    return pipeline


def _bodies(pipeline: Pipeline, url: str) -> list[str]:
    return sorted(message["Body"] for message in pipeline.received(url))


def _left(pipeline: Pipeline) -> list[str]:
    return _bodies(pipeline, pipeline.dlq_url)


def test_ls_shows_each_message_with_its_reason_and_no_content(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "ls")
    assert ran.code == 0
    assert sorted(row["reason"] for row in ran.rows) == ["invalid_json", "not_an_email", *["redrivable"] * 3]
    assert {row["message_id"] for row in ran.rows} == {None, ID}
    assert {row["receives"] for row in ran.rows} == {1}
    assert SECRET not in ran.out + ran.err
    assert len(_left(mixed)) == 5


def test_a_table_shows_the_age_and_nothing_that_a_terminal_obeys(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "ls", "-o", "table")
    assert "AGE" in ran.out
    assert "0:00:0" in ran.out
    assert "\\x1b[31mred" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (("--reason", "redrivable"), 3),
        (("--reason", "invalid_json", "--reason", "not_an_email"), 2),
        (("--sender", "JOHN"), 1),
        (("--id", ID), 1),
        (("--older-than", "1d"), 0),
        (("--older-than", "2099-01-01"), 5),
        (("--max", "2"), 2),
    ],
)
def test_ls_lists_what_the_options_name(mixed: Pipeline, run: Run, options: tuple[str, ...], number: int) -> None:
    ran = run("dlq", "ls", *options)
    assert len(ran.rows) == number
    assert ran.code == (0 if number else ExitCode.NOTHING_MATCHED)


def test_what_somebody_else_holds_is_said(mixed: Pipeline, run: Run) -> None:
    mixed.sqs.receive_message(QueueUrl=mixed.dlq_url, MaxNumberOfMessages=2)
    ran = run("dlq", "ls")
    assert len(ran.rows) == 3
    assert "2 more are hidden now" in ran.err


def test_a_queue_with_more_than_can_be_looked_at_is_said(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MAX_HELD", 5)
    assert "run it again for the rest" in run("dlq", "ls").err


def test_show_prints_attributes_and_the_body_only_when_asked(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "show", ID, "-o", "json")
    shown = json.loads(ran.out)
    assert shown["attributes"]["picture"] == {"type": "Binary.jpg", "base64": "AP8K"}
    assert "body" not in shown
    assert SECRET not in ran.out
    sqs_message_id = shown["sqs_message_id"]
    assert json.loads(run("dlq", "show", sqs_message_id, "--content").out)["body"] == _email()
    assert run("dlq", "show", "another").code == ExitCode.NOTHING_MATCHED


def test_the_dead_letters_of_files_are_another_queue(pipeline: Pipeline, run: Run) -> None:
    url = pipeline.sqs.create_queue(QueueName=f"files-{pipeline.name}")["QueueUrl"]
    described = {"bucket": {"name": "inbox"}, "object": {"key": "a+b.eml", "size": 1}}
    event = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": described}
    pipeline.dead_letter(json.dumps({"Records": [event]}), url=url)
    pipeline.dead_letter("{}", url=url)
    rows = run("dlq", "ls", "--files", FILES_DLQ_URL=url, INBOX_BUCKET_NAME="inbox").rows
    assert {(row["reason"], row["about"]) for row in rows} == {
        ("redrivable", "s3://inbox/a b.eml"),
        ("not_an_event", ""),
    }
    assert run("dlq", "ls").code == ExitCode.NOTHING_MATCHED
    moved = run(
        *("dlq", "redrive", "--files", "--reason", "redrivable", "--yes"),
        FILES_DLQ_URL=url,
        FILES_QUEUE_URL=pipeline.queue_url,
    )
    assert moved.code == 0
    assert _bodies(pipeline, pipeline.queue_url) == [json.dumps({"Records": [event]})]


@pytest.mark.parametrize("options", [("--reason", "not_an_event"), ("--files", "--reason", "too_deep")])
def test_a_reason_of_the_other_queue_is_wrong_usage(run: Run, options: tuple[str, ...]) -> None:
    assert run("dlq", "ls", *options, FILES_DLQ_URL="http://x").code == ExitCode.USAGE


def test_exactly_the_messages_of_a_reason_are_moved(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--reason", "redrivable", "--yes")
    assert ran.code == 0
    assert "move 3 dead letters to" in ran.err
    assert "(3 redrivable)" in ran.err
    assert "moved 3 of 3" in ran.err
    assert _left(mixed) == ["poison", "{}"]
    moved = {message["Body"]: message["MessageAttributes"] for message in mixed.received(mixed.queue_url)}
    assert moved[_email()] == ATTRIBUTES
    assert all("message_id" in attributes for attributes in moved.values())


def test_a_condition_that_names_no_reason_leaves_what_would_be_refused_again(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--older-than", "2099-01-01", "--yes")
    assert "2 stay" in ran.err
    assert _left(mixed) == ["poison", "{}"]


def test_force_and_a_named_reason_move_poison_too(mixed: Pipeline, run: Run) -> None:
    assert run("dlq", "redrive", "--reason", "invalid_json", "--yes").code == 0
    assert _bodies(mixed, mixed.queue_url) == ["poison"]
    assert run("dlq", "redrive", "--force", "--yes").code == 0
    assert _left(mixed) == []


def test_all_are_moved_one_by_one_where_sqs_cannot_do_it(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--yes", "--rate", "1000")
    assert ran.code == 0
    assert "no StartMessageMoveTask" in ran.err
    assert len(_bodies(mixed, mixed.queue_url)) == 5
    assert _left(mixed) == []


def _with_move_tasks(monkeypatch: pytest.MonkeyPatch, ended: dict[str, Any]) -> list[dict[str, Any]]:
    """Let SQS have move tasks, as AWS does; return a list that gets the parameters of each that is started."""
    started: list[dict[str, Any]] = []
    call: Any = BaseClient.__dict__["_make_api_call"]

    def answering(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "StartMessageMoveTask":
            started.append(parameters)
            return {"TaskHandle": "handle"}
        return {"Results": [ended]} if operation == "ListMessageMoveTasks" else call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", answering)
    return started


def test_all_are_moved_by_sqs_itself(mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started = _with_move_tasks(monkeypatch, {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 5})
    ran = run("dlq", "redrive", "--yes", "--rate", "50")
    assert (ran.code, "SQS moves them now" in ran.err) == (0, True)
    assert "move all dead letters, about 5" in ran.err
    (task,) = started
    assert task["SourceArn"].endswith(f":dlq-{mixed.name}")
    assert task["MaxNumberOfMessagesPerSecond"] == 50
    assert len(_left(mixed)) == 5


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", ExitCode.DONE), ("FAILED", ExitCode.DONE_IN_PART)])
def test_the_end_of_a_move_by_sqs_can_be_waited_for(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch, status: str, code: ExitCode
) -> None:
    ended = {"Status": status, "ApproximateNumberOfMessagesMoved": 5, "FailureReason": "AccessDenied"}
    _with_move_tasks(monkeypatch, ended)
    ran = run("dlq", "redrive", "--yes", "--wait")
    assert (ran.code, f"{status}: 5 moved, AccessDenied" in ran.err) == (code, True)


@pytest.mark.parametrize("command", [("redrive",), ("redrive", "--force"), ("delete", "--all")])
def test_a_dry_run_and_a_question_that_nobody_answers_change_nothing(
    mixed: Pipeline, run: Run, command: tuple[str, ...]
) -> None:
    assert run("dlq", *command, "--dry-run").code == 0
    refused = run("dlq", *command)
    assert (refused.code, "pass --yes" in refused.err) == (ExitCode.USAGE, True)
    assert len(_left(mixed)) == 5
    assert _bodies(mixed, mixed.queue_url) == []


@pytest.mark.parametrize("command", [("redrive",), ("redrive", "--max", "1"), ("delete", "--all"), ("ls",)])
def test_nothing_that_matches_has_an_exit_code_of_its_own(run: Run, command: tuple[str, ...]) -> None:
    assert run("dlq", *command).code == ExitCode.NOTHING_MATCHED


def test_delete_takes_what_is_named_and_no_more(mixed: Pipeline, run: Run) -> None:
    assert run("dlq", "delete", "--yes").code == ExitCode.USAGE
    ran = run("dlq", "delete", "--reason", "invalid_json", "--yes")
    assert (ran.code, "deleted 1 of 1" in ran.err) == (0, True)
    assert len(_left(mixed)) == 4


def test_a_dump_comes_back_as_it_was(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    big = _email(email_content="x" * (1024 * 1024 - 300))
    mixed.dead_letter(big)
    path = tmp_path / "dump.jsonl"
    assert run("dlq", "dump", "--to", str(path)).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = mixed.received(mixed.dlq_url)
    assert run("dlq", "redrive", "--from", str(path), "--force", "--yes").code == 0
    after = {message["Body"]: message["MessageAttributes"] for message in mixed.received(mixed.queue_url)}
    assert len(after) == len(before) == 6
    for message in before:
        own = message.get("MessageAttributes", {})
        assert {name: value for name, value in after[message["Body"]].items() if name in own} == own
        assert set(after[message["Body"]]) - set(own) <= {"message_id"}


def test_a_dump_that_is_sent_twice_gives_the_same_ids(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    run("dlq", "dump", "--to", str(path), "--reason", "redrivable")
    for _ in range(2):
        assert run("dlq", "redrive", "--from", str(path), "--yes").code == 0
    sent = mixed.received(mixed.queue_url)
    assert len(sent) == 6
    assert len({message["MessageAttributes"]["message_id"]["StringValue"] for message in sent}) == 3


def test_a_dump_is_printed_only_as_content(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    assert run("dlq", "dump").code == ExitCode.USAGE
    assert run("dlq", "dump", "--content", "--to", "x").code == ExitCode.USAGE
    ran = run("dlq", "dump", "--content", "--id", ID)
    assert [row["body"] for row in ran.rows] == [_email()]


def test_an_empty_dump_leaves_no_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    assert run("dlq", "dump", "--to", str(path)).code == ExitCode.NOTHING_MATCHED
    assert not path.exists()


def test_a_dump_with_a_wrong_line_sends_nothing(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    run("dlq", "dump", "--to", str(path))
    path.write_text(path.read_text() + "{}\n")
    ran = run("dlq", "redrive", "--from", str(path), "--yes")
    assert (ran.code, "line 6 is no line of a dump: sqs_message_id" in ran.err) == (1, True)
    assert _bodies(mixed, mixed.queue_url) == []


def test_what_sqs_refuses_stays_and_is_counted(mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def refusing(reply: Any, count: int) -> list[str]:
        refused.append("once")
        return ["InternalError"] + [""] * (count - 1)

    monkeypatch.setattr(redrive, "results_of", refusing)
    ran = run("dlq", "redrive", "--reason", "redrivable", "--yes")
    assert ran.code == ExitCode.DONE_IN_PART
    assert "moved 2 of 3; failed: InternalError (1)" in ran.err
    assert len(_left(mixed)) == 3


def test_what_is_gone_before_it_is_moved_is_counted(mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox_ops.commands.dlq.agreed", lambda *_arguments, **_options: bool(_left(mixed)))
    ran = run("dlq", "redrive", "--reason", "redrivable")
    assert (ran.code, "moved 0 of 3; 3 not there any more" in ran.err) == (ExitCode.FAILED, True)
