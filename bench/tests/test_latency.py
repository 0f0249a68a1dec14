"""The percentiles of the latency."""

from bench.latency import summary


def test_summary_has_the_percentiles_of_all_emails() -> None:
    figures = summary([float(n) for n in range(199, 0, -1)])
    assert figures == {"emails": 199, "p50_ms": 100.0, "p95_ms": 190.0, "p99_ms": 198.0, "max_ms": 199.0}
