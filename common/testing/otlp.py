"""A receiver of OTLP over HTTP on 127.0.0.1 that keeps the spans sent to it. https://opentelemetry.io/docs/specs/otlp/"""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan


@dataclass(frozen=True, slots=True)
class Exported:
    """One span as it was received; ids are hex digits, links are pairs of trace id and span id."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    seconds: float
    failed: bool
    tracestate: str


@dataclass
class Receiver:
    """What was received. `status` is how it answers; while `hold` is set, it does not answer."""

    port: int = 0
    status: int = 200
    spans: list[Exported] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    requests: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Return the value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Exported]:
        """Return the spans of a name, in the order of their arrival."""
        return [span for span in self.spans if span.name == name]

    def take(self, body: bytes) -> int:
        """Keep the spans of a request and return the status to answer with."""
        self.requests += 1
        if self.hold.is_set():
            self.released.wait(60)
        if self.status == 200:
            self.raw.append(body)
            self.spans += spans_of(body)
        return self.status


def spans_of(body: bytes) -> list[Exported]:
    """Return the spans of an ExportTraceServiceRequest."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _plain(resource.resource.attributes).get("service.name", "")
        found += [_exported(service, span) for scope in resource.scope_spans for span in scope.spans]
    return found


@contextmanager
def receiving(port: int = 0, *, hold: bool = False) -> Iterator[Receiver]:
    """Run a receiver until the block ends; with `hold`, it answers nothing."""
    receiver = Receiver()
    if hold:
        receiver.hold.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            self.send_response(receiver.take(body) if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _exported(service: str, span: ProtoSpan) -> Exported:
    return Exported(
        service=service,
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_plain(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        tracestate=span.trace_state,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in _pairs(attributes)}


def _pairs(attributes: Any) -> Iterator[KeyValue]:
    yield from attributes


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
