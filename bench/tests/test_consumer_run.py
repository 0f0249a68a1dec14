"""The cost of a message, computed from two readings."""

from bench.consumer_run import Cost, Reading, cost


def test_cost_is_that_of_the_messages_between_the_readings() -> None:
    first = Reading(seconds=100.0, cpu_seconds=2.0, stub_cpu_seconds=1.0, deleted=1000)
    last = Reading(seconds=104.0, cpu_seconds=3.6, stub_cpu_seconds=1.8, deleted=9000)
    assert cost(first, last, 55.04) == Cost(cpu_us=200.0, rate=2000, rss_mb=55.0, stub_cpu_us=100.0)
