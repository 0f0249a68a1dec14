"""Builds the Flask application from its parts. It reads no environment and does not depend on AWS."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from prometheus_client import CollectorRegistry
from werkzeug.routing import MapAdapter

from pillarbox.tracing import NO_TRACER, Tracer
from service1_api import error_handlers, request_log
from service1_api.docs import docs_routes
from service1_api.health import health_routes
from service1_api.messages import PublishesMessages, message_routes
from service1_api.metrics import Metrics
from service1_api.request_parsing import RequestParser, Tokens
from service1_api.settings import STATUS_REQUESTS, STATUS_WAITING
from service1_api.status import NOT_SET, Places, StatusSource, Waiting, status_routes

if TYPE_CHECKING:
    from service1_api.rate_limit import RateLimit


class _NoSessions(SessionInterface):
    """One empty, read-only session for every request."""

    _session = NullSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:  # noqa: ARG002  # Flask's signature
        return self._session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save nothing; Flask does not call this for a null session."""


class LeanFlask(Flask):
    """Flask without what this API does not use and every request would pay for: sessions, coroutines, host names."""

    session_interface = _NoSessions()

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self.url_map.merge_slashes = False  # a redirect would need the host

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or a hook as it is: all of them are plain functions."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return an adapter that matches the path only, whatever the host."""
        if request is None:
            return None
        return self.url_map.bind("localhost", path_info=request.path, default_method=request.method)


def create_app(
    *,
    tokens: Tokens,
    publisher: PublishesMessages,
    metrics: Metrics,
    metrics_registry: Callable[[], CollectorRegistry],
    draining: Callable[[], bool],
    max_request_bytes: int,
    max_requests_in_flight: int,
    max_inflated_bytes: int = 32 * 1024 * 1024,
    max_payload_bytes: int = 0,
    status: StatusSource | str = NOT_SET,
    rate_limit: "RateLimit | None" = None,
    trusted_proxy_hops: int = 0,
    tracer: Tracer = NO_TRACER,
) -> Flask:
    """Return the WSGI application.

    `max_inflated_bytes` limits what all compressed bodies take at once; `max_payload_bytes` limits an e-mail too large
    for SQS, and is 0 unless `publisher` takes such e-mails. `status` is where the status of an e-mail is found, or the
    text that says why it is not.
    """
    app = LeanFlask("service1_api")
    request_log.register(app, metrics, tracer=tracer, trusted_proxy_hops=trusted_proxy_hops)
    error_handlers.register(app, metrics)
    limits = {"max_bytes": max_request_bytes, "max_in_flight": max_requests_in_flight}
    parser = RequestParser(tokens, metrics, **limits, max_inflated_bytes=max_inflated_bytes)
    located = isinstance(status, StatusSource) and status.template is not None
    messages = message_routes(parser, publisher, metrics, tracer, max_payload_bytes=max_payload_bytes, located=located)
    places = Places(requests=STATUS_REQUESTS, waiting=STATUS_WAITING)
    for routes in (messages, status_routes(parser.authorize, status, places, Waiting(draining))):
        if rate_limit:
            rate_limit.register(routes)
        app.register_blueprint(routes)
    app.register_blueprint(docs_routes())
    health = health_routes(ready=lambda: tokens.ready, draining=draining, metrics_registry=metrics_registry)
    app.register_blueprint(health)
    return app
