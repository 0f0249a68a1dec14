"""Real processes: objects that fail alone, and outages that restart nothing."""

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
    # An outage of many visibility timeouts: of what is received now, no receive may be spent but the first.
    arena.proxy.faults["s3"] = {"500": 1.0}
    arena.feed(30, repeats=False)
    time.sleep(4 * VISIBILITY_SECONDS)
    arena.settle()
    arena.assert_nothing_lost()  # dead are the poison and the two: two receives, so none was spent on the outage
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
    arena.proxy.refused.add(f"{next(iter(arena.valid))}-")  # whatever the batch, its name begins with the oldest id
    arena.start()
    eventually(lambda: bool(SOME_ASIDE.search(arena.ask("/metrics")[1])), "an object is set aside")
    arena.feed(300, repeats=False)
    eventually(lambda: len(arena.records()) >= 300, "the others are stored")
    arena.proxy.refused.clear()
    arena.settle()
    arena.assert_nothing_lost(exactly_once=False)


@pytest.mark.parametrize("service", ["sqs", "s3"])
def test_outage_longer_than_the_liveness_limit_restarts_nothing(new_arena: NewArena, service: str) -> None:
    liveness_seconds = 12  # the least that the timings of these tests allow
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
