"""The registry that GET /metrics shows: the service's own metrics, and those of Python and of the processes."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


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
