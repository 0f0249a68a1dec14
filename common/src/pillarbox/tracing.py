"""The interface through which the services trace an e-mail, and what stands in for it while traces are off.

Pure: no I/O. `pillarbox_otel` implements it with OpenTelemetry.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from pillarbox import trace


class Span(Protocol):
    """A piece of work. `traceparent` and `tracestate` tell others which; each is empty if there is nothing to tell."""

    @property
    def traceparent(self) -> str:
        """Return the W3C traceparent of the work."""
        ...

    @property
    def tracestate(self) -> str:
        """Return the W3C tracestate of the trace."""
        ...

    @property
    def exemplar(self) -> dict[str, str] | None:
        """Return the labels that lead from a metric to the trace; None unless the trace is sampled."""
        ...

    def fail(self, error: str) -> None:
        """Record the first reason for which the work fails: a short code, never content."""
        ...

    def end(self, *, status: int | None = None) -> None:
        """End the work; `status` is that of an HTTP response. A second end has no effect."""
        ...


class Traced(Protocol):
    """Something that has a span: a message to send, or one that was received."""

    @property
    def span(self) -> Span:
        """Return its span."""
        ...


class ReceivedMessage(Protocol):
    """A message with its attributes; `trace_header` is the AWSTraceHeader that SQS keeps beside them, or empty."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """Return the message attributes."""
        ...

    @property
    def trace_header(self) -> str:
        """Return the AWSTraceHeader."""
        ...


class RequestHeaders(NamedTuple):
    """The headers of a request about its trace; an absent one is empty. `amzn_trace_id` is that of a trusted proxy."""

    traceparent: str = ""
    tracestate: str = ""
    amzn_trace_id: str = ""


class Tracer(Protocol):
    """Starts the spans of both services. No method raises, waits, or records an address, a subject or content."""

    def request(self, method: str, route: str, headers: RequestHeaders) -> Span:
        """Start the work on an HTTP request."""
        ...

    def create(self, request: Span, message_id: str) -> Span:
        """Start the publishing of one e-mail of a request; its context travels with the message."""
        ...

    def send(self, emails: Sequence[Traced]) -> Span:
        """Start a call that sends these e-mails together."""
        ...

    def received(self, messages: Sequence[ReceivedMessage], seconds: float, error: str = "") -> None:
        """Record a receive that took so long, and what it brought; `error` is why it failed."""
        ...

    def process(self, message: ReceivedMessage, message_id: str) -> Span:
        """Start the work on a received message."""
        ...

    def put(self, emails: Sequence[Traced]) -> Span:
        """Start the writing of an object that holds these e-mails."""
        ...

    def close(self) -> None:
        """Export what is buffered, for a few seconds at most."""
        ...


class Untraced:
    """A span that nobody records; it passes on the context that came with the work."""

    __slots__ = ("traceparent", "tracestate")

    exemplar = None

    def __init__(self, traceparent: str = "", tracestate: str = "") -> None:
        self.traceparent = traceparent
        self.tracestate = tracestate

    def fail(self, error: str) -> None:
        """Do nothing."""

    def end(self, *, status: int | None = None) -> None:
        """Do nothing."""


UNTRACED = Untraced()


class NoTracer:
    """Records nothing. A request without a trace gets one, so that both services log the same id."""

    def request(self, method: str, route: str, headers: RequestHeaders) -> Span:  # noqa: ARG002  # nothing is recorded
        """Return the context that the client sent, or a new one."""
        given = trace.parse(headers.traceparent) if headers.traceparent else None
        if given is None:
            return Untraced(trace.new_traceparent())
        return Untraced(given, trace.parse_state(headers.tracestate))

    def create(self, request: Span, message_id: str) -> Span:  # noqa: ARG002
        """Return the context of the request."""
        return request

    def send(self, emails: Sequence[Traced]) -> Span:  # noqa: ARG002
        """Return nothing to record."""
        return UNTRACED

    def received(self, messages: Sequence[ReceivedMessage], seconds: float, error: str = "") -> None:
        """Do nothing."""

    def process(self, message: ReceivedMessage, message_id: str) -> Span:  # noqa: ARG002
        """Return nothing to record."""
        return UNTRACED

    def put(self, emails: Sequence[Traced]) -> Span:  # noqa: ARG002
        """Return nothing to record."""
        return UNTRACED

    def close(self) -> None:
        """Do nothing."""


NO_TRACER = NoTracer()
