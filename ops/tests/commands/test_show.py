import gzip
import json
from collections.abc import Callable

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import archived, example, id_at
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]


def test_an_email_is_shown_without_its_content(run: Run, pipeline: Pipeline) -> None:
    message_id = archived(pipeline, email_content="a hidden word", note="another hidden word")
    ran = run("show", message_id)
    (shown,) = ran.rows
    assert ran.code == ExitCode.DONE
    assert shown["subject"] == "A subject"
    assert shown["object"] == f"s3://{pipeline.bucket}/messages/2026/11/28/{message_id}.json"
    assert shown["content_characters"] == 13
    assert shown["other_fields"] == {"note": "text, 19 characters"}
    assert (shown["copies"], shown["conflicts"]) == ([], [])
    assert "hidden" not in ran.out
    assert "hidden" not in run("show", message_id, "-o", "table").out


def test_attachments_are_a_table_of_their_own(run: Run, pipeline: Pipeline) -> None:
    message_id = archived(pipeline, attachments=[{"name": "a.pdf", "type": "application/pdf", "content": "aGlkZGVu"}])
    ran = run("show", message_id, "-o", "table")
    assert [line.split() for line in ran.out.splitlines()][-1] == ["a.pdf", "application/pdf", "6", "-"]
    assert "aGlkZGVu" not in ran.out


def test_conflicts_copies_and_the_digest_are_shown(run: Run, pipeline: Pipeline) -> None:
    message_id = id_at(0)
    record = json.dumps({"message_id": message_id, "email_data": example()}).encode()
    batch = f"messages/2026/11/28/12/{message_id}-{'f' * 64}.jsonl.gz"
    conflict = f"conflicts/2026/11/28/{message_id}/{'a' * 64}.json"
    key = f"messages/2026/11/28/{message_id}.json"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=record, Metadata={"email-sha256": "b" * 64})
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=batch, Body=gzip.compress(record + b"\n"))
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=conflict, Body=record)
    (shown,) = run("show", message_id).rows
    assert shown["copies"] == [batch]
    assert shown["conflicts"] == [conflict]
    assert shown["email_sha256"] == "b" * 64


def test_the_content_is_printed_alone_when_asked_for(run: Run, pipeline: Pipeline) -> None:
    assert run("show", archived(pipeline), "--content").out == "The content\n"


def test_the_raw_record_is_every_byte_as_it_was_stored(run: Run, pipeline: Pipeline) -> None:
    message_id = id_at(0)
    raw = f'{{"message_id" : "{message_id}",  "email_data": {{"x": 1.50}}}}'.encode()
    key = f"messages/2026/11/28/{message_id}.json.gz"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=gzip.compress(raw))
    assert run("show", message_id, "--raw").out == raw.decode()


@pytest.mark.parametrize("options", [(), ("--content",), ("--raw",)])
def test_an_id_that_is_not_there_matches_nothing(run: Run, options: tuple[str, ...]) -> None:
    ran = run("show", id_at(0), *options)
    assert (ran.code, ran.out) == (ExitCode.NOTHING_MATCHED, "")


def test_content_and_raw_exclude_each_other(run: Run) -> None:
    assert run("show", id_at(0), "--content", "--raw").code == ExitCode.USAGE
