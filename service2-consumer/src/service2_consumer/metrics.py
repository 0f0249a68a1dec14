"""The metrics of the consumer. All of them are defined here."""

import math
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_AGE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
_NAMESPACE = "pillarbox_consumer"


class Metrics:
    """The metrics in their own registry, so that each test can have one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._count_messages(partial(Counter, namespace=_NAMESPACE, registry=registry))
        self._time_calls(partial(Histogram, namespace=_NAMESPACE, registry=registry))
        self._show_state(partial(Gauge, namespace=_NAMESPACE, registry=registry))

    def _count_messages(self, counter: "partial[Counter]") -> None:
        self.received = counter("received_total", "Messages received, redeliveries included")
        self.stored = counter("stored_total", "Messages stored for the first time")
        self.probes = counter(
            "probes_total",
            "E-mails of the probe stored for the first time: not in stored_total, stored_bytes_total or age_seconds",
        )
        self.duplicates = counter("duplicates_total", "Messages whose e-mail was already in S3")
        self.conflicts = counter(
            "conflicts_total", "Messages stored under conflicts/: message id reused with different content"
        )
        self.invalid = counter("invalid_total", "Messages that can never be stored, by reason", ["reason"])
        self.skipped = counter(
            "skipped_total", "Messages or parts of them acknowledged without an object, by reason", ["reason"]
        )
        self.read_bytes = counter("read_bytes_total", "Bytes of files and payloads read from S3")
        self.read_failures = counter("read_failures_total", "Attempts to read that failed, by cause", ["cause"])
        self.store_failures = counter("store_failures_total", "Attempts to store that failed, by cause", ["cause"])
        self.released = counter(
            "released_total", "Messages released to the queue: poison, retries ended, or in flight when stopping"
        )
        self.deleted = counter("deleted_total", "Messages deleted from the queue, after they were stored")
        self.delete_failures = counter("delete_failures_total", "Deletes that failed; SQS delivers the message again")
        self.stored_bytes = counter("stored_bytes_total", "Bytes written to S3")
        self.polls = counter(
            "polls_total",
            "Receives, by outcome: messages, empty or error; also each failed check of the queue",
            ["outcome"],
        )

    def _time_calls(self, histogram: "partial[Histogram]") -> None:
        help_text = "Duration of a receive, including its long poll"
        self.receive_seconds = histogram("receive_seconds", help_text, buckets=_SECONDS)
        self.read_seconds = histogram("read_seconds", "Duration of one attempt to read", buckets=_SECONDS)
        self.store_seconds = histogram("store_seconds", "Duration of one attempt to store", buckets=_SECONDS)
        self.age_seconds = histogram("age_seconds", "Time from sent to stored", buckets=_AGE_SECONDS)

    def _show_state(self, gauge: "partial[Gauge]") -> None:
        self.in_flight = gauge("in_flight", "Messages received and not yet deleted or released")
        self.store_healthy = gauge(
            "store_healthy", "1 while S3 takes writes, 0 while it fails and messages are kept; NaN until it was tried"
        )
        self.store_healthy.set(math.nan)
        self.set_aside = gauge("set_aside", "Messages set aside: their object fails while the store works")
        self.lanes_full = gauge(
            "lanes_full", "Lanes that receive nothing until objects set aside are stored or released"
        )
        self.lanes_alive = gauge("lanes_alive", "Lanes that made progress within LIVENESS_SECONDS")
        self.dead_letters = gauge(
            "dead_letters", "Messages in the dead-letter queue as SQS estimates; NaN until they could be counted"
        )
        self.dead_letters.set(math.nan)
        self.queue_messages = gauge("queue_messages", "Messages in the queue as SQS estimates, by state", ["state"])

    def messages_processed(self) -> int:
        """Return the number of messages that are in S3, stored now or after an earlier receive."""
        totals = self.totals()
        return totals["stored"] + totals["duplicates"] + totals["conflicts"]

    def totals(self) -> dict[str, int]:
        """Return the counters for the last log line."""
        names = ("received", "stored", "duplicates", "conflicts", "released", "deleted", "delete_failures")
        totals = {name: int(self.registry.get_sample_value(f"{_NAMESPACE}_{name}_total") or 0) for name in names}
        samples = [sample for metric in self.invalid.collect() for sample in metric.samples]
        return totals | {"invalid": int(sum(s.value for s in samples if s.name.endswith("_total")))}
