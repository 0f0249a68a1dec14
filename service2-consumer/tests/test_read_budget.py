"""The limit of the bytes that all lanes hold together."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from common.testing.waiting import eventually
from service2_consumer.read_budget import ReadBudget


def never() -> bool:
    raise AssertionError("nothing waits")


def test_as_many_sizes_as_fit_are_taken_in_order() -> None:
    budget = ReadBudget(100)
    assert budget.take([50, 40, 20, 5], never) == 2
    budget.give_back([50, 40])
    assert budget.take([100], never) == 1


def test_a_size_above_the_limit_takes_all_of_it_and_gives_all_back() -> None:
    budget = ReadBudget(100)
    assert budget.take([5000, 1], never) == 1
    budget.give_back([5000])
    assert budget.take([60, 40], never) == 2


def test_who_may_not_wait_takes_nothing() -> None:
    budget = ReadBudget(100)
    budget.take([100], never)
    assert budget.take([1], lambda: False) == 0
    budget.give_back([100])
    assert budget.take([100], never) == 1


class Waiters:
    """Threads that wait for a full budget, one after the other."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.budget = ReadBudget(100)
        self.budget.take([100], never)
        self._threads = threads
        self.taken: list[str] = []

    def add(self, name: str, size: int) -> "Future[None]":
        waits = threading.Event()

        def may_wait() -> bool:
            waits.set()
            return True

        def take() -> None:
            assert self.budget.take([size], may_wait) == 1
            self.taken.append(name)

        future = self._threads.submit(take)
        assert waits.wait(10)
        return future


@pytest.fixture
def waiters() -> "Waiters":
    return Waiters(ThreadPoolExecutor(3))


def test_a_large_size_is_not_overtaken_by_small_ones(waiters: Waiters) -> None:
    large, small = waiters.add("large", 90), waiters.add("small", 20)
    waiters.budget.give_back([60])
    assert (large.done(), small.done()) == (False, False)
    waiters.budget.give_back([40])
    large.result(10)
    assert waiters.taken == ["large"]
    waiters.budget.give_back([90])
    small.result(10)


def test_two_that_fit_both_begin(waiters: Waiters) -> None:
    waiting = [waiters.add(name, 30) for name in ("a", "b")]
    waiters.budget.give_back([100])
    for future in waiting:
        future.result(10)
    assert waiters.taken in (["a", "b"], ["b", "a"])


def test_what_a_waiting_lane_does_meanwhile_blocks_no_other_lane() -> None:
    budget, hangs, goes_on = ReadBudget(100), threading.Event(), threading.Event()
    budget.take([100], never)

    def slow() -> bool:
        hangs.set()
        return goes_on.wait(10)

    run: Callable[[], int] = lambda: budget.take([100], slow)  # noqa: E731  # a name for the type checker
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run)
        assert hangs.wait(10)
        budget.give_back([100])  # takes the lock
        goes_on.set()
        assert waiting.result(10) == 1
    eventually(lambda: budget.take([1], lambda: False) == 0, "the budget is taken")
