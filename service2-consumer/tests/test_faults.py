"""Kills, outages and corrupted answers: afterwards every e-mail is stored once and only poison is dead-lettered."""

import signal
import time

import pytest

from .fault_arena import VISIBILITY_SECONDS, NewArena

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MANY = 20


def test_twenty_random_kills_lose_and_duplicate_nothing(new_arena: NewArena) -> None:
    arena = new_arena()
    arena.feed(4000, seconds=18)
    arena.start(3)
    for _ in range(MANY):
        arena.sleep(0.4, 1.4)
        assert arena.end_one(signal.SIGKILL) == -signal.SIGKILL
    arena.settle()
    arena.assert_nothing_lost()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_random_stops_lose_and_duplicate_nothing_and_exit_0(new_arena: NewArena, stop: signal.Signals) -> None:
    arena = new_arena()
    arena.feed(3000, seconds=12)
    arena.start(3)
    for _ in range(MANY // 2):
        arena.sleep(0.4, 1.6)
        assert arena.end_one(stop) == 0
    arena.settle()
    arena.assert_nothing_lost()


@pytest.mark.parametrize("kind", ["500", "503", "reset", "lost", "garbage", "bare", "hang"])
def test_unreliable_s3_loses_and_duplicates_nothing(new_arena: NewArena, kind: str) -> None:
    arena = new_arena()
    arena.proxy.faults["s3"] = {kind: 0.02 if kind == "hang" else 0.25}
    arena.feed(1500)
    arena.start(2)
    arena.until_injected("s3", kind, 20)
    arena.settle()
    arena.assert_nothing_lost()


@pytest.mark.parametrize("kind", ["500", "503", "reset", "lost", "hang"])
def test_unreliable_sqs_loses_and_duplicates_nothing(new_arena: NewArena, kind: str) -> None:
    arena = new_arena()
    arena.proxy.faults["sqs"] = {kind: 0.1 if kind in ("hang", "lost") else 0.3}
    arena.feed(1500)
    arena.start(3)
    arena.until_injected("sqs", kind, 10)
    arena.settle()
    arena.assert_nothing_lost()


def test_all_faults_together_lose_and_duplicate_nothing(new_arena: NewArena) -> None:
    arena = new_arena(max_receive_count=20)
    faults = {"500": 0.05, "503": 0.05, "reset": 0.05, "lost": 0.05, "hang": 0.01}
    arena.proxy.faults = {"s3": faults, "sqs": faults}
    arena.feed(2500, seconds=10)
    arena.start(4)
    for number in range(MANY // 2):
        arena.sleep(0.5, 1.5)
        arena.end_one(signal.SIGKILL if number % 2 else signal.SIGTERM)
    arena.settle()
    arena.assert_nothing_lost()


def test_long_outage_dead_letters_nothing_while_replicas_change(
    new_arena: NewArena,
) -> None:
    arena = new_arena(max_receive_count=4)
    arena.start(2)
    arena.feed(1500, seconds=4)
    time.sleep(2)
    arena.proxy.faults["s3"] = {"503": 1.0}
    over = time.monotonic() + 6 * VISIBILITY_SECONDS
    while time.monotonic() < over:
        arena.sleep(1.0, 2.5)
        arena.start()
        arena.end_one(arena.chance.choice([signal.SIGTERM, signal.SIGKILL]), restart=False)
    arena.settle()
    arena.assert_nothing_lost()


BATCHES = {"OBJECT_LAYOUT": "batch", "BATCH_MAX_SECONDS": "1", "VISIBILITY_TIMEOUT_SECONDS": "6"}


def test_batches_with_stops_and_an_unreliable_s3_store_each_email_once(new_arena: NewArena) -> None:
    # So long that on a busy machine no message reappears and no PUT times out after S3 has executed it.
    arena = new_arena(**BATCHES | {"VISIBILITY_TIMEOUT_SECONDS": "90", "STORE_DEADLINE_SECONDS": "30"})
    arena.proxy.faults["s3"] = {"500": 0.2, "reset": 0.2}
    arena.feed(3000, seconds=8, repeats=False)  # a batch does not know the messages of another
    arena.start(2)
    for _ in range(5):
        arena.sleep(1.0, 2.0)
        assert arena.end_one(signal.SIGTERM) == 0
    arena.settle()
    assert len(arena.objects()) < len(arena.valid) / 5
    arena.assert_nothing_lost()


def test_batches_with_kills_store_each_email_at_least_once(new_arena: NewArena) -> None:
    arena = new_arena(**BATCHES)
    arena.feed(3000, seconds=10, repeats=False)
    arena.start(3)
    kills = MANY // 2
    for _ in range(kills):
        arena.sleep(0.5, 1.5)
        arena.end_one(signal.SIGKILL)
    arena.settle()
    arena.assert_nothing_lost(exactly_once=False)
    twice = len(arena.records()) - len(arena.valid)
    assert twice <= kills * 2 * 500  # between PUT and delete each of two lanes may hold one batch
