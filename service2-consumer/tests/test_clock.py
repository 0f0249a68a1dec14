"""The clock of the machine."""

import threading
from datetime import UTC

from service2_consumer.clock import Clock


def test_clock_is_monotonic_and_in_utc() -> None:
    clock = Clock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now().tzinfo is UTC


def test_wait_ends_at_once_when_its_event_is_set() -> None:
    event, clock = threading.Event(), Clock()
    event.set()
    begin = clock.monotonic()
    clock.wait(event, 30)
    assert clock.monotonic() - begin < 20
