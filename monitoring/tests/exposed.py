"""The metrics that the services expose, by the names that Prometheus stores."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from service1_api.metrics import Metrics as ApiMetrics
from service2_consumer.metrics import Metrics as ConsumerMetrics

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def families(metrics: Callable[[CollectorRegistry], object]) -> list[Metric]:
    """Return the metrics of a service, without their samples' suffixes."""
    registry = CollectorRegistry()
    metrics(registry)
    return list(registry.collect())


def exposed() -> set[str]:
    """Return the names of both services' series."""
    found = families(ApiMetrics) + families(ConsumerMetrics)
    return {family.name + suffix for family in found for suffix in _SUFFIXES.get(family.type, ("",))}
