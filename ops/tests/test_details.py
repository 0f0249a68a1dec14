import gzip
import json
from typing import Any

import pytest

from pillarbox_ops.archive import Archive
from pillarbox_ops.aws import Clients
from pillarbox_ops.details import details_of, raw_record
from pillarbox_ops.layout import Layout

from .emails import archived, id_at
from .pipelines import Pipeline


def _archive(pipeline: Pipeline) -> Archive:
    clients = Clients("eu-west-1", pipeline.environment)
    layout = Layout("{prefix}{date:%Y/%m/%d}/{message_id}.json", "messages/")
    return Archive(clients.s3, lambda: clients.store(pipeline.bucket), pipeline.bucket, layout)


def test_another_field_is_named_by_its_kind(pipeline: Pipeline) -> None:
    fields: dict[str, Any] = {"a": "text", "b": 3, "c": 1.5, "d": True, "e": None, "f": [1, 2], "g": {"a": 1}}
    found = details_of(_archive(pipeline), archived(pipeline, **fields))
    assert found is not None
    assert found.document("b")["other_fields"] == {
        "a": "text, 4 characters",
        "b": "number",
        "c": "number",
        "d": "true or false",
        "e": "null",
        "f": "list, 2 entries",
        "g": "object, 1 entries",
    }


def test_what_is_not_archived_has_no_details(pipeline: Pipeline) -> None:
    assert details_of(_archive(pipeline), id_at(0)) is None


def test_a_right_that_is_missing_leaves_the_rest(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _archive(pipeline)
    message_id = archived(pipeline)
    found = archive.find(message_id)
    assert found is not None
    monkeypatch.setattr(archive, "copies", lambda _id: iter([found]))
    pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=found.key)
    details = details_of(archive, message_id)
    assert details is not None
    assert details.email is found
    assert details.problems == ["AWS refused HeadObject: 404"]


def test_the_raw_record_of_a_batch_is_its_line(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    lines = [
        json.dumps({"message_id": id_at(0), "email_data": {"note": id_at(1)}}),
        f'{{"message_id":   "{id_at(1)}"}}',
    ]
    key = f"messages/2026/11/28/12/{id_at(0)}-{'f' * 64}.jsonl.gz"
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=gzip.compress("\n".join(lines).encode()))
    found = archive.find(id_at(1))
    assert found is not None
    assert raw_record(archive, found) == lines[1].encode()
