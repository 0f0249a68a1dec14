"""The metrics of the depth of the queue and of its dead-letter queue."""

import math
import threading

from prometheus_client import CollectorRegistry

from service2_consumer.depth import watch_depth
from service2_consumer.metrics import Metrics

from .fakes import FakeClock, FakeQueue


def refreshed(queue: FakeQueue, metrics: Metrics) -> float | None:
    ended = threading.Event()
    ended.set()
    watch_depth(queue, metrics, ended)
    return metrics.registry.get_sample_value("pillarbox_consumer_queue_messages", {"state": "visible"})


def test_depth_of_the_queue_becomes_a_metric() -> None:
    queue = FakeQueue(FakeClock())
    queue.send()
    assert refreshed(queue, Metrics(CollectorRegistry())) == 1


def test_unknown_depth_keeps_the_last_value() -> None:
    queue, metrics = FakeQueue(FakeClock()), Metrics(CollectorRegistry())
    queue.send()
    assert refreshed(queue, metrics) == 1
    queue.send()
    queue.failing = "ServiceUnavailable"
    assert refreshed(queue, metrics) == 1
    queue.failing = ""
    assert refreshed(queue, metrics) == 2


def dead_letters(queue: FakeQueue, metrics: Metrics) -> float:
    refreshed(queue, metrics)
    value = metrics.registry.get_sample_value("pillarbox_consumer_dead_letters")
    assert value is not None
    return value


def test_dead_letters_become_a_metric_that_is_no_number_until_they_were_counted() -> None:
    queue, metrics = FakeQueue(FakeClock()), Metrics(CollectorRegistry())
    queue.has_dead_letter_queue = False
    assert math.isnan(dead_letters(queue, metrics))
    queue.has_dead_letter_queue = True
    queue.dead += ["a", "b", "c"]
    assert dead_letters(queue, metrics) == 3


def test_a_dead_letter_queue_that_may_not_be_read_leaves_the_depth_known() -> None:
    queue, metrics = FakeQueue(FakeClock()), Metrics(CollectorRegistry())
    queue.send()
    queue.failing_dead_letters = "AccessDenied"
    assert refreshed(queue, metrics) == 1
    assert math.isnan(dead_letters(queue, metrics))


def test_exception_does_not_end_the_depth_thread() -> None:
    def depth() -> dict[str, int]:
        raise RuntimeError("unexpected")

    queue = FakeQueue(FakeClock())
    queue.depth = depth  # type: ignore[method-assign]
    assert refreshed(queue, Metrics(CollectorRegistry())) is None


class _Ended(threading.Event):
    """Ends after some waits, which it notes."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return len(self.seconds) == self._waits


def test_refreshes_are_frequent_at_first_and_every_30_seconds_then() -> None:
    ended = _Ended(8)
    watch_depth(FakeQueue(FakeClock()), Metrics(CollectorRegistry()), ended)
    assert ended.seconds == [1, 2, 4, 8, 16, 30, 30, 30]
