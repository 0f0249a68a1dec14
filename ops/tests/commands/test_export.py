import json
import mailbox
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import archived, id_at
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
DAY = ("--after", "2026-11-28", "--before", "2026-11-29")


def test_a_range_becomes_one_file_for_each_email(run: Run, pipeline: Pipeline, tmp_path: Path) -> None:
    ids = [archived(pipeline, minutes) for minutes in (0, 1)]
    ran = run("export", "eml", "out", *DAY)
    assert ran.code == ExitCode.DONE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{message_id}.eml" for message_id in ids]
    assert "2 e-mails in out" in ran.err


def test_a_range_becomes_an_mbox(run: Run, pipeline: Pipeline, tmp_path: Path) -> None:
    archived(pipeline, 0, email_subject="First")
    archived(pipeline, 1, email_subject="Second")
    assert run("export", "mbox", "out", *DAY).code == ExitCode.DONE
    box = mailbox.mbox(tmp_path / "out")
    assert [message["Subject"] for message in box] == ["First", "Second"]
    box.close()


def test_ids_become_json_lines_on_standard_output_with_content_alone(run: Run, pipeline: Pipeline) -> None:
    message_id = archived(pipeline)
    refused = run("export", "jsonl", "-", message_id)
    assert (refused.code, refused.out) == (ExitCode.USAGE, "")
    assert "needs --content" in refused.err
    ran = run("export", "jsonl", "-", message_id, "--content")
    assert json.loads(ran.out)["email_data"]["email_content"] == "The content"


def test_attachments_that_no_record_embeds_are_counted(run: Run, pipeline: Pipeline) -> None:
    message_id, entry = id_at(0), {"file_name": "a.pdf", "size_bytes": 3}
    pipeline.archive({"email_subject": "x"}, message_id, f"messages/2026/11/28/{message_id}.json", attachments=[entry])
    assert "1 attachments are not embedded" in run("export", "mbox", "out", message_id).err


def test_nothing_matched_writes_nothing(run: Run, tmp_path: Path) -> None:
    assert run("export", "mbox", "out", *DAY).code == ExitCode.NOTHING_MATCHED
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("eml", "out"), ("eml", "-", "--sender", "x", "--content"), ("pdf", "out")])
def test_everything_and_files_on_standard_output_are_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("export", *arguments).code == ExitCode.USAGE
