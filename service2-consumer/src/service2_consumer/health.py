"""The HTTP server that probes and Prometheus ask: /health, /ready, /metrics. It asks neither SQS nor S3."""

import json
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pillarbox.message import rfc3339
from service2_consumer.metrics import Metrics

_CLIENT_SECONDS = 5  # a client that stalls for so long loses its connection, and the thread it held


class State(Protocol):
    """What is asked of the consumer."""

    @property
    def alive(self) -> bool:
        """Tell whether the lanes turn."""
        ...

    @property
    def ready(self) -> bool:
        """Tell whether queue and bucket work."""
        ...

    @property
    def last_poll_at(self) -> datetime | None:
        """Give the time of the latest receive."""
        ...


class HealthServer:
    """Serves in a daemon thread from construction on; raises OSError if the port cannot be had."""

    def __init__(self, host: str, port: int, state: State, metrics: Metrics) -> None:
        routes = {
            "/health": lambda: _health(state, metrics),
            "/ready": lambda: _ready(state),
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)),
        }
        self._server = ThreadingHTTPServer((host, port), _handler(routes))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


Answer = tuple[int, str, bytes]


def _health(state: State, metrics: Metrics) -> Answer:
    last_poll = rfc3339(state.last_poll_at) if state.last_poll_at else None
    status = {"status": "healthy" if state.alive else "unhealthy"}
    return _json(state.alive, status | {"last_poll": last_poll, "messages_processed": metrics.messages_processed()})


def _ready(state: State) -> Answer:
    return _json(state.ready, {"status": "ready" if state.ready else "not ready"})


def _json(well: bool, body: dict[str, object]) -> Answer:
    return 200 if well else 503, "application/json", json.dumps(body).encode()


def _handler(routes: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "pillarbox-consumer"
        sys_version = ""
        timeout = _CLIENT_SECONDS

        def do_GET(self) -> None:  # the name that http.server calls
            route = routes.get(self.path.partition("?")[0])
            status, content_type, body = route() if route else (404, "text/plain", b"not found\n")
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # probes every few seconds are no news
            pass

    return Handler
