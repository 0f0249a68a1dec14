import gzip
import json

import pytest

from pillarbox_ops.archive import Archive
from pillarbox_ops.aws import Clients
from pillarbox_ops.errors import OpsError
from pillarbox_ops.latest import last_archived
from pillarbox_ops.layout import Layout

from .emails import archived, id_at, message_day
from .pipelines import Pipeline

DEFAULT = "{prefix}{date:%Y/%m/%d}/{message_id}.json"


def _archive(pipeline: Pipeline, template: str = DEFAULT) -> Archive:
    clients = Clients("eu-west-1", pipeline.environment)
    return Archive(clients.s3, lambda: clients.store(pipeline.bucket), pipeline.bucket, Layout(template, "messages/"))


def _put_empty(pipeline: Pipeline, *keys: str) -> None:
    for key in keys:
        pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=b"{}")


def test_an_empty_archive_has_no_last_email(pipeline: Pipeline) -> None:
    _put_empty(pipeline, "health/service2-consumer", "conflicts/2027/01/01/x/y.json")
    assert last_archived(_archive(pipeline)) is None


def test_the_last_email_is_that_of_the_latest_id_over_years_months_and_days(pipeline: Pipeline) -> None:
    for minutes in (-60 * 24 * 400, -60 * 24 * 40, -60 * 24 * 2, 5, 0):
        archived(pipeline, minutes)
    found = last_archived(_archive(pipeline))
    assert found is not None
    assert found.message_id == id_at(5)
    assert found.key == f"messages/2026/11/28/{id_at(5)}.json"


def test_in_a_day_of_many_pages_it_is_found_without_listing_them_all(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox_ops.latest._PAGE", 5)
    folder = message_day(0)
    _put_empty(pipeline, *(f"messages/{folder}/{id_at(number)}.json" for number in range(40)))
    # A foreign producer's ids are not in the order of time, and stand behind all others.
    _put_empty(pipeline, *(f"messages/{folder}/ffffffff-1111-4222-8333-{number:012}.json" for number in range(6)))
    found = last_archived(_archive(pipeline))
    assert found is not None
    assert found.message_id == id_at(39)


def test_in_batch_layout_it_is_the_last_line_of_the_last_batch(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox_ops.latest._PAGE", 2)
    for hour, minutes in (("12", (0, 1)), ("12", (2, 3)), ("13", (40, 41))):
        lines = "".join(json.dumps({"message_id": id_at(minute)}) + "\n" for minute in minutes)
        key = f"messages/2026/11/28/{hour}/{id_at(minutes[0])}-{'f' * 64}.jsonl.gz"
        pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=gzip.compress(lines.encode()))
    found = last_archived(_archive(pipeline))
    assert found is not None
    assert found.message_id == id_at(41)


def test_keys_that_do_not_begin_with_the_date_are_an_error(pipeline: Pipeline) -> None:
    with pytest.raises(OpsError, match="do not begin with date folders"):
        last_archived(_archive(pipeline, "{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json"))


def test_a_large_day_whose_keys_go_on_with_the_sender_is_an_error(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox_ops.latest._PAGE", 2)
    _put_empty(pipeline, *(f"messages/2026/11/28/jane/{id_at(number)}.json" for number in range(3)))
    with pytest.raises(OpsError, match="unordered keys"):
        last_archived(_archive(pipeline, "{prefix}{date:%Y/%m/%d}/{sender}/{message_id}.json"))
