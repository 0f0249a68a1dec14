"""What is told of every request: one log line, its metrics, and its trace."""

import logging
import time
from collections.abc import Callable

from flask import Flask, Response, g, request

from pillarbox import trace
from service1_api.metrics import Metrics

# Probes ask every few seconds; their lines would drown the others.
QUIET_ROUTES = frozenset({"/health", "/ready", "/metrics"})

log = logging.getLogger(__name__)


def register(app: Flask, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
    """Give every request a trace, and when it is answered count it, time it and log it."""

    def begin() -> None:
        g.started = clock()
        traceparent = request.environ.get("HTTP_TRACEPARENT")
        g.traceparent = (traceparent and trace.parse(traceparent)) or trace.new_traceparent()
        g.trace_id = trace.trace_id(g.traceparent)

    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        seconds = clock() - g.started
        metrics.requests_total.labels(route, str(response.status_code)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        level = logging.DEBUG if route in QUIET_ROUTES else logging.INFO
        if log.isEnabledFor(level):
            log.log(level, "request", extra=_fields(route, response.status_code, seconds))
        return response

    app.before_request(begin)
    app.after_request(end)


def _fields(route: str, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": request.method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "trace_id": g.trace_id,
    }
    for name in ("message_id", "code", "queued", "items"):
        if name in g:
            fields[name] = g.get(name)
    return fields
