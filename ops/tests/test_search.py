from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pillarbox.ids import message_id_at
from pillarbox_ops.layout import Span
from pillarbox_ops.records import ArchivedEmail
from pillarbox_ops.search import Query, parse_size, parse_time, parse_words

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
RECEIVED = NOW - timedelta(hours=2)
ID = message_id_at(RECEIVED, bytes(10))


def _email(
    subject: str = "Invoice 7", sender: str = "Jane <jane@example.com>", content: str = "Dear Sir", size: int = 100
) -> ArchivedEmail:
    record: dict[str, Any] = {
        "email_data": {"email_subject": subject, "email_sender": sender, "email_content": content},
        "metadata": {"received_at": "2026-11-28T10:00:00Z"},
    }
    return ArchivedEmail(ID, f"messages/{ID}.json", size, NOW, record)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "invoice",
        "INVOICE sir",
        "from:jane",
        "from:JANE@ subject:7",
        'subject:"voice 7"',
        '"dear sir"',
        f"id:{ID}",
        f"id:{ID.upper()}",
        "after:3h",
        "after:2026-11-28T09:59Z before:2026-11-28T10:00:01Z",
        "larger:99 smaller:101",
    ],
)
def test_an_email_is_found_by_each_word(words: str) -> None:
    assert parse_words(words, NOW).matches(_email())


@pytest.mark.parametrize(
    "words",
    [
        "from:invoice",
        "subject:jane",
        "invoice madam",
        "subject:8",
        "id:019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a11",
        "after:1h",
        "before:2026-11-28T10:00:00Z",
        "larger:100",
        "smaller:100",
    ],
)
def test_an_email_is_not_found_if_one_word_differs(words: str) -> None:
    assert not parse_words(words, NOW).matches(_email())


def test_an_unknown_word_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="sender: is not a search word; there are from:, subject:"):
        parse_words("sender:jane", NOW)


def test_a_word_with_a_wrong_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_words("after:yesterday", NOW)
    with pytest.raises(ValueError, match="expected a size"):
        parse_words("larger:big", NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01T14:30", datetime(2026, 12, 1, 14, 30, tzinfo=UTC)),
        ("2026-12-01T14:30+02:00", datetime(2026, 12, 1, 12, 30, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2W", NOW - timedelta(days=14)),
    ],
)
def test_times_are_absolute_or_so_long_ago(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "2026-13-01", "999999w", "-2h"])
def test_other_times_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("10k", 10240), ("2M", 2097152), ("2 MiB", 2097152), ("5KB", 5120)]
)
def test_sizes_are_bytes_or_multiples_of_1024(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5k", "1g"])
def test_other_sizes_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


def test_a_query_without_times_looks_at_the_last_seven_days() -> None:
    span = Query().span(NOW)
    assert NOW - timedelta(days=7) in span
    assert NOW - timedelta(days=7, seconds=1) not in span
    assert NOW + timedelta(hours=23) in span  # an id may be five minutes ahead


def test_the_time_of_the_id_counts_and_not_that_of_the_receipt() -> None:
    email = replace(_email(), message_id=message_id_at(NOW, bytes(10)))  # received two hours before
    assert Query(after=NOW, before=NOW + timedelta(seconds=1)).matches(email)
    assert not Query(before=NOW).matches(email)


def test_an_id_without_a_time_counts_by_the_time_of_receipt() -> None:
    email = replace(_email(), message_id="5c1b2f0e-1111-4222-8333-444455556666")
    assert Query(after=RECEIVED, before=RECEIVED + timedelta(seconds=1)).matches(email)
    assert not Query(before=RECEIVED).matches(email)


def test_a_query_that_ends_long_ago_looks_at_the_seven_days_before() -> None:
    end = NOW - timedelta(days=30)
    assert Query(before=end).span(NOW) == Span(end - timedelta(days=7), end)


def test_a_span_ends_one_day_ahead_and_begins_no_earlier_than_any_id() -> None:
    query = Query(after=datetime(1, 1, 1, tzinfo=UTC), before=datetime(2099, 1, 1, tzinfo=UTC))
    assert query.span(NOW) == Span(datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "query",
    [
        Query(after=NOW, before=NOW),
        Query(after=NOW, before=NOW - timedelta(days=1)),
        Query(after=NOW + timedelta(days=2)),
        Query(before=datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_span_in_which_nothing_can_lie_is_an_error(query: Query) -> None:
    with pytest.raises(ValueError, match="the range from after"):
        query.span(NOW)


def test_a_query_within_a_span_has_its_times() -> None:
    span = Span(NOW, NOW + timedelta(hours=1))
    assert Query(subject=("a",)).within(span) == Query(subject=("a",), after=span.start, before=span.end)
