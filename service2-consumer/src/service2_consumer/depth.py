"""Refreshes the metric of the queue's depth."""

import logging
import threading

from service2_consumer.metrics import Metrics
from service2_consumer.ports import Queue, QueueError

_INTERVAL_SECONDS = 30

logger = logging.getLogger(__name__)


def watch_depth(queue: Queue, metrics: Metrics, ended: threading.Event) -> None:
    """Refresh the metric until `ended` is set. The lanes report failures of the queue."""
    while True:
        try:
            for state, count in queue.depth().items():
                metrics.queue_messages.labels(state).set(count)
        except QueueError as exc:
            logger.debug("the queue's depth is unknown", extra={"cause": exc.cause})
        except Exception:  # top of the thread: the next call may succeed
            logger.exception("the queue's depth could not be read")
        if ended.wait(_INTERVAL_SECONDS):
            return
