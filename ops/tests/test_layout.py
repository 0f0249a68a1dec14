from datetime import UTC, datetime, timedelta

import pytest

from pillarbox.ids import message_id_at, time_of
from pillarbox_ops.layout import Layout, Span, id_in, instant, time_in

DEFAULT = "{prefix}{date:%Y/%m/%d}/{message_id}.json"
FOREIGN_ID = "5c1b2f0e-1111-4222-8333-444455556666"
NOON = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
ID = message_id_at(NOON, bytes(10))


def _prefixes(template: str, hours: float, start: datetime = NOON) -> list[str]:
    return list(Layout(template, "messages/").prefixes(Span(start, start + timedelta(hours=hours))))


def test_a_day_is_one_prefix_which_holds_the_batches_of_its_hours_too() -> None:
    assert _prefixes(DEFAULT, 1) == ["messages/2026/11/28/"]


def test_a_span_past_midnight_and_the_end_of_a_month_has_each_day_once() -> None:
    start = datetime(2026, 11, 29, 23, 59, tzinfo=UTC)
    assert _prefixes(DEFAULT, 25, start) == [f"messages/{day}/" for day in ("2026/11/29", "2026/11/30", "2026/12/01")]


def test_hours_in_the_template_are_listed_alone_and_share_their_folder_with_batches() -> None:
    assert _prefixes("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json", 1) == [
        "messages/2026/11/28/12/",
        "messages/2026/11/28/13/",
    ]


def test_a_sender_ends_the_prefix_and_a_date_behind_it_does_not_count() -> None:
    assert _prefixes("{prefix}{date:%Y}/{sender}/{message_id}_{date:%H%M%S}.json", 1)[:1] == ["messages/2026/"]


def test_shards_in_front_of_the_date_are_256_prefixes() -> None:
    found = _prefixes("{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json", 0.1)
    assert len([prefix for prefix in found if prefix.endswith("/2026/11/28/")]) == 256
    assert "messages/ff/2026/11/28/" in found


def test_batches_are_looked_for_under_any_template() -> None:
    found = _prefixes("{prefix}by-id/{message_id}.json", 1)
    assert found == ["messages/by-id/", "messages/2026/11/28/12/", "messages/2026/11/28/13/"]


def test_an_id_alone_tells_its_keys_unless_the_sender_is_in_the_template() -> None:
    key = f"messages/2026/11/28/{ID}.json"
    assert Layout(DEFAULT, "messages/").keys_of(ID) == (key, f"{key}.gz")
    assert Layout("{prefix}{sender}/{message_id}", "messages/").keys_of(ID) == ()


def test_a_batch_lies_in_the_hour_of_its_members() -> None:
    assert Layout(DEFAULT, "messages/").batches_of(ID) == "messages/2026/11/28/12/"


@pytest.mark.parametrize(
    ("template", "folders"),
    [
        (DEFAULT, 3),
        ("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json", 4),
        ("{prefix}{date:%Y/%m/%d}/{sender}/{message_id}.json", 3),
        ("{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json", None),
        ("{prefix}{date:%Y-%m-%d}-{message_id}.json", None),
    ],
)
def test_the_folders_of_dates_are_counted(template: str, folders: int | None) -> None:
    assert Layout(template, "messages/").date_folders == folders


def test_a_span_has_its_start_and_not_its_end() -> None:
    span = instant(NOON)
    assert NOON in span
    assert span.end not in span


@pytest.mark.parametrize(
    "key", [f"messages/2026/11/28/{ID}.json", f"conflicts/2026/11/28/{ID}/ab.json", f"a/{ID}-ff.jsonl.gz"]
)
def test_the_id_in_a_key_tells_its_time(key: str) -> None:
    assert id_in(key) == ID
    assert time_in(key) == time_of(ID)


@pytest.mark.parametrize("key", ["health/service2-consumer", f"m/2026/{FOREIGN_ID}.json"])
def test_a_key_without_a_uuidv7_has_no_time(key: str) -> None:
    assert time_in(key) is None


def test_a_date_finer_than_an_hour_is_no_part_of_the_prefix() -> None:
    found = _prefixes("{prefix}{date:%Y/%m/%d/%H/%M}/{message_id}.json", 1)
    assert found == ["messages/2026/11/28/12/", "messages/2026/11/28/13/"]
    assert _prefixes("{prefix}{date:%f}/{message_id}.json", 1)[:1] == ["messages/"]
    assert _prefixes("{prefix}{date:%%%Y}/{message_id}.json", 0.1)[:1] == ["messages/%2026/"]


def test_a_year_of_shards_has_each_prefix_once() -> None:
    # Comparing each prefix with all the others would take hours here.
    layout = Layout("{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json", "messages/")
    found = list(layout.prefixes(Span(NOON, NOON + timedelta(days=365))))
    assert len(set(found)) == len(found) == 366 * 256 + 365 * 24 + 1
    assert layout.is_sharded
    assert not Layout("{prefix}{message_id}/{shard}", "messages/").is_sharded


def _placed(template: str, key: str, hours: float) -> datetime:
    return Layout(template, "messages/").placed_at(f"messages/{key}", NOON + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        (DEFAULT, "2026/11/28"),
        ("{prefix}{shard}/{date:%Y}/{date:%m}/{date:%d}/{message_id}.json", "ab/2026/11/28"),
        ("{prefix}{date:%d.%m.%Y, %j %f %G%%}/{message_id}.json", "28.11.2026, 332 000000 2026%"),
        ("{prefix}{date:%Y/%Y-%m-%d}/{message_id}.json", "2026/2026-11-28"),
        ("{prefix}{sender}/{date:%Y%m%d}/{message_id}.json", "jane/20261128"),
    ],
)
def test_a_write_on_another_day_is_moved_into_the_day_of_the_key(template: str, folder: str) -> None:
    key = f"{folder}/{FOREIGN_ID}.json"
    assert _placed(template, key, 1) == NOON + timedelta(hours=1)
    assert _placed(template, key, 24) == datetime(2026, 11, 28, 23, 59, 59, 999_000, UTC)
    assert _placed(template, key, -24) == datetime(2026, 11, 28, tzinfo=UTC)


def test_an_hour_in_the_key_counts_too() -> None:
    key = f"2026/11/28/12/{FOREIGN_ID}.json"
    found = _placed("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json", key, 1)
    assert found == datetime(2026, 11, 28, 12, 59, 59, 999_000, UTC)


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        ("{prefix}{message_id}.json", ""),
        ("{prefix}{date:%Y/%m}/{message_id}.json", "2026/11/"),
        (DEFAULT, "2026/13/41/"),
        (DEFAULT, "other/"),
    ],
)
def test_a_key_that_names_no_day_is_placed_by_its_write(template: str, folder: str) -> None:
    assert _placed(template, f"{folder}{FOREIGN_ID}.json", 24) == NOON + timedelta(hours=24)


def test_an_id_with_a_time_counts_more_than_the_folder() -> None:
    assert _placed(DEFAULT, f"2026/11/27/{ID}.json", 24) == time_of(ID)
