from datetime import timedelta

import pytest

from pillarbox_ops.records import StoredObject
from pillarbox_ops.ui.emails import Emails, Reader, Row

from .fake_archive import NOON, FakeArchive

TODAY = NOON.date()


@pytest.fixture
def fake() -> FakeArchive:
    return FakeArchive()


def _emails(fake: FakeArchive) -> Emails:
    return Emails(fake.archive, lambda: NOON)


def _keys(rows: list[Row]) -> list[str]:
    return [row.stored.key for row in rows]


def test_pages_follow_each_other_without_a_gap_in_both_directions(fake: FakeArchive) -> None:
    keys = [fake.put(number) for number in range(120)][::-1]
    emails = _emails(fake)
    first = emails.older(TODAY)
    second = emails.older(TODAY, first[-1].stored.key)
    third = emails.older(TODAY, second[-1].stored.key)
    assert [_keys(first), _keys(second), _keys(third)] == [keys[:50], keys[50:100], keys[100:]]
    assert _keys(emails.newer(TODAY, third[0].stored.key)) == keys[50:100]
    assert emails.newer(TODAY, first[0].stored.key) == []
    assert emails.older(TODAY, third[-1].stored.key) == []


def test_only_the_bodies_of_a_page_are_read_and_only_once(fake: FakeArchive) -> None:
    for number in range(120):
        fake.put(number)
    emails = _emails(fake)
    emails.older(TODAY)
    emails.older(TODAY)
    assert len(fake.reads) == 50


def test_a_batch_is_divided_between_pages(fake: FakeArchive) -> None:
    batch = fake.put_batch(*range(60))
    newest = fake.put(100)
    emails = _emails(fake)
    first = emails.older(TODAY)
    assert _keys(first) == [newest] + [batch] * 49
    assert [row.number for row in first[1:]] == list(range(59, 10, -1))
    second = emails.older(TODAY, batch, first[-1].number)
    assert [row.number for row in second] == list(range(10, -1, -1))
    assert emails.newer(TODAY, batch, second[0].number, limit=100) == first


def test_a_place_whose_object_is_not_listed_is_found_by_its_time(fake: FakeArchive) -> None:
    keys = [fake.put(number) for number in (0, 20)]
    gone = fake.put(10)
    del fake.keys[gone]
    emails = _emails(fake)
    assert _keys(emails.older(TODAY, gone)) == keys[:1]
    assert _keys(emails.newer(TODAY, gone)) == keys[1:]


def test_an_object_that_cannot_be_read_is_a_row_that_says_so(fake: FakeArchive) -> None:
    fake.list_only(1)
    good = fake.put(5)
    rows = _emails(fake).older(TODAY)
    assert rows[0].stored.key == good
    assert rows[1].email is None
    assert "cannot be read" in rows[1].problem


def test_an_email_is_found_by_its_key_and_by_its_id_in_a_batch(fake: FakeArchive) -> None:
    batch, single = fake.put_batch(0, 1, 2), fake.put(9)
    emails = _emails(fake)
    rows = emails.older(TODAY)
    assert rows[1].email
    assert emails.at(batch, rows[1].email.message_id) == rows[1]
    assert emails.at(single) == rows[0]
    assert emails.at(batch, "another") is None
    assert emails.at(single[:-3]) is None
    assert emails.day_of(rows[0]) == TODAY


def test_the_cache_is_bounded_by_the_bytes_of_its_records(fake: FakeArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox_ops.ui.emails._CACHE_BYTES", 1000)
    keys = [fake.put(number, email_content="x" * 300) for number in range(4)]
    reader = Reader(fake.archive)
    objects = [entry.stored for entry in _emails(fake).entries(TODAY)]
    for _ in range(2):
        for stored in objects:
            reader.rows([stored])
    assert fake.reads == keys * 2  # two of the four fit, so the oldest ones are read again


def test_an_email_of_a_foreign_producer_is_listed_under_the_day_in_its_key(fake: FakeArchive) -> None:
    key = "messages/2026/11/28/5c1b2f0e-1111-4222-8333-444455556666.json"
    stored = StoredObject(key, 10, NOON + timedelta(hours=13))
    assert _emails(fake).day_of(Row(stored, 0, None)) == TODAY
