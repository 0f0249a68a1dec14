"""The routes for probes and Prometheus."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service2_consumer.health import HealthServer
from service2_consumer.metrics import Metrics

from .fakes import START


@dataclass
class State:
    alive: bool = True
    ready: bool = True
    last_poll_at: datetime | None = START


@dataclass
class Served:
    state: State
    metrics: Metrics
    port: int

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # our own server
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()


@pytest.fixture
def served() -> Iterator[Served]:
    state, metrics = State(), Metrics(CollectorRegistry())
    server = HealthServer("127.0.0.1", 0, state, metrics)
    yield Served(state, metrics, server.port)
    server.close()


def test_health_reports_the_last_poll_and_the_stored_messages(served: Served) -> None:
    served.metrics.stored.inc(3)
    served.metrics.duplicates.inc(2)
    status, body = served.get("/health")
    assert (status, json.loads(body)) == (
        200,
        {"status": "healthy", "last_poll": "2026-12-10T14:30:22.000Z", "messages_processed": 5},
    )


def test_health_is_503_when_lanes_are_silent(served: Served) -> None:
    served.state.alive = False
    served.state.last_poll_at = None
    status, body = served.get("/health")
    assert (status, json.loads(body)["status"], json.loads(body)["last_poll"]) == (503, "unhealthy", None)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_ready_follows_the_consumer(served: Served, ready: bool, status: int) -> None:
    served.state.ready = ready
    assert served.get("/ready")[0] == status


def test_metrics_are_served_with_their_full_names(served: Served) -> None:
    served.metrics.invalid.labels("invalid_json").inc()
    status, body = served.get("/metrics")
    assert status == 200
    assert 'pillarbox_consumer_invalid_total{reason="invalid_json"} 1.0' in body


def test_a_scraper_that_accepts_openmetrics_gets_the_exemplars(served: Served) -> None:
    served.metrics.age_seconds.observe(0.2, {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    _, body = served.get("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    families = {family.name: family for family in text_string_to_metric_families(body)}  # type: ignore[no-untyped-call]
    samples = families["pillarbox_consumer_age_seconds"].samples
    (exemplar,) = [sample.exemplar for sample in samples if sample.exemplar]
    assert exemplar.labels == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert "trace_id" not in served.get("/metrics")[1]


def test_other_paths_are_404(served: Served) -> None:
    assert served.get("/")[0] == 404
    assert served.get("/health?probe=1")[0] == 200


def test_metrics_match_the_contract() -> None:
    names = {metric.name for metric in Metrics(CollectorRegistry()).registry.collect()}
    wanted = (
        "received stored probes duplicates conflicts invalid store_failures released deleted delete_failures "
        "stored_bytes skipped read_bytes read_failures read_seconds polls receive_seconds store_seconds age_seconds "
        "in_flight store_healthy set_aside lanes_full lanes_alive queue_messages dead_letters"
    )
    assert names == {f"pillarbox_consumer_{name}" for name in wanted.split()}


def test_totals_count_every_reason_of_invalid_messages() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.invalid.labels("too_deep").inc()
    metrics.invalid.labels("not_an_email").inc(2)
    metrics.deleted.inc(4)
    assert (metrics.totals()["invalid"], metrics.totals()["deleted"]) == (3, 4)
