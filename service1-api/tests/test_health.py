"""The routes for probes."""

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from .conftest import Service


def test_health_depends_on_no_other_service(service: Service) -> None:
    service.tokens.ready = False
    service.draining = True
    response = service.client.get("/health")
    body = response.get_json()
    assert (response.status_code, body["status"], body["service"]) == (200, "healthy", "service1-api")
    assert body["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("loaded", "draining", "status", "word"),
    [(True, False, 200, "ready"), (False, False, 503, "starting"), (True, True, 503, "draining")],
)
def test_ready_reports_whether_traffic_is_accepted(
    service: Service, loaded: bool, draining: bool, status: int, word: str
) -> None:
    service.tokens.ready, service.draining = loaded, draining
    response = service.client.get("/ready")
    assert (response.status_code, response.get_json()["status"]) == (status, word)


def test_metrics_are_prometheus_text(client: FlaskClient) -> None:
    client.get("/health")
    families = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert {"pillarbox_api_requests", "pillarbox_api_publish_seconds", "pillarbox_api_token_age_seconds"} <= families


def test_every_metric_has_the_prefix_of_the_service(service: Service) -> None:
    names = [metric.name for metric in service.registry.collect()]
    assert [name for name in names if not name.startswith("pillarbox_api_")] == []
