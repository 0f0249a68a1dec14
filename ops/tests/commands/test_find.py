import json
from collections.abc import Callable

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import archived, id_at
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
DAY = ("--after", "2026-11-28", "--before", "2026-11-29")


def test_an_email_is_found_by_its_id_alone(run: Run, pipeline: Pipeline) -> None:
    message_id = archived(pipeline)
    ran = run("find", message_id.upper(), "-o", "json")
    assert ran.code == ExitCode.DONE
    (found,) = json.loads(ran.out)
    assert found == {
        "message_id": message_id,
        "received_at": "2026-11-28T12:30:00.000Z",
        "sender": "Jane Doe <jane.doe@example.com>",
        "subject": "A subject",
        "size": found["size"],
        "key": f"messages/2026/11/28/{message_id}.json",
    }


def test_an_id_that_is_not_there_matches_nothing(run: Run) -> None:
    ran = run("find", id_at(0))
    assert (ran.code, ran.out) == (ExitCode.NOTHING_MATCHED, "")
    assert f"{id_at(0)} is not in the archive" in ran.err


def test_of_several_ids_those_that_are_there_are_printed_in_their_order(run: Run, pipeline: Pipeline) -> None:
    ids = [archived(pipeline, minutes) for minutes in (0, 1, 2)]
    assert [row["message_id"] for row in run("find", *reversed(ids)).rows] == ids[::-1]
    ran = run("find", ids[0], id_at(9), ids[2])
    assert ran.code == ExitCode.DONE_IN_PART
    assert [row["message_id"] for row in ran.rows] == [ids[0], ids[2]]


def test_emails_are_found_by_conditions(run: Run, pipeline: Pipeline) -> None:
    ids = [
        archived(pipeline, 0, email_subject="Invoice 1"),
        archived(pipeline, 1, email_subject="Invoice 2", email_sender="joe@example.com"),
        archived(pipeline, 2, email_content="a parcel " * 500),
    ]
    expected: dict[tuple[str, ...], list[int]] = {
        (): [0, 1, 2],
        ("--sender", "JOE"): [1],
        ("--subject", "invoice"): [0, 1],
        ("--subject", "invoice", "--sender", "jane"): [0],
        ("--text", "parcel"): [2],
        ("--larger", "2k"): [2],
        ("--smaller", "2k", "--limit", "1"): [0],
        ("--text", "nowhere"): [],
    }
    ran = {conditions: run("find", *DAY, *conditions) for conditions in expected}
    assert {c: [ids.index(row["message_id"]) for row in found.rows] for c, found in ran.items()} == expected
    assert {c for c, found in ran.items() if found.code != ExitCode.DONE} == {("--text", "nowhere")}
    assert ran["--text", "nowhere"].code == ExitCode.NOTHING_MATCHED


def test_content_is_never_printed(run: Run, pipeline: Pipeline) -> None:
    archived(pipeline, email_content="a hidden word")
    ran = run("find", *DAY, "--text", "hidden", "-o", "table")
    assert "A subject" in ran.out
    assert "hidden" not in ran.out + ran.err


def test_an_object_that_cannot_be_read_does_not_end_the_search(run: Run, pipeline: Pipeline) -> None:
    first, last = archived(pipeline, 0), archived(pipeline, 2)
    broken = f"messages/2026/11/28/12/{id_at(1)}-{'f' * 64}.jsonl.gz"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=broken, Body=b"\x1f\x8bcut off")
    ran = run("find", *DAY)
    assert ran.code == ExitCode.DONE_IN_PART
    assert [row["message_id"] for row in ran.rows] == [first, last]
    assert broken in ran.err


@pytest.mark.parametrize("arguments", [("no-id",), (id_at(0), "--sender", "x")])
def test_a_wrong_id_and_ids_with_conditions_are_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("find", *arguments).code == ExitCode.USAGE
