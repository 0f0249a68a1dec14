"""The list of metrics: names that dashboards and alarms rely on."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service1_api.metrics import Metrics


def test_every_metric_has_the_prefix_of_the_service_and_a_description() -> None:
    metrics = vars(Metrics(CollectorRegistry()))
    for attribute, metric in metrics.items():
        (family,) = metric.describe()
        suffix = "_total" if isinstance(metric, Counter) else ""
        assert family.name + suffix == f"pillarbox_api_{attribute}"
        assert family.documentation


def test_the_metrics_are_registered_and_nothing_else_is() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    assert len(list(registry.collect())) == len(vars(metrics)) == 13
    assert all(isinstance(metric, Counter | Gauge | Histogram) for metric in vars(metrics).values())
