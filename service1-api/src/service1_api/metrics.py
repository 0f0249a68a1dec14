"""Every metric of service1-api, in one list: what can be graphed and alerted on; and what GET /metrics shows."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_NAMESPACE = "pillarbox_api"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that no alert needs


class Metrics:
    """The metrics, each an attribute. With several workers, gauges are summed unless they say otherwise."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, namespace=_NAMESPACE, registry=registry)
        gauge = partial(Gauge, namespace=_NAMESPACE, registry=registry, multiprocess_mode="livesum")
        histogram = partial(Histogram, namespace=_NAMESPACE, registry=registry)

        self.requests_total = counter("requests_total", "Requests answered", ["route", "status"])
        help_text = "Rejections by the code of the problem: requests, and items of batches that were queued in part"
        self.rejections_total = counter("rejections_total", help_text, ["code"])
        buckets = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
        help_text = "Time from a complete request to its response"
        self.request_seconds = histogram("request_seconds", help_text, ["route"], buckets=buckets)
        self.requests_in_flight = gauge("requests_in_flight", "E-mail requests being handled")

        self.published_total = counter("published_total", "E-mails that SQS has confirmed")
        help_text = "E-mails of the probe that SQS has confirmed; published_total has none of them"
        self.probes_total = counter("probes_total", help_text)
        help_text = "E-mails that SQS did not confirm, by cause"
        self.publish_failures_total = counter("publish_failures_total", help_text, ["cause"])
        help_text = "Time of one call to SQS, retries included"
        self.publish_seconds = histogram("publish_seconds", help_text, buckets=(0.0025, *buckets))
        self.publish_batch_size = histogram("publish_batch_size", "E-mails in one call to SQS", buckets=range(1, 11))
        self.publish_in_flight = gauge("publish_in_flight", "Calls to SQS in flight")
        self.publish_waiting = gauge("publish_waiting", "E-mails that wait for the next call to SQS")

        help_text = "Payloads of e-mails too large for SQS: `stored`, `present` (by an earlier request) or `failed`"
        self.payloads_total = counter("payloads_total", help_text, ["outcome"])
        help_text = "Time of storing one payload in S3, retries included"
        self.payload_put_seconds = histogram("payload_put_seconds", help_text, buckets=buckets)

        help_text = "Requests allowed because the store of the rate limit failed"
        self.rate_limit_failures_total = counter("rate_limit_failures_total", help_text)

        help_text = "Time since the token was last read from SSM; above the cache time it is stale"
        self.token_age_seconds = gauge("token_age_seconds", help_text, multiprocess_mode="livemax")
        help_text = "TOKEN_CACHE_SECONDS, the age at which the token is read again"
        self.token_cache_seconds = gauge("token_cache_seconds", help_text, multiprocess_mode="livemax")
        help_text = "TOKEN_STALE_SECONDS, the age up to which the token is used while SSM fails"
        self.token_stale_seconds = gauge("token_stale_seconds", help_text, multiprocess_mode="livemax")
        self.token_refreshes_total = counter("token_refreshes_total", "Reads of the token from SSM", ["outcome"])


class WorkerProcesses(Collector):
    """The sum of the `process_*` metrics of several processes; the start time is that of the oldest."""

    def __init__(self, process_ids: Callable[[], Iterable[int]]) -> None:
        self._process_ids = process_ids

    def collect(self) -> Iterable[Metric]:
        """Return one metric of each name."""
        totals: dict[str, Metric] = {}
        for process_id in self._process_ids():
            one = ProcessCollector(registry=None, pid=lambda number=process_id: number)  # type: ignore[misc]
            for metric in one.collect():
                known = totals.setdefault(metric.name, metric)
                if known is not metric:
                    add = min if metric.name == "process_start_time_seconds" else sum
                    value = add((known.samples[0].value, metric.samples[0].value))
                    known.samples = [known.samples[0]._replace(value=value)]
        return totals.values()


def metrics_registry(registry: CollectorRegistry, *, several_workers: bool) -> Callable[[], CollectorRegistry]:
    """Return a function that returns the registry to show: that of this process, or the sum of several workers."""
    if not several_workers:
        _add_processes(registry, lambda: [os.getpid()])
        return lambda: registry

    def pod() -> CollectorRegistry:
        workers = CollectorRegistry()
        MultiProcessCollector(workers)  # type: ignore[no-untyped-call]
        _add_processes(workers, _workers)
        return workers

    return pod


def _add_processes(registry: CollectorRegistry, process_ids: Callable[[], Iterable[int]]) -> None:
    PlatformCollector(registry)
    registry.register(WorkerProcesses(process_ids))


def _workers() -> list[int]:
    """Return the children of gunicorn's arbiter, of which this process is one."""
    arbiter = os.getppid()
    try:
        return [int(child) for child in Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()]
    except OSError:  # no Linux, or the arbiter has died
        return [os.getpid()]
