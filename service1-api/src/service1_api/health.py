"""GET /health (is the process alive), /ready (should it receive traffic) and /metrics (Prometheus)."""

from collections.abc import Callable
from datetime import UTC, datetime

import orjson
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from pillarbox.message import rfc3339
from service1_api import SERVICE


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
        return Response(generate_latest(metrics_registry()), 200, content_type=CONTENT_TYPE_LATEST)

    return routes


def _answer(status: int, word: str) -> Response:
    document = {"status": word, "service": SERVICE, "timestamp": rfc3339(datetime.now(UTC))}
    return Response(orjson.dumps(document), status, {"Cache-Control": "no-store"}, mimetype="application/json")
