"""Sums over the metrics."""

from prometheus_client import CollectorRegistry

from service2_consumer.metrics import Metrics


def test_messages_processed_counts_stored_duplicate_and_conflict() -> None:
    metrics = Metrics(CollectorRegistry())
    for counter, count in ((metrics.stored, 3), (metrics.duplicates, 2), (metrics.conflicts, 1), (metrics.received, 9)):
        counter.inc(count)
    assert metrics.messages_processed() == 6


def test_totals_sum_the_invalid_messages_of_all_reasons() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.received.inc(5)
    metrics.invalid.labels("invalid_json").inc()
    metrics.invalid.labels("not_an_email").inc(2)
    totals = metrics.totals()
    assert (totals["received"], totals["invalid"], totals["stored"]) == (5, 3, 0)
