from datetime import date, timedelta

import pytest

from pillarbox_ops.ui.days import Day, Days

from .fake_archive import NOON, FakeArchive

TODAY = NOON.date()


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _keys(day: Day, seconds: float = 0) -> list[str]:
    return [entry.key for entry in day.entries(NOON + timedelta(seconds=seconds))]


def test_a_day_has_its_objects_in_the_order_of_their_time(clock: _Clock) -> None:
    fake = FakeArchive()
    late, early = fake.put(50), fake.put(10)
    fake.put(86_400)
    assert _keys(Day(fake.archive, TODAY, clock)) == [early, late]


def test_ten_thousand_objects_are_ten_lists_once_and_one_at_each_update(clock: _Clock) -> None:
    fake = FakeArchive()
    fake.list_only(10_000)
    day = Day(fake.archive, TODAY, clock)
    assert len(_keys(day, 10_000)) == 10_000
    assert fake.lists == 10
    clock.now += 3
    new = fake.put(10_001, 77)
    assert _keys(day, 10_002)[-1] == new
    assert fake.lists == 11


def test_an_object_that_was_stored_late_is_found_by_an_update(clock: _Clock) -> None:
    fake = FakeArchive()
    fake.list_only(2000)
    day = Day(fake.archive, TODAY, clock)
    _keys(day, 2000)
    clock.now += 3
    late = fake.put(1990.5)
    assert late in _keys(day, 2001)
    assert _keys(day, 2001).count(late) == 1


def test_an_object_whose_key_sorts_far_back_is_found_by_the_next_complete_listing(clock: _Clock) -> None:
    fake = FakeArchive()
    fake.list_only(2000)
    day = Day(fake.archive, TODAY, clock)
    _keys(day, 2000)
    early = fake.put(3.5)
    clock.now += 3
    assert early not in _keys(day, 2001)
    clock.now += 60
    assert early in _keys(day, 2060)


def test_looks_within_a_second_share_a_listing(clock: _Clock) -> None:
    fake = FakeArchive()
    fake.put(0)
    day = Day(fake.archive, TODAY, clock)
    _keys(day)
    clock.now += 0.5
    _keys(day)
    assert fake.lists == 1


@pytest.mark.parametrize(
    "template",
    ["{prefix}{date:%Y/%m/%d}/{sender}/{message_id}.json", "{prefix}{shard}/{date:%Y/%m/%d}/{message_id}.json"],
)
def test_keys_without_the_order_of_time_are_listed_completely_and_rarely(template: str, clock: _Clock) -> None:
    fake = FakeArchive(template)
    fake.put(0, sender="zoe")
    day = Day(fake.archive, TODAY, clock)
    _keys(day)
    lists = fake.lists
    new = fake.put(5, sender="adam")
    clock.now += 3
    _keys(day, 6)
    assert fake.lists == lists
    clock.now += 60
    assert new in _keys(day, 66)


def test_hourly_prefixes_are_updated_in_the_current_hour(clock: _Clock) -> None:
    fake = FakeArchive("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json")
    fake.put(1800)
    day = Day(fake.archive, TODAY, clock)
    _keys(day, 1800)
    clock.now += 3
    lists = fake.lists
    new = fake.put(1810)
    assert new in _keys(day, 1811)
    assert fake.lists == lists + 1


def test_a_foreign_producers_object_is_placed_by_the_time_of_its_write(clock: _Clock) -> None:
    fake = FakeArchive()
    first, last = fake.put(0), fake.put(100)
    foreign = "messages/2026/11/28/5c1b2f0e-1111-4222-8333-444455556666.json"
    fake.keys[foreign] = (10, NOON + timedelta(seconds=50))
    assert _keys(Day(fake.archive, TODAY, clock)) == [first, foreign, last]


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        ("{prefix}{date:%Y/%m/%d}/{message_id}.json", "2026/11/28"),
        ("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json", "2026/11/28/23"),
        ("{prefix}{date:%Y-%m-%d}/{sender}/{message_id}.json", "2026-11-28/jane"),
        ("{prefix}{sender}/{date:%Y/%m/%d}/{message_id}.json", "jane/2026/11/28"),
    ],
)
def test_a_foreign_producers_object_is_of_the_day_in_its_key(template: str, folder: str, clock: _Clock) -> None:
    fake = FakeArchive(template)
    last = fake.put(43_100)
    foreign = f"messages/{folder}/5c1b2f0e-1111-4222-8333-444455556666.json"
    fake.keys[foreign] = (10, NOON + timedelta(seconds=43_201))
    assert _keys(Day(fake.archive, TODAY, clock)) == [last, foreign]
    assert _keys(Day(fake.archive, TODAY + timedelta(days=1), clock)) == []


@pytest.mark.parametrize(
    ("template", "folder", "seconds"),
    [
        ("{prefix}{date:%Y/%m/%d}/{message_id}.json", "2026/11/28", 43_201),
        ("{prefix}{message_id}.json", "", 0),  # each day lists it, and only the day of its write has it
    ],
)
def test_a_day_with_a_foreign_producers_object_alone_is_found(template: str, folder: str, seconds: int) -> None:
    fake = FakeArchive(template)
    foreign = f"messages/{folder}/5c1b2f0e-1111-4222-8333-444455556666.json".replace("//", "/")
    fake.keys[foreign] = (10, NOON + timedelta(seconds=seconds))
    assert Days(fake.archive).nearest(TODAY + timedelta(days=2), -1, 5) == TODAY


def test_the_nearest_day_with_objects_is_found_in_both_directions() -> None:
    fake = FakeArchive()
    for offset in (-20, 3):
        fake.put(offset * 86_400)
    days = Days(fake.archive)
    assert days.nearest(TODAY, -1, 96) == date(2026, 11, 8)
    assert days.nearest(TODAY, 1, 96) == date(2026, 12, 1)
    assert days.nearest(TODAY, -1, 19) is None


def test_only_the_latest_days_are_kept() -> None:
    days = Days(FakeArchive().archive)
    first = days.day(TODAY)
    assert days.day(TODAY) is first
    for number in range(1, 17):
        days.day(TODAY + timedelta(days=number))
    assert days.day(TODAY) is not first
