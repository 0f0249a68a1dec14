import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from pillarbox_ops import scan
from pillarbox_ops.dead_letters import DeadLetter
from pillarbox_ops.dumps import line_of
from pillarbox_ops.errors import ExitCode

from ..letters import ID, SECRET, bodies, email
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]


def test_ls_shows_each_message_with_its_reason_and_no_content(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "ls")
    assert ran.code == 0
    assert sorted(row["reason"] for row in ran.rows) == ["invalid_json", "not_an_email", *["redrivable"] * 3]
    assert {row["message_id"] for row in ran.rows} == {None, ID}
    assert {row["receives"] for row in ran.rows} == {1}
    assert SECRET not in ran.out + ran.err
    assert len(bodies(mixed, mixed.dlq_url)) == 5


def test_a_table_shows_the_age_and_nothing_that_a_terminal_obeys(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "ls", "-o", "table")
    assert "AGE" in ran.out
    assert "0:00:0" in ran.out
    assert "\\x1b[31mred" in ran.out
    assert "\x1b" not in ran.out


def test_ls_lists_what_the_options_name(mixed: Pipeline, run: Run) -> None:
    expected = {
        ("--reason", "redrivable"): 3,
        ("--reason", "invalid_json", "--reason", "not_an_email"): 2,
        ("--sender", "JOHN"): 1,
        ("--id", ID): 1,
        ("--older-than", "1d"): 0,
        ("--older-than", "2099-01-01"): 5,
        ("--max", "2"): 2,
    }
    ran = {options: run("dlq", "ls", *options) for options in expected}
    assert {options: len(found.rows) for options, found in ran.items()} == expected
    assert {options for options, found in ran.items() if found.code != 0} == {("--older-than", "1d")}
    assert ran["--older-than", "1d"].code == ExitCode.NOTHING_MATCHED


def test_what_somebody_else_holds_is_said(mixed: Pipeline, run: Run) -> None:
    mixed.sqs.receive_message(QueueUrl=mixed.dlq_url, MaxNumberOfMessages=2)
    ran = run("dlq", "ls")
    assert len(ran.rows) == 3
    assert "2 more are hidden:" in ran.err


def test_a_queue_with_more_than_can_be_looked_at_is_said(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MAX_HELD", 5)
    assert "run the command again for the rest" in run("dlq", "redrive", "--force", "--dry-run").err


@pytest.mark.parametrize("command", [("ls",), ("dump", "--to", "dump.jsonl")])
def test_a_look_that_did_not_see_all_is_done_in_part(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(scan, "MAX_HELD", 5)
    ran = run("dlq", *command)
    assert (ran.code, "the rest was not read" in ran.err) == (ExitCode.DONE_IN_PART, True)
    assert "run the command again" not in ran.err


def test_show_prints_attributes_and_the_body_only_when_asked(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "show", ID, "-o", "json")
    shown = json.loads(ran.out)
    assert shown["attributes"]["picture"] == {"type": "Binary.jpg", "base64": "AP8K"}
    assert "body" not in shown
    assert SECRET not in ran.out
    sqs_message_id = shown["sqs_message_id"]
    assert json.loads(run("dlq", "show", sqs_message_id, "--content").out)["body"] == email()
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
    assert bodies(pipeline, pipeline.queue_url) == [json.dumps({"Records": [event]})]


@pytest.mark.parametrize("options", [("--reason", "not_an_event"), ("--files", "--reason", "too_deep")])
def test_a_reason_of_the_other_queue_is_wrong_usage(run: Run, options: tuple[str, ...]) -> None:
    assert run("dlq", "ls", *options, FILES_DLQ_URL="http://x").code == ExitCode.USAGE


@pytest.mark.parametrize("command", [("redrive",), ("redrive", "--force"), ("delete", "--all")])
def test_a_dry_run_and_a_question_that_nobody_answers_change_nothing(
    mixed: Pipeline, run: Run, command: tuple[str, ...]
) -> None:
    assert run("dlq", *command, "--dry-run").code == 0
    refused = run("dlq", *command)
    assert (refused.code, "pass --yes" in refused.err) == (ExitCode.USAGE, True)
    assert len(bodies(mixed, mixed.dlq_url)) == 5
    assert bodies(mixed, mixed.queue_url) == []


@pytest.mark.parametrize("command", [("redrive",), ("redrive", "--max", "1"), ("delete", "--all"), ("ls",)])
def test_nothing_that_matches_has_an_exit_code_of_its_own(run: Run, command: tuple[str, ...]) -> None:
    assert run("dlq", *command).code == ExitCode.NOTHING_MATCHED


def test_delete_takes_what_is_named_and_no_more(mixed: Pipeline, run: Run) -> None:
    assert run("dlq", "delete", "--yes").code == ExitCode.USAGE
    ran = run("dlq", "delete", "--reason", "invalid_json", "--yes")
    assert (ran.code, "deleted 1 of 1" in ran.err) == (0, True)
    assert len(bodies(mixed, mixed.dlq_url)) == 4


def test_a_dump_is_printed_only_as_content(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    assert run("dlq", "dump").code == ExitCode.USAGE
    assert run("dlq", "dump", "--content", "--to", "x").code == ExitCode.USAGE
    ran = run("dlq", "dump", "--content", "--id", ID)
    assert [row["body"] for row in ran.rows] == [email()]


def test_an_empty_dump_leaves_no_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    assert run("dlq", "dump", "--to", str(path)).code == ExitCode.NOTHING_MATCHED
    assert not path.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EndpointConnectionError(endpoint_url="http://127.0.0.1:9")])
def test_a_dump_that_ends_early_leaves_no_file(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    written: list[str] = []

    def ending(letter: DeadLetter) -> str:
        if written:
            assert [path.name for path in folder.iterdir()] == ["dump.jsonl.part"]
            raise error
        written.append(letter.body)
        return line_of(letter)

    monkeypatch.setattr("pillarbox_ops.commands.dlq.line_of", ending)
    assert run("dlq", "dump", "--to", str(folder / "dump.jsonl")).code in (ExitCode.FAILED, 130)
    assert (len(written), list(folder.iterdir())) == (1, [])
    assert len(bodies(mixed, mixed.dlq_url)) == 5


def test_a_queue_that_cannot_be_read_leaves_no_dump(run: Run, pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    ran = run("dlq", "dump", "--to", str(folder / "dump.jsonl"), SQS_DLQ_URL=f"{pipeline.dlq_url}-missing")
    assert (ran.code, list(folder.iterdir())) == (ExitCode.FAILED, [])
