"""What is told of every request: one log line, its metrics, and its trace."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from flask import Flask, Response
from flask.globals import request_ctx

from pillarbox import trace
from service1_api.client_address import amzn_trace_id, client_address
from service1_api.metrics import Metrics

# Probes ask every few seconds; their lines would drown the others.
QUIET_ROUTES = frozenset({"/health", "/ready", "/metrics"})

Tell: TypeAlias = Callable[[logging.Logger, int, str, Mapping[str, object]], None]

_NOTES = "service1_api.notes"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Notes:
    """What is known of the request at hand; the fields that are set go into its log line."""

    started: float
    traceparent: str
    message_id: str | None = None
    code: str | None = None
    items: int | None = None
    queued: int | None = None
    rate_limit: str | None = None

    @property
    def trace_id(self) -> str:
        """The id that all parts of the trace share."""
        return trace.trace_id(self.traceparent)


def notes_of(environ: dict[str, Any]) -> Notes:
    """Give the notes of a request: kept in its WSGI environment, for Flask's `g` costs more at each access."""
    notes: Notes = environ[_NOTES]
    return notes


def tell_by_logging(logger: logging.Logger, level: int, event: str, fields: Mapping[str, object]) -> None:
    """Log an event with its fields."""
    logger.log(level, event, extra=fields)


def register(
    app: Flask,
    metrics: Metrics,
    tell: Tell = tell_by_logging,
    clock: Callable[[], float] = time.perf_counter,
    *,
    trusted_proxy_hops: int = 0,
) -> None:
    """Give every request a trace, and when it is answered count it, time it and log it."""
    # labels() takes a lock and builds a tuple of texts at each call; routes and statuses are few.
    # One dictionary, so that a thread finds both or none: an exception here answers a queued e-mail with 500.
    measures: dict[tuple[str, int], tuple[Any, Any]] = {}

    def begin() -> None:
        environ = request_ctx.request.environ
        given = environ.get("HTTP_TRACEPARENT")
        environ[_NOTES] = Notes(clock(), (given and trace.parse(given)) or trace.new_traceparent())

    def end(response: Response) -> Response:
        request = request_ctx.request
        route = request.url_rule.rule if request.url_rule else "none"
        status = response.status_code
        notes = notes_of(request.environ)
        seconds = clock() - notes.started
        if (route, status) not in measures:
            counter = metrics.requests_total.labels(route, str(status))
            measures[route, status] = counter, metrics.request_seconds.labels(route)
        answered, answer_seconds = measures[route, status]
        answered.inc()
        answer_seconds.observe(seconds)
        level = logging.DEBUG if route in QUIET_ROUTES else logging.INFO
        if log.isEnabledFor(level):
            fields = _fields(notes, request.method, route, status, seconds)
            tell(log, level, "request", fields | caller_fields(request.environ, trusted_proxy_hops))
        return response

    app.before_request(begin)
    app.after_request(end)


def caller_fields(environ: Mapping[str, Any], trusted_proxy_hops: int) -> dict[str, object]:
    """Return the log fields that say who called, and the trace of the load balancer in front."""
    forwarded_for = environ.get("HTTP_X_FORWARDED_FOR")
    fields: dict[str, object] = {"client": client_address(environ["REMOTE_ADDR"], forwarded_for, trusted_proxy_hops)}
    trace_id = amzn_trace_id(environ.get("HTTP_X_AMZN_TRACE_ID"), trusted_proxy_hops)
    if trace_id:
        fields["amzn_trace_id"] = trace_id
    return fields


def _fields(notes: Notes, method: str, route: str, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "trace_id": notes.trace_id,
    }
    told = {"message_id": notes.message_id, "code": notes.code, "items": notes.items, "queued": notes.queued}
    fields.update((name, value) for name, value in told.items() if value is not None)
    return fields
