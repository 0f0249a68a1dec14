"""What is recorded of every request: one log line, its metrics, its trace, and its client behind trusted proxies."""

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from flask import Flask, Request, Response, request

from pillarbox import trace
from pillarbox.tracing import NO_TRACER, RequestHeaders, Span, Tracer
from service1_api.metrics import Metrics

# Probes are frequent; their lines would hide the others.
QUIET_ROUTES = frozenset({"/health", "/ready", "/metrics"})

_CONTEXT = "service1_api.context"
_TRACE_ID = re.compile(r"[A-Za-z0-9=;:_\-]{1,256}")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

log = logging.getLogger(__name__)

_NO_HEADERS = RequestHeaders()


@dataclass(slots=True)
class RequestContext:
    """What is known of the current request; the fields that are set go into its log line."""

    started: float
    span: Span
    message_id: str | None = None
    code: str | None = None
    items: int | None = None
    queued: int | None = None
    rate_limit: str | None = None

    @property
    def trace_id(self) -> str:
        """The id that all parts of the trace share."""
        return trace.trace_id(self.span.traceparent)


def current_request() -> Request:
    """Return the request itself instead of Flask's proxy, which costs at each access."""
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask documents it
    return current


def context_of(environ: Mapping[str, Any]) -> RequestContext:
    """Return the context of a request. The WSGI environment holds it, because access to Flask's `g` costs more."""
    context: RequestContext = environ[_CONTEXT]
    return context


def register(
    app: Flask,
    metrics: Metrics,
    clock: Callable[[], float] = time.perf_counter,
    *,
    tracer: Tracer = NO_TRACER,
    trusted_proxy_hops: int = 0,
) -> None:
    """Start a trace for every request; count, time and log the request when it is answered."""
    hooks = _Hooks(metrics, clock, tracer, trusted_proxy_hops)
    app.before_request(hooks.begin)
    app.after_request(hooks.end)


class _Hooks:
    def __init__(self, metrics: Metrics, clock: Callable[[], float], tracer: Tracer, trusted_proxy_hops: int) -> None:
        self._metrics = metrics
        self._clock = clock
        self._tracer = tracer
        self._traced = tracer is not NO_TRACER
        self._hops = trusted_proxy_hops
        # labels() takes a lock and builds a tuple of strings at each call; there are few routes and statuses.
        # One dictionary for both metrics: a thread must never find one without the other.
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def begin(self) -> None:
        """Start the context of the request, with its span."""
        current = current_request()
        environ, rule = current.environ, current.url_rule
        given, amzn = environ.get("HTTP_TRACEPARENT", ""), environ.get("HTTP_X_AMZN_TRACE_ID")
        amzn = amzn_trace_id(amzn, self._hops) if self._traced else None
        headers = _NO_HEADERS
        if given or amzn:
            headers = RequestHeaders(given, environ.get("HTTP_TRACESTATE", ""), amzn or "")
        # Neither probes nor scans of unknown paths are worth a trace.
        tracer = NO_TRACER if rule is None or rule.rule in QUIET_ROUTES else self._tracer
        span = tracer.request(current.method, rule.rule if rule else "none", headers)
        environ[_CONTEXT] = RequestContext(self._clock(), span)

    def end(self, response: Response) -> Response:
        """Count, time and log the request, and end its span."""
        current = current_request()
        route = current.url_rule.rule if current.url_rule else "none"
        status = response.status_code
        context = context_of(current.environ)
        seconds = self._clock() - context.started
        self._count(route, status, seconds, context.span)
        if status >= 500:
            context.span.fail(context.code or str(status))
        context.span.end(status=status)
        level = logging.DEBUG if route in QUIET_ROUTES else logging.INFO
        if log.isEnabledFor(level):
            fields = _fields(context, current.method, route, status, seconds)
            log.log(level, "request", extra=fields | caller_fields(current.environ, self._hops))
        return response

    def _count(self, route: str, status: int, seconds: float, span: Span) -> None:
        if (route, status) not in self._children:
            counter = self._metrics.requests_total.labels(route, str(status))
            self._children[route, status] = counter, self._metrics.request_seconds.labels(route)
        counter, histogram = self._children[route, status]
        counter.inc()
        histogram.observe(seconds, span.exemplar)


def caller_fields(environ: Mapping[str, Any], trusted_proxy_hops: int) -> dict[str, object]:
    """Return the log fields that name the caller and the trace of the load balancer in front."""
    forwarded_for = environ.get("HTTP_X_FORWARDED_FOR")
    fields: dict[str, object] = {"client": client_address(environ["REMOTE_ADDR"], forwarded_for, trusted_proxy_hops)}
    trace_id = amzn_trace_id(environ.get("HTTP_X_AMZN_TRACE_ID"), trusted_proxy_hops)
    if trace_id:
        fields["amzn_trace_id"] = trace_id
    return fields


def _fields(context: RequestContext, method: str, route: str, status: int, seconds: float) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "trace_id": context.trace_id,
    }
    for name in ("message_id", "code", "items", "queued"):
        value = getattr(context, name)
        if value is not None:
            fields[name] = value
    return fields


def client_address(peer: str, forwarded_for: str | None, trusted_proxy_hops: int) -> str:
    """Return the client's address as the outermost trusted proxy saw it.

    Each proxy appends the address of its caller, so only the last `trusted_proxy_hops` entries can be trusted; the
    client can send any entries before them.
    """
    address = peer
    if trusted_proxy_hops and forwarded_for:
        entries = forwarded_for.split(",")
        address = entries[-min(trusted_proxy_hops, len(entries))].strip()
    return str(parsed(address) or parsed(peer))


def amzn_trace_id(header: str | None, trusted_proxy_hops: int) -> str | None:
    """Return the X-Amzn-Trace-Id of a load balancer in front; None if the client may have set it."""
    return header if trusted_proxy_hops and header and _TRACE_ID.fullmatch(header) else None


@lru_cache(maxsize=1024)
def parsed(text: str) -> Address | None:
    """Parse an address, with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
