"""Objects that fail while the store works, and when each is retried."""

import itertools

import pytest

from service2_consumer.model import InFlightMessage, Upload
from service2_consumer.set_aside import MAX_BYTES, MAX_OBJECTS, SetAside

from .fakes import START


def upload(key: str, size_bytes: int = 1, messages: int = 1) -> Upload:
    held = [InFlightMessage("sqs", f"{key}#{number}", "", {}, START, 1) for number in range(messages)]
    return Upload(key, bytes(size_bytes), "", "", "", messages=held)


@pytest.mark.parametrize(("size_bytes", "count"), [(1, MAX_OBJECTS), (MAX_BYTES // 2, 2), (MAX_BYTES, 1)])
def test_set_aside_is_full_at_a_number_of_objects_or_bytes(size_bytes: int, count: int) -> None:
    aside = SetAside()
    while not aside.full:
        aside.add([upload(str(len(aside)), size_bytes)], 0, 0)
    assert len(aside) == count


def test_messages_counts_those_of_all_objects() -> None:
    aside = SetAside()
    aside.add([upload("a", messages=3), upload("b", messages=2)], 0, 0)
    assert aside.messages == 5


def test_object_is_due_after_its_first_pause() -> None:
    aside = SetAside()
    assert aside.seconds_until_due(0) is None
    aside.add([upload("a")], 100, 0)
    due = aside.seconds_until_due(100)
    assert due is not None
    assert 0.5 <= due <= 1
    assert aside.take_due(100, 10) == []
    assert [item.transfer.key for item in aside.take_due(101, 10)] == ["a"]
    assert len(aside) == 0


def test_take_due_returns_the_oldest_first_up_to_the_limit() -> None:
    aside = SetAside()
    for number in range(5):
        aside.add([upload(str(number))], 10 * (5 - number), 0)
    assert [item.transfer.key for item in aside.take_due(100, 3)] == ["4", "3", "2"]
    assert [item.transfer.key for item in aside.take_due(100, 3)] == ["1", "0"]


def test_object_pauses_grow_to_five_minutes() -> None:
    aside, pauses, now = SetAside(), [], 0.0
    aside.add([upload("a")], now, 0)
    for _ in range(15):
        pause = aside.seconds_until_due(now)
        assert pause is not None
        pauses.append(pause)
        now += pause
        (item,) = aside.take_due(now, 1)
        aside.put_back(item, now, 7)
        assert item.succeeded_before == 7
    assert all(150 <= pause <= 300 for pause in pauses[-5:])
    assert all(later > earlier / 2 for earlier, later in itertools.pairwise(pauses[:8]))


def test_clear_removes_all_objects() -> None:
    aside = SetAside()
    aside.add([upload("a")], 0, 0)
    aside.clear()
    assert (len(aside), aside.messages, aside.seconds_until_due(0)) == (0, 0, None)
