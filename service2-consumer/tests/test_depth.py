"""The metric of the queue's depth."""

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


def test_exception_does_not_end_the_depth_thread() -> None:
    def depth() -> dict[str, int]:
        raise RuntimeError("unexpected")

    queue = FakeQueue(FakeClock())
    queue.depth = depth  # type: ignore[method-assign]
    assert refreshed(queue, Metrics(CollectorRegistry())) is None
