"""The list of metrics: names that dashboards and alarms rely on; and the metrics of one worker and of several."""

import os
import subprocess
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service1_api.metrics import Metrics, WorkerProcesses, metrics_registry


def test_every_metric_has_the_prefix_of_the_service_and_a_description() -> None:
    metrics = vars(Metrics(CollectorRegistry()))
    for attribute, metric in metrics.items():
        (family,) = metric.describe()
        suffix = "_total" if isinstance(metric, Counter) else ""
        assert family.name + suffix == f"pillarbox_api_{attribute}"
        assert family.documentation


def test_registry_contains_exactly_the_metrics() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    assert len(list(registry.collect())) == len(vars(metrics)) == 18
    assert all(isinstance(metric, Counter | Gauge | Histogram) for metric in vars(metrics).values())


def test_registry_of_one_worker_has_process_and_python_metrics() -> None:
    show = metrics_registry(CollectorRegistry(), several_workers=False)
    for _ in range(2):
        text = generate_latest(show()).decode()
        for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"):
            assert text.count(f"\n{name} ") == 1
        assert "python_info{" in text


def test_process_metrics_are_summed_and_the_oldest_start_time_is_kept() -> None:
    own = WorkerProcesses(lambda: [os.getpid()])
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout
        assert child.stdout.readline()  # a process that has not begun yet holds no memory
        both = WorkerProcesses(lambda: [os.getpid(), child.pid])
        idle = WorkerProcesses(lambda: [child.pid])
        values = [{metric.name: metric.samples[0].value for metric in some.collect()} for some in (own, both, idle)]
    finally:
        child.communicate(b"\n", 10)
    # The child does nothing, so its memory stays what it is; that of this process may shrink at any moment.
    assert values[1]["process_resident_memory_bytes"] > values[2]["process_resident_memory_bytes"] > 0
    assert values[1]["process_max_fds"] == 2 * values[0]["process_max_fds"]
    assert values[1]["process_start_time_seconds"] == values[0]["process_start_time_seconds"]


def test_ended_process_is_omitted() -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert list(WorkerProcesses(lambda: [int(ended.stdout)]).collect()) == []
