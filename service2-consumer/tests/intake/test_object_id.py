"""The message id of an object: equal for equal versions, different for all others."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.ids import parse_message_id, time_of
from service2_consumer.intake.object_id import object_message_id

AT = datetime(2026, 12, 10, 14, 30, 22, 123_000, tzinfo=UTC)


def test_it_is_a_message_id_that_dates_the_object() -> None:
    found = object_message_id(AT, "inbox", "a.eml", "v1", "e1")
    assert parse_message_id(found) == found
    assert time_of(found) == AT


def test_it_is_the_same_in_each_release() -> None:
    assert object_message_id(AT, "inbox", "a.eml", "v1", "e1") == "01a2605c-c4ab-73be-805f-2ab0958fd634"


def test_the_same_object_has_the_same_id_in_any_time_zone() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert object_message_id(AT, "b", "k", "v", "e") == object_message_id(elsewhere, "b", "k", "v", "e")


def test_the_etag_counts_only_where_the_version_does_not_identify_the_content() -> None:
    assert object_message_id(AT, "b", "k", "v", "e1") == object_message_id(AT, "b", "k", "v", "e2")
    for version in (None, "", "null"):
        assert object_message_id(AT, "b", "k", version, "e1") != object_message_id(AT, "b", "k", version, "e2")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", "v", None), ("a", "bc", "v", None)),
        (("b", "kv", "1", None), ("b", "k", "v1", None)),
        (("b", "k", "x", None), ("b", "k", None, "x")),
        (("b", "k", "v", None), ("b", "K", "v", None)),
    ],
)
def test_different_objects_have_different_ids(
    one: tuple[str, str, str | None, str | None], other: tuple[str, str, str | None, str | None]
) -> None:
    assert object_message_id(AT, *one) != object_message_id(AT, *other)


@given(
    st.integers(0, 253_000_000_000_000).map(lambda ms: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)),
    st.text(st.characters(codec="utf-8")),
)
def test_every_object_has_a_valid_id(at: datetime, key: str) -> None:
    found = object_message_id(at, "b", key, None, None)
    assert abs(time_of(found) - at) < timedelta(milliseconds=2)


@pytest.mark.parametrize(
    "at", [AT.replace(tzinfo=None), datetime(1960, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
)
def test_a_time_that_no_id_can_carry_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match=r"Last-Modified|UUIDv7"):
        object_message_id(at, "b", "k", None, None)
