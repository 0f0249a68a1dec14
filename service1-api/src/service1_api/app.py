"""Assembles the Flask application from its parts; knows no environment and no AWS."""

from collections.abc import Callable

from flask import Flask
from prometheus_client import CollectorRegistry

from service1_api import errors, observe
from service1_api.health import health_routes
from service1_api.intake import Intake, Tokens
from service1_api.messages import PublishesMessages, message_routes
from service1_api.metrics import Metrics


def create_app(
    *,
    tokens: Tokens,
    publisher: PublishesMessages,
    metrics: Metrics,
    exposition: Callable[[], CollectorRegistry],
    draining: Callable[[], bool],
    max_request_bytes: int,
    max_requests_in_flight: int,
) -> Flask:
    """Give the WSGI application."""
    app = Flask("service1_api", static_folder=None)
    observe.register(app, metrics)
    errors.register(app, metrics)
    intake = Intake(tokens, metrics, max_bytes=max_request_bytes, max_in_flight=max_requests_in_flight)
    app.register_blueprint(message_routes(intake, publisher, metrics))
    app.register_blueprint(health_routes(ready=lambda: tokens.ready, draining=draining, exposition=exposition))
    return app
