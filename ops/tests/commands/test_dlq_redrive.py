import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from pillarbox_ops import redrive
from pillarbox_ops.errors import ExitCode

from ..letters import ATTRIBUTES, bodies, email
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]


def test_exactly_the_messages_of_a_reason_are_moved(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--reason", "redrivable", "--yes")
    assert ran.code == 0
    assert "move 3 dead letters to" in ran.err
    assert "(3 redrivable)" in ran.err
    assert "moved 3 of 3" in ran.err
    assert bodies(mixed, mixed.dlq_url) == ["poison", "{}"]
    moved = {message["Body"]: message["MessageAttributes"] for message in mixed.received(mixed.queue_url)}
    assert moved[email()] == ATTRIBUTES
    assert all("message_id" in attributes for attributes in moved.values())


def test_a_condition_that_names_no_reason_leaves_what_would_be_refused_again(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--older-than", "2099-01-01", "--yes")
    assert "2 not moved" in ran.err
    assert bodies(mixed, mixed.dlq_url) == ["poison", "{}"]


def test_force_and_a_named_reason_move_poison_too(mixed: Pipeline, run: Run) -> None:
    assert run("dlq", "redrive", "--reason", "invalid_json", "--yes").code == 0
    assert bodies(mixed, mixed.queue_url) == ["poison"]
    assert run("dlq", "redrive", "--force", "--yes").code == 0
    assert bodies(mixed, mixed.dlq_url) == []


def test_all_are_moved_one_by_one_where_sqs_cannot_do_it(mixed: Pipeline, run: Run) -> None:
    ran = run("dlq", "redrive", "--yes", "--rate", "1000")
    assert ran.code == 0
    assert "no StartMessageMoveTask" in ran.err
    assert len(bodies(mixed, mixed.queue_url)) == 5
    assert bodies(mixed, mixed.dlq_url) == []


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
    assert (ran.code, "SQS is moving the messages" in ran.err) == (0, True)
    assert "move all dead letters, about 5" in ran.err
    (task,) = started
    assert task["SourceArn"].endswith(f":dlq-{mixed.name}")
    assert task["MaxNumberOfMessagesPerSecond"] == 50
    assert len(bodies(mixed, mixed.dlq_url)) == 5


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", ExitCode.DONE), ("FAILED", ExitCode.DONE_IN_PART)])
def test_the_end_of_a_move_by_sqs_can_be_waited_for(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch, status: str, code: ExitCode
) -> None:
    ended = {"Status": status, "ApproximateNumberOfMessagesMoved": 5, "FailureReason": "AccessDenied"}
    _with_move_tasks(monkeypatch, ended)
    ran = run("dlq", "redrive", "--yes", "--wait")
    assert (ran.code, f"{status}: 5 moved, AccessDenied" in ran.err) == (code, True)


def test_a_dump_comes_back_as_it_was(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    big = email(email_content="x" * (1024 * 1024 - 300))
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


def test_a_dump_with_a_wrong_line_sends_nothing(mixed: Pipeline, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.jsonl"
    run("dlq", "dump", "--to", str(path))
    path.write_text(path.read_text() + "{}\n")
    ran = run("dlq", "redrive", "--from", str(path), "--yes")
    assert (ran.code, "line 6 is no line of a dump: sqs_message_id" in ran.err) == (1, True)
    assert bodies(mixed, mixed.queue_url) == []


def test_what_sqs_refuses_stays_and_is_counted(mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def refusing(reply: Any, count: int) -> list[str]:
        refused.append("once")
        return ["InternalError"] + [""] * (count - 1)

    monkeypatch.setattr(redrive, "results_of", refusing)
    ran = run("dlq", "redrive", "--reason", "redrivable", "--yes")
    assert ran.code == ExitCode.DONE_IN_PART
    assert "moved 2 of 3; failed: InternalError (1)" in ran.err
    assert len(bodies(mixed, mixed.dlq_url)) == 3


def test_what_is_gone_before_it_is_moved_is_counted(mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pillarbox_ops.letter_work.agreed", lambda *_arguments, **_options: bool(bodies(mixed, mixed.dlq_url))
    )
    ran = run("dlq", "redrive", "--reason", "redrivable")
    assert (ran.code, "moved 0 of 3; 3 no longer in the queue" in ran.err) == (ExitCode.FAILED, True)


def test_sqs_is_not_asked_for_a_rate_that_it_does_not_have(
    mixed: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = _with_move_tasks(monkeypatch, {})
    ran = run("dlq", "redrive", "--yes", "--rate", "0.2")
    assert (ran.code, "give a higher --rate, or --force" in " ".join(ran.err.split())) == (ExitCode.USAGE, True)
    assert (started, len(bodies(mixed, mixed.dlq_url))) == ([], 5)
    assert "Below 1 only with a condition, --from or --force" in " ".join(run("dlq", "redrive", "--help").out.split())


def test_a_low_rate_is_kept_where_the_messages_are_moved_from_here(mixed: Pipeline, run: Run) -> None:
    assert run("dlq", "redrive", "--reason", "invalid_json", "--yes", "--rate", "0.2").code == 0
    assert bodies(mixed, mixed.queue_url) == ["poison"]
