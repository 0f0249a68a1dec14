import gzip
import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from pillarbox.ids import message_id_at
from pillarbox.message import rfc3339
from pillarbox_ops.archive import Archive, checked_id
from pillarbox_ops.aws import Clients
from pillarbox_ops.errors import OpsError
from pillarbox_ops.layout import Layout, Span, instant, time_in
from pillarbox_ops.records import StoredObject
from pillarbox_ops.search import Query

from .pipelines import Pipeline
from .ui import fake_archive
from .ui.fake_archive import FakeArchive

NOON = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
DEFAULT = "{prefix}{date:%Y/%m/%d}/{message_id}.json"


def _id(minutes: float, tail: int = 0) -> str:
    return message_id_at(NOON + timedelta(minutes=minutes), tail.to_bytes(10, "big"))


def _archive(pipeline: Pipeline, template: str = DEFAULT) -> Archive:
    clients = Clients("eu-west-1", pipeline.environment)
    layout = Layout(template, "messages/")
    return Archive(clients.s3, lambda: clients.store(pipeline.bucket), pipeline.bucket, layout)


FOREIGN = "5c1b2f0e-1111-4222-8333-444455556666"  # tells no time; an object that it names is dated by nothing
MIDNIGHT = datetime(2025, 3, 11, tzinfo=UTC)


def _put(pipeline: Pipeline, archive: Archive, message_id: str, sender: str = "jane") -> str:
    (key, *_) = archive.layout.keys_of(message_id) or (f"messages/2026/11/28/{sender}/{message_id}.json",)
    return pipeline.archive({"email_subject": message_id[-4:], "email_sender": sender}, message_id, key)


def _put_batch(pipeline: Pipeline, *message_ids: str) -> str:
    key = f"messages/2026/11/28/12/{message_ids[0]}-{'f' * 64}.jsonl.gz"
    lines = (json.dumps({"message_id": m, "email_data": {"email_subject": m[-4:]}}) + "\n" for m in message_ids)
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=gzip.compress("".join(lines).encode()))
    return key


def test_a_span_lists_only_its_objects_in_the_order_of_their_ids(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    keys = [_put(pipeline, archive, _id(minutes)) for minutes in (-60, 0, 1, 60 * 24)]
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key="health/service2-consumer", Body=b"x")
    found = archive.objects(Span(NOON, NOON + timedelta(minutes=2)))
    assert [entry.key for entry in found] == keys[1:3]


