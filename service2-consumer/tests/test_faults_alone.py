"""Real processes: single objects that fail, and outages that cause no restart."""

import re
import time

import pytest

from common.testing.waiting import eventually

from .fault_arena import VISIBILITY_SECONDS, Arena, NewArena

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SOME_ASIDE = re.compile(r"^pillarbox_consumer_set_aside [1-9]", re.MULTILINE)


def wait_for_stored(arena: Arena, count: int) -> None:
    eventually(lambda: len(arena.objects()) == count, f"{count} e-mails are stored")


def test_objects_that_always_fail_delay_nothing_and_reach_the_dlq_with_the_reason(new_arena: NewArena) -> None:
    arena = new_arena(max_receive_count=2, STORE_TRIES="4")
    arena.feed_refused(2)
    arena.feed(100, repeats=False)
    arena.start()  # with two lanes
    wait_for_stored(arena, 100)
    eventually(lambda: arena.ask("/metrics")[1].count("store_refused") > 0, "a message is given up")
    # The outage lasts many visibility timeouts; the messages received now must not be received again.
    arena.proxy.faults["s3"] = {"500": 1.0}
    arena.feed(30, repeats=False)
    time.sleep(4 * VISIBILITY_SECONDS)
    arena.settle()
    arena.assert_nothing_lost()  # only these and the poison are dead letters: the outage used no receive
    assert '"reason":"store_refused"' in arena.log.read_text().replace(" ", "")


def test_batch_that_always_fails_delays_no_other(new_arena: NewArena) -> None:
    arena = new_arena(
        OBJECT_LAYOUT="batch",
        BATCH_MAX_SECONDS="1",
        BATCH_MAX_MESSAGES="20",
        VISIBILITY_TIMEOUT_SECONDS="6",
        STORE_TRIES="2",
    )
    arena.feed(20, repeats=False)
    arena.proxy.refused.add(f"{next(iter(arena.valid))}-")  # the name of any batch begins with the oldest id
    arena.start()
    eventually(lambda: bool(SOME_ASIDE.search(arena.ask("/metrics")[1])), "an object is set aside")
    arena.feed(300, repeats=False)
    eventually(lambda: len(arena.records()) >= 300, "the others are stored")
    arena.proxy.refused.clear()
    arena.settle()
    arena.assert_nothing_lost(exactly_once=False)


@pytest.mark.parametrize("service", ["sqs", "s3"])
def test_outage_longer_than_the_liveness_limit_restarts_nothing(new_arena: NewArena, service: str) -> None:
    liveness_seconds = 12  # the minimum for the timings of these tests
    arena = new_arena(LIVENESS_SECONDS=str(liveness_seconds))
    arena.start()
    eventually(lambda: arena.ask("/ready")[0] == 200, "it gets ready")
    arena.proxy.faults[service] = {"reset": 1.0}
    arena.feed(5, repeats=False)
    eventually(lambda: arena.ask("/ready")[0] == 503, "readiness sees the outage")
    over = time.monotonic() + liveness_seconds + 5
    while time.monotonic() < over:
        assert arena.ask("/health")[0] == 200
        assert arena.ask("/ready")[0] == 503
        time.sleep(0.5)
    arena.proxy.faults[service] = {}
    eventually(lambda: arena.ask("/ready")[0] == 200, "readiness sees the end of the outage")
    arena.settle()
    arena.assert_nothing_lost()
