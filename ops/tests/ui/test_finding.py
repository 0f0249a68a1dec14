from datetime import timedelta

import pytest

from pillarbox_ops.search import parse_words
from pillarbox_ops.ui import finding
from pillarbox_ops.ui.emails import Emails
from pillarbox_ops.ui.finding import Found

from .fake_archive import NOON, FakeArchive


@pytest.fixture
def fake() -> FakeArchive:
    return FakeArchive()


def _find(fake: FakeArchive, words: str, before: object = None, seconds: float = 0) -> Found:
    ticks = iter(range(10**6))
    emails = Emails(fake.archive, lambda: NOON)
    query = parse_words(words, NOON)
    return finding.find(emails, query, NOON, before, lambda: next(ticks) * seconds)  # type: ignore[arg-type]


def test_matches_come_newest_first_over_days_and_batches(fake: FakeArchive) -> None:
    keys = [fake.put(-86_400, sender="joe"), fake.put_batch(-7200, -7000), fake.put(-5, sender="joe"), fake.put(-1)]
    found = _find(fake, "from:j")
    assert [row.stored.key for row in found.rows] == [keys[3], keys[2], keys[1], keys[1], keys[0]]
    assert [row.stored.key for row in _find(fake, "from:joe").rows] == [keys[2], keys[0]]
    assert (found.looked_at, found.rest) == (4, None)


def test_a_span_limits_what_is_read(fake: FakeArchive) -> None:
    fake.put(-3 * 3600)
    inside = fake.put(-3600)
    fake.put(-60)
    assert [row.stored.key for row in _find(fake, "after:2h before:30m").rows] == [inside]
    assert fake.reads == [inside]


def test_an_email_in_a_batch_that_began_before_the_span_is_found(fake: FakeArchive) -> None:
    fake.put_batch(-7300, -7100)
    assert len(_find(fake, "after:2h").rows) == 1


def test_a_page_of_matches_ends_the_search_and_the_rest_follows_without_a_gap(fake: FakeArchive) -> None:
    keys = [fake.put(-number) for number in range(250)]
    seen, before, parts = [], None, 0
    while parts == 0 or before:
        found = _find(fake, "", before)
        seen += [row.stored.key for row in found.rows]
        before = found.rest
        parts += 1
    assert parts == 3
    assert sorted(set(seen)) == sorted(keys)


def test_the_time_limit_ends_a_search_that_finds_nothing(fake: FakeArchive) -> None:
    for number in range(250):
        fake.put(-number)
    found = _find(fake, "from:nobody", seconds=2)
    assert (found.rows, found.looked_at) == ([], 100)
    assert found.rest == NOON - timedelta(seconds=100) + timedelta(milliseconds=1)


def test_empty_days_count_against_the_time_limit(fake: FakeArchive) -> None:
    found = _find(fake, "after:2000-01-01", seconds=1)
    assert found.rest is not None
    assert fake.lists < 20


def test_an_id_is_found_without_a_search_and_other_words_must_hold_too(fake: FakeArchive) -> None:
    message_id = fake.put(-400 * 86_400)[-41:-5]
    assert len(_find(fake, f"id:{message_id}").rows) == 1
    assert len(fake.reads) <= 2
    assert _find(fake, f"id:{message_id} from:nobody").rows == []
    assert _find(fake, "id:019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10") == Found([], 0, None)


def test_a_wrong_id_is_named() -> None:
    with pytest.raises(ValueError, match="id: expected a message id"):
        _find(FakeArchive(), "id:7")