def test_an_email_is_found_by_its_id_alone(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    key = _put(pipeline, archive, _id(0, 1))
    _put(pipeline, archive, _id(0, 2))
    found = archive.find(_id(0, 1))
    assert found is not None
    assert (found.message_id, found.key) == (_id(0, 1), key)
    assert archive.find(_id(0, 3)) is None


def test_a_compressed_object_is_found(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    body = gzip.compress(json.dumps({"message_id": _id(0)}).encode())
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=f"messages/2026/11/28/{_id(0)}.json.gz", Body=body)
    assert archive.find(_id(0)) is not None


def test_an_email_is_found_in_the_batch_that_holds_it(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    _put_batch(pipeline, _id(-10), _id(-9))
    key = _put_batch(pipeline, _id(-2), _id(-1), _id(0))
    _put_batch(pipeline, _id(1), _id(2))
    found = archive.find(_id(0))
    assert found is not None
    assert (found.key, found.message_id) == (key, _id(0))
    assert archive.find(_id(3)) is None


def test_an_email_whose_key_depends_on_its_sender_is_found_in_its_day(pipeline: Pipeline) -> None:
    archive = _archive(pipeline, "{prefix}{date:%Y/%m/%d}/{sender}/{message_id}.json")
    key = _put(pipeline, archive, _id(0, 1), "jane")
    _put(pipeline, archive, _id(0, 2), "joe")
    found = archive.find(_id(0, 1))
    assert found is not None
    assert found.key == key


def test_many_objects_are_read_in_their_order_and_counted(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox_ops.archive._AHEAD", 8)
    archive = _archive(pipeline)
    ids = [_id(0, number) for number in range(40)]
    for message_id in ids:
        _put(pipeline, archive, message_id)
    done: list[None] = []
    emails = archive.read_all(archive.objects(instant(NOON)), lambda: done.append(None))
    assert [email.message_id for email in emails] == ids
    assert len(done) == 40


def test_an_object_that_is_gone_is_an_error_that_names_it(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    _put(pipeline, archive, _id(0))
    listed = list(archive.objects(instant(NOON)))
    pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=listed[0].key)
    with pytest.raises(OpsError, match=f"s3://{pipeline.bucket}/messages/2026/11/28/.* cannot be read"):
        list(archive.read_all(listed))


def test_what_cannot_be_read_is_told_and_the_rest_is_read(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    for number in range(3):
        _put(pipeline, archive, _id(0, number))
    listed = list(archive.objects(instant(NOON)))
    pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=listed[1].key)
    errors: list[OpsError] = []
    found = [email.message_id for email in archive.read_all(listed, failed=errors.append)]
    assert found == [_id(0, 0), _id(0, 2)]
    assert [str(error).split()[0] for error in errors] == [f"s3://{pipeline.bucket}/{listed[1].key}"]


def test_large_objects_are_not_read_far_ahead(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _archive(pipeline)
    for number in range(20):
        _put(pipeline, archive, _id(0, number))
    monkeypatch.setattr("pillarbox_ops.archive._AHEAD_BYTES", 1)
    listed = list(archive.objects(instant(NOON)))
    taken: list[str] = []

    def one_by_one() -> Iterator[StoredObject]:
        for found in listed:
            taken.append(found.key)
            yield found

    emails = archive.read_all(one_by_one())
    next(emails)
    assert len(taken) == 1
    assert len(list(emails)) == 19


def test_the_copies_of_an_email_are_all_objects_that_hold_its_id(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    key = _put(pipeline, archive, _id(0))
    batches = [_put_batch(pipeline, _id(minutes), _id(0)) for minutes in (-29, -1)]
    _put_batch(pipeline, _id(1), _id(2))
    assert [copy.key for copy in archive.copies(_id(0))] == [key, *reversed(batches)]


def test_the_digest_of_an_object_is_what_the_consumer_noted(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key="a", Body=b"", Metadata={"email-sha256": "0f"})
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key="b", Body=b"")
    assert (archive.digest("a"), archive.digest("b")) == ("0f", None)


def test_conflicts_are_the_other_emails_of_an_id(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    keys = [f"conflicts/2026/11/28/{_id(0)}/{letter * 64}.json" for letter in "ab"]
    for key in (*keys, f"conflicts/2026/11/28/{_id(1)}/{'c' * 64}.json"):
        pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=b"{}")
    assert [found.key for found in archive.conflicts(_id(0))] == keys


def test_folders_are_the_next_parts_of_the_keys(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    _put(pipeline, archive, _id(0))
    assert archive.folders("messages/2026/11/") == ["28"]
    assert archive.folders("messages/2027/") == []


def test_a_wrong_id_is_an_error_and_upper_case_is_not() -> None:
    assert checked_id(_id(0).upper()) == _id(0)
    with pytest.raises(OpsError, match="is not a UUIDv7"):
        checked_id("5c1b2f0e-1111-4222-8333-444455556666")


def _put_around_midnight(pipeline: Pipeline) -> set[str]:
    """Archive e-mails whose id, receipt and write lie on different days, and return their ids."""
    sent = {
        message_id_at(MIDNIGHT - timedelta(milliseconds=200), bytes(10)): MIDNIGHT + timedelta(milliseconds=200),
        message_id_at(MIDNIGHT + timedelta(milliseconds=1), bytes(10)): MIDNIGHT - timedelta(seconds=1),
        message_id_at(MIDNIGHT, bytes(10)): MIDNIGHT - timedelta(days=3),
        FOREIGN: MIDNIGHT - timedelta(seconds=1),
        f"4{FOREIGN[1:]}": MIDNIGHT,
    }
    for message_id, received_at in sent.items():
        day = time_in(message_id) or received_at
        metadata = {"received_at": rfc3339(received_at)}
        pipeline.archive({}, message_id, f"messages/{day:%Y/%m/%d}/{message_id}.json", metadata=metadata)
    raw = f"6{FOREIGN[1:]}"  # without a time of receipt; it was written long after its day
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=f"messages/2025/03/10/{raw}.json", Body=b"a raw body")
    return {*sent, raw}


def test_consecutive_days_partition_the_archive(pipeline: Pipeline) -> None:
    archive, days = _archive(pipeline), []
    ids = _put_around_midnight(pipeline)
    for day in range(-3, 2):
        start = MIDNIGHT + timedelta(days=day)
        query = Query(after=start, before=start + timedelta(days=1))
        emails = archive.read_all(archive.objects(query.span(NOON)))
        days.append([email.message_id for email in emails if query.matches(email)])
    assert [len(day) for day in days] == [0, 0, 3, 3, 0]
    assert {message_id for day in days for message_id in day} == ids


def test_an_email_is_found_in_a_batch_that_is_named_after_an_id_without_a_time(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    wanted = message_id_at(MIDNIGHT, bytes(10))  # long before the objects are written
    names = ["0000000e-1111-4222-8333-444455556666", FOREIGN]
    keys = [f"messages/2025/03/11/00/{name}-{'f' * 64}.jsonl.gz" for name in names]
    for key, members in zip(keys, ([names[0], wanted], names[1:]), strict=True):
        body = "".join(json.dumps({"message_id": member}) + "\n" for member in members)
        pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=body.encode())
    found = archive.find(wanted)
    assert found is not None
    assert found.key == keys[0]


def test_the_shards_of_a_day_are_listed_before_those_of_the_next_day() -> None:
    fake = FakeArchive("{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json")
    keys = [fake.put(day * 24 * 60 * 60, tail) for day in (0, 1) for tail in range(8)]
    span = Span(fake_archive.NOON, fake_archive.NOON + timedelta(days=1, hours=1))
    assert [entry.key for entry in fake.archive.objects(span)] == sorted(keys[:8]) + sorted(keys[8:])


def test_a_listing_of_shards_that_is_not_read_to_its_end_stops(pipeline: Pipeline) -> None:
    archive = _archive(pipeline, "{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json")
    key = _put(pipeline, archive, _id(0))
    objects = archive.objects(Span(NOON, NOON + timedelta(days=300)))
    assert next(objects).key == key
    objects.close()  # type: ignore[attr-defined]  # a generator; it returns only when its threads have ended


def test_shards_are_listed_at_the_same_time() -> None:
    class Bucket:
        """Answers the first LIST only after the eighth has begun."""

        def __init__(self) -> None:
            self.begun = itertools.count(1)
            self.eighth = threading.Event()

        def get_paginator(self, _operation: str) -> Any:
            return self

        def paginate(self, **_options: Any) -> list[Any]:
            if next(self.begun) == 8:
                self.eighth.set()
            assert self.eighth.wait(60)
            return []

    layout = Layout("{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json", "messages/")
    archive = Archive(cast("Any", Bucket()), lambda: cast("Any", None), "bucket", layout)
    assert list(archive.objects(instant(NOON))) == []


def test_an_object_of_a_foreign_producer_is_read_for_any_part_of_its_day(pipeline: Pipeline) -> None:
    archive = _archive(pipeline)
    _put_around_midnight(pipeline)
    minute = Span(MIDNIGHT - timedelta(minutes=1), MIDNIGHT)
    assert FOREIGN in {email.message_id for email in archive.read_all(archive.objects(minute))}
