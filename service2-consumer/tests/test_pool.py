"""Threads that a lane can walk away from."""

import threading

import pytest

from service2_consumer.pool import Pool


def test_results_come_in_the_order_of_the_items() -> None:
    pool: Pool[int, int] = Pool(lambda n: n * n, 3)
    assert pool.map(range(20), threading.Event()) == [n * n for n in range(20)]
    pool.close()


def test_items_are_worked_on_concurrently() -> None:
    meeting = threading.Barrier(4, timeout=10)
    pool: Pool[int, int] = Pool(lambda n: n + meeting.wait() * 0, 4)
    assert pool.map(range(4), threading.Event()) == [0, 1, 2, 3]
    pool.close()


def test_what_the_function_raises_is_raised_in_the_caller_and_the_thread_lives_on() -> None:
    pool: Pool[int, float] = Pool(lambda n: 1 / n, 1)
    with pytest.raises(ZeroDivisionError):
        pool.map([0], threading.Event())
    assert pool.map([2], threading.Event()) == [0.5]
    pool.close()


def test_once_given_up_what_is_missing_is_none() -> None:
    given_up, hang = threading.Event(), threading.Event()
    given_up.set()
    pool: Pool[int, int] = Pool(lambda n: n if n else int(hang.wait(30)), 2)
    assert pool.map([1, 0], given_up) == [1, None]
    hang.set()
    pool.close()
