"""GET /health (is the process alive), /ready (should it receive traffic) and /metrics (Prometheus)."""

from collections.abc import Callable
from datetime import UTC, datetime

import orjson
from flask import Blueprint, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from pillarbox.message import rfc3339
from service1_api import SERVICE
from service1_api.request_log import current_request


def health_routes(
    *, ready: Callable[[], bool], draining: Callable[[], bool], metrics_registry: Callable[[], CollectorRegistry]
) -> Blueprint:
    """Return the three routes; `metrics_registry` returns the registry to show, the sum of all workers of the pod."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> Response:
        return _answer(200, "healthy")

    @routes.get("/ready")
    def readiness() -> Response:
        if draining():
            return _answer(503, "draining")
        return _answer(200, "ready") if ready() else _answer(503, "starting")

    @routes.get("/metrics")
    def metrics() -> Response:
        # In OpenMetrics if the scraper asks for it: only that format has exemplars.
        encode, content_type = choose_encoder(current_request().environ.get("HTTP_ACCEPT", ""))
        return Response(encode(metrics_registry()), 200, content_type=content_type)

    return routes


def _answer(status: int, word: str) -> Response:
    document = {"status": word, "service": SERVICE, "timestamp": rfc3339(datetime.now(UTC))}
    return Response(orjson.dumps(document), status, {"Cache-Control": "no-store"}, mimetype="application/json")
