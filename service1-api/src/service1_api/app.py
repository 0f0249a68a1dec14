"""Assembles the Flask application from its parts; knows no environment and no AWS."""

from collections.abc import Callable

from flask import Flask
from prometheus_client import CollectorRegistry

from service1_api import error_handlers, observe
from service1_api.docs import docs_routes
from service1_api.health import health_routes
from service1_api.intake import Intake, Tokens
from service1_api.lean_flask import LeanFlask
from service1_api.messages import PublishesMessages, message_routes
from service1_api.metrics import Metrics
from service1_api.rate_limit import RateLimit


def create_app(
    *,
    tokens: Tokens,
    publisher: PublishesMessages,
    metrics: Metrics,
    exposition: Callable[[], CollectorRegistry],
    draining: Callable[[], bool],
    max_request_bytes: int,
    max_requests_in_flight: int,
    rate_limit: RateLimit | None = None,
    trusted_proxy_hops: int = 0,
    tell: observe.Tell = observe.tell_by_logging,
) -> Flask:
    """Give the WSGI application."""
    app = LeanFlask("service1_api")
    observe.register(app, metrics, tell, trusted_proxy_hops=trusted_proxy_hops)
    error_handlers.register(app, metrics)
    intake = Intake(tokens, metrics, max_bytes=max_request_bytes, max_in_flight=max_requests_in_flight)
    messages = message_routes(intake, publisher, metrics)
    if rate_limit:
        rate_limit.register(messages)
    app.register_blueprint(messages)
    app.register_blueprint(docs_routes())
    app.register_blueprint(health_routes(ready=lambda: tokens.ready, draining=draining, exposition=exposition))
    return app
