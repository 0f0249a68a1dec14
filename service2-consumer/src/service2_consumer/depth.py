"""Refreshes the metrics of the depth of the queue and of its dead-letter queue."""

import logging
import threading

from service2_consumer.metrics import Metrics
from service2_consumer.ports import Queue, QueueError

# Often at first: what was waiting at the start is gone a moment later, and would be shown until the next refresh.
_FIRST_INTERVAL_SECONDS = 1
_LONGEST_INTERVAL_SECONDS = 30

logger = logging.getLogger(__name__)


def watch_depth(queue: Queue, metrics: Metrics, ended: threading.Event) -> None:
    """Refresh the metrics until `ended` is set. The lanes report failures of the queue."""
    interval_seconds = _FIRST_INTERVAL_SECONDS
    while True:
        for refresh in (_refresh_depth, _refresh_dead_letters):
            try:
                refresh(queue, metrics)
            except QueueError as exc:
                logger.debug("the queue's depth is unknown", extra={"cause": exc.cause})
            except Exception:  # top of the thread: the next call may succeed
                logger.exception("the queue's depth could not be read")
        if ended.wait(interval_seconds):
            return
        interval_seconds = min(2 * interval_seconds, _LONGEST_INTERVAL_SECONDS)


def _refresh_depth(queue: Queue, metrics: Metrics) -> None:
    for state, count in queue.depth().items():
        metrics.queue_messages.labels(state).set(count)


def _refresh_dead_letters(queue: Queue, metrics: Metrics) -> None:
    count = queue.dead_letters()
    if count is not None:
        metrics.dead_letters.set(count)
