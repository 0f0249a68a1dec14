"""Reads both services' /metrics every two seconds into a ring of the last minutes."""

import threading
import time
from collections import deque
from collections.abc import Callable

from pillarbox_ops.errors import OpsError
from pillarbox_ops.scraping import Samples, scrape
from pillarbox_ops.ui.series import Reading

EVERY_SECONDS = 2.0
KEPT = 301  # ten minutes

Read = Callable[[str], Samples]


class Sampler:
    """Reads both services every two seconds from `start` to `stop`. An empty address is never asked."""

    def __init__(self, api_url: str, consumer_url: str, read: Read = scrape) -> None:
        self.api_url, self.consumer_url = api_url.rstrip("/"), consumer_url.rstrip("/")
        self._read = read
        self._ring: deque[Reading] = deque(maxlen=KEPT)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        if self.api_url or self.consumer_url:
            self._thread.start()

    def stop(self) -> None:
        """End; the thread ends by itself within seconds."""
        self._ended.set()

    def readings(self) -> list[Reading]:
        """Return what was read, the oldest first."""
        return list(self._ring)

    def sample(self) -> None:
        """Read once."""
        self._ring.append(reading(time.monotonic(), self._samples(self.api_url), self._samples(self.consumer_url)))

    def _samples(self, url: str) -> Samples:
        try:
            return self._read(url) if url else Samples(())
        except OpsError:
            return Samples(())

    def _run(self) -> None:
        while True:
            self.sample()
            if self._ended.wait(EVERY_SECONDS):
                return


def reading(at: float, api: Samples, consumer: Samples) -> Reading:
    """Return the figures of the metrics of both services; without samples a service did not answer."""
    buckets = consumer.of("pillarbox_consumer_age_seconds_bucket")
    return Reading(
        at,
        accepted=api.total("pillarbox_api_published_total"),
        stored=consumer.total("pillarbox_consumer_stored_total"),
        waiting=consumer.total("pillarbox_consumer_queue_messages", state="visible"),
        in_flight=consumer.total("pillarbox_consumer_queue_messages", state="in_flight"),
        ages={float(bucket.labels["le"]): bucket.value for bucket in buckets} or None,
    )
