"""The HTTP server for probes and Prometheus: /health, /ready, /metrics. It calls neither SQS nor S3."""

import json
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from prometheus_client.exposition import choose_encoder

from pillarbox.message import rfc3339
from service2_consumer.metrics import Metrics

_CLIENT_SECONDS = 5  # a stalled client is disconnected after this time, which frees its thread


class State(Protocol):
    """The state of the consumer that the server reports."""

    @property
    def alive(self) -> bool:
        """Return whether the lanes make progress."""
        ...

    @property
    def ready(self) -> bool:
        """Return whether queue and bucket work."""
        ...

    @property
    def last_poll_at(self) -> datetime | None:
        """Return the time of the latest receive."""
        ...


class HealthServer:
    """Serves in a daemon thread from construction on. Raise OSError if it cannot listen on the port."""

    def __init__(self, host: str, port: int, state: State, metrics: Metrics) -> None:
        routes = {
            "/health": lambda _accept: _health(state, metrics),
            "/ready": lambda _accept: _ready(state),
            "/metrics": lambda accept: _metrics(metrics, accept),
        }
        self._server = ThreadingHTTPServer((host, port), _handler(routes))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


Response = tuple[int, str, bytes]


def _health(state: State, metrics: Metrics) -> Response:
    last_poll = rfc3339(state.last_poll_at) if state.last_poll_at else None
    status = {"status": "healthy" if state.alive else "unhealthy"}
    return _json(state.alive, status | {"last_poll": last_poll, "messages_processed": metrics.messages_processed()})


def _ready(state: State) -> Response:
    return _json(state.ready, {"status": "ready" if state.ready else "not ready"})


def _metrics(metrics: Metrics, accept: str) -> Response:
    """Answer in OpenMetrics if the scraper asks for it: only that format has exemplars."""
    encode, content_type = choose_encoder(accept)
    return 200, content_type, encode(metrics.registry)


def _json(ok: bool, body: dict[str, object]) -> Response:
    return 200 if ok else 503, "application/json", json.dumps(body).encode()


def _handler(routes: dict[str, Callable[[str], Response]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "pillarbox-consumer"
        sys_version = ""
        timeout = _CLIENT_SECONDS

        def do_GET(self) -> None:  # http.server calls this name
            route = routes.get(self.path.partition("?")[0])
            status, content_type, body = (
                route(self.headers.get("Accept", "")) if route else (404, "text/plain", b"not found\n")
            )
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # probes come every few seconds
            pass

    return Handler
