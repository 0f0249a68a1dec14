from pathlib import Path
from typing import Any

import pytest

from pillarbox_ops import scan
from pillarbox_ops.app import App
from pillarbox_ops.dead_letters import DeadLetterQueue, Selection
from pillarbox_ops.dumps import line_of
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.letter_work import Wanted
from pillarbox_ops.output import Output
from pillarbox_ops.reasons import of_email
from pillarbox_ops.redrive import Moved
from pillarbox_ops.target import Target

from .pipelines import Pipeline


def _wanted(
    pipeline: Pipeline, selection: Selection | None = None, maximum: int | None = None, **target: Any
) -> Wanted:
    app = App(Output("jsonl"), dry_run=True)
    app.__dict__["_resolved"] = Target(**target), {}
    queue = DeadLetterQueue(pipeline.sqs, pipeline.dlq_url, pipeline.queue_url, of_email)
    return Wanted(app, queue, files=False, selection=selection or Selection(), maximum=maximum, hold_seconds=60)


@pytest.fixture
def filled(pipeline: Pipeline) -> Pipeline:
    """A dead-letter queue with four messages, two of them no JSON."""
    for body in ("[]", "poison", "{}", "more poison"):
        pipeline.dead_letter(body)
    return pipeline


def test_the_messages_that_are_meant_are_those_accepted_up_to_the_number(filled: Pipeline) -> None:
    wanted = _wanted(filled, Selection(reasons=("invalid_json",)), maximum=1)
    with wanted.scan() as looked:
        assert [letter.reason for letter in wanted.letters(looked)] == ["invalid_json"]


def test_a_survey_reads_the_queue_or_a_dump(filled: Pipeline, tmp_path: Path) -> None:
    wanted, path = _wanted(filled), tmp_path / "dump"
    assert wanted.survey(lambda _letter: True).summary() == "2 not_an_email, 2 invalid_json"
    with wanted.scan() as looked:
        path.write_text(line_of(next(iter(looked))) + "\n")
    assert len(wanted.survey(lambda _letter: True, path).ids) == 1


def test_a_first_look_says_what_it_cannot_see(
    filled: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scan, "MAX_HELD", 3)
    filled.sqs.receive_message(QueueUrl=filled.dlq_url)
    wanted = _wanted(filled)
    for again in (False, True):
        with wanted.scan(again=again) as looked:
            assert len(list(looked)) == 3
    notes = capsys.readouterr().err
    assert notes.count("1 more are hidden:") == 1
    assert notes.count("run the command again for the rest") == 2


def test_a_queue_to_move_to_must_be_known(pipeline: Pipeline) -> None:
    assert _wanted(pipeline, queue_url="http://queue").source_url == "http://queue"
    with pytest.raises(OpsError, match="SQS_QUEUE_URL is not set"):
        _ = _wanted(pipeline).source_url


def test_a_dry_run_shows_a_sample_and_does_not_agree(filled: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = _wanted(filled)
    assert not wanted.agreed("move 4 dead letters", wanted.survey(lambda _letter: True))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "would move 4 dead letters"
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("result", "code", "text"),
    [
        (Moved(3), ExitCode.DONE, "moved 3 of 3"),
        (
            Moved(1, {"a": "InternalError"}),
            ExitCode.DONE_IN_PART,
            "moved 1 of 3; failed: InternalError (1); 1 no longer in the queue",
        ),
        (Moved(0, {"a": "X", "b": "X", "c": "Y"}), ExitCode.FAILED, "moved 0 of 3; failed: X (2), Y (1)"),
    ],
)
def test_a_report_has_what_was_done_what_failed_and_what_was_gone(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], result: Moved, code: ExitCode, text: str
) -> None:
    assert _wanted(pipeline).report("moved", result, 3) == code
    assert capsys.readouterr().err.startswith(text)


def test_nothing_found_is_said(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = _wanted(pipeline)
    assert (wanted.found(2), wanted.found(0)) == (ExitCode.DONE, ExitCode.NOTHING_MATCHED)
    assert capsys.readouterr().err == "no dead letter matches\n"


def test_a_look_that_did_not_see_all_is_done_in_part(
    filled: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = _wanted(filled)
    with wanted.scan(changes=False) as look:
        number = len(list(look))
        assert wanted.looked(number, look) == ExitCode.DONE
        monkeypatch.setattr(scan, "MAX_HELD", number)
        assert wanted.looked(number, look) == ExitCode.DONE_IN_PART
    assert (
        capsys.readouterr().err == "SQS returns no more messages while this many are in flight: the rest was not read\n"
    )
