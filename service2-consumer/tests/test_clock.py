"""The clock of the machine and the delays of a back-off."""

import threading
from datetime import UTC

import pytest

from service2_consumer.clock import Backoff, SystemClock


@pytest.mark.parametrize(("chance", "delays"), [(0.0, [0.5, 1, 2, 2.5, 2.5]), (1.0, [1, 2, 4, 5, 5])])
def test_a_back_off_doubles_to_its_longest_with_half_of_it_left_to_chance(chance: float, delays: list[float]) -> None:
    backoff = Backoff(1, 5, lambda: chance)
    assert [backoff.next_seconds() for _ in range(5)] == delays
    backoff.reset()
    assert backoff.next_seconds() == delays[0]


def test_the_clock_of_the_machine_is_monotonic_and_in_utc() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now().tzinfo is UTC


def test_a_wait_ends_at_once_when_its_event_is_set() -> None:
    event, clock = threading.Event(), SystemClock()
    event.set()
    begin = clock.monotonic()
    clock.wait(event, 30)
    assert clock.monotonic() - begin < 20
