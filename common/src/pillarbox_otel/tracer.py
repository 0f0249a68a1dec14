"""Starts the spans of both services, and passes on those that end sampled, failed or slow."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from pillarbox import trace
from pillarbox.tracing import NO_TRACER, NoTracer, ReceivedMessage, RequestHeaders, Span, Traced
from pillarbox_otel import conventions
from pillarbox_otel.conventions import Kind, Operation
from pillarbox_otel.spans import Recorder, Template, Work

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Guarded = Callable[Concatenate["OtelTracer", _P], _T]


def _or(fallback: Callable[Concatenate[NoTracer, _P], _T]) -> Callable[[_Guarded[_P, _T]], _Guarded[_P, _T]]:
    """Make a method raise nothing: if it fails, the work continues as it does while traces are off."""

    def guarded(method: _Guarded[_P, _T]) -> _Guarded[_P, _T]:
        @wraps(method)
        def call(self: "OtelTracer", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            try:
                return method(self, *args, **kwargs)
            except Exception as exc:  # noqa: BLE001  # whatever fails here must not fail an e-mail
                self.report(method.__name__, exc)
                return fallback(NO_TRACER, *args, **kwargs)

        return call

    return guarded


class OtelTracer:
    """Starts spans by the conventions and gives those that matter to a recorder. Its spans raise nothing either."""

    def __init__(self, recorder: Recorder, *, queue: str, bucket: str) -> None:
        self._recorder = recorder
        self._create, self._send, self._receive, self._process = (
            Template(operation.span_name(queue), operation.kind, operation.attributes(queue))
            for operation in (Operation.CREATE, Operation.SEND, Operation.RECEIVE, Operation.PROCESS)
        )
        self._put = Template(conventions.put_name(bucket), Kind.CLIENT, {conventions.BUCKET: bucket})
        self._requests: dict[tuple[str, str], Template] = {}  # there are few routes and methods
        self._reported: set[tuple[str, str]] = set()

    def report(self, operation: str, exc: Exception) -> None:
        """Log that an operation fails, once for each type of exception. The exception's text may have content."""
        failure = (operation, type(exc).__name__)
        if failure not in self._reported:
            self._reported.add(failure)
            extra = {"operation": operation, "cause": type(exc).__name__}
            log.warning("a span was lost by an error of tracing; further ones are not logged", extra=extra)

    @_or(NoTracer.request)
    def request(self, method: str, route: str, headers: RequestHeaders) -> Span:
        """Start the SERVER span of a request."""
        template = self._requests.get((method, route)) or self._new_request(method, route)
        parent = (headers.traceparent and trace.parse(headers.traceparent)) or ""
        work = self._entered(template, parent, trace.parse_state(headers.tracestate) if parent else "")
        if headers.amzn_trace_id:
            work.own[conventions.AMZN_TRACE_ID] = headers.amzn_trace_id
            work.links = _known([trace.from_amzn(headers.amzn_trace_id)])
        return work

    @_or(NoTracer.create)
    def create(self, request: Span, message_id: str) -> Span:
        """Start the PRODUCER span of an e-mail."""
        work = self._child(self._create, request)
        work.own[conventions.MESSAGE_ID] = message_id
        return work

    @_or(NoTracer.send)
    def send(self, emails: Sequence[Traced]) -> Span:
        """Start the CLIENT span of a call, a child of its first sampled e-mail and linked to all."""
        work = self._within(self._send, emails)
        work.own[conventions.BATCH_MESSAGE_COUNT] = len(emails)
        work.links = _known(email.span.traceparent for email in emails)
        return work

    @_or(NoTracer.received)
    def received(self, messages: Sequence[ReceivedMessage], seconds: float, error: str = "") -> None:
        """Record a receive, linked to its messages; it is sampled if one of them is."""
        if not (messages or error):
            return
        links = _known(trace.parse(message.attributes.get("traceparent", "")) for message in messages)
        if links:
            sampled = any(map(trace.is_sampled, links))
            work = Work(self._receive, self._root(sampled=sampled), "", "", sampled=sampled, end=self._ended)
        else:
            work = self._entered(self._receive, "", "")
        work.own[conventions.BATCH_MESSAGE_COUNT] = len(messages)
        work.links = links
        work.started_ns -= int(seconds * 1e9)
        work.fail(error)
        work.end()

    @_or(NoTracer.process)
    def process(self, message: ReceivedMessage, message_id: str) -> Span:
        """Start the CONSUMER span of a message, a child of the span that created it."""
        parent = trace.parse(message.attributes.get("traceparent", "")) or ""
        state = trace.parse_state(message.attributes.get("tracestate", "")) if parent else ""
        work = self._entered(self._process, parent, state)
        work.own[conventions.MESSAGE_ID] = message_id
        if message.trace_header:
            work.links = _known([trace.from_amzn(message.trace_header)])
        return work

    @_or(NoTracer.put)
    def put(self, emails: Sequence[Traced]) -> Span:
        """Start the CLIENT span of a write, a child of its first sampled e-mail and linked to all if it has several."""
        work = self._within(self._put, emails)
        if len(emails) > 1:
            work.links = _known(email.span.traceparent for email in emails)
        return work

    @_or(NoTracer.close)
    def close(self) -> None:
        """Export what is buffered."""
        self._recorder.close()

    def _new_request(self, method: str, route: str) -> Template:
        attributes = {conventions.METHOD: method, conventions.ROUTE: route}
        template = Template(conventions.request_name(method, route), Kind.SERVER, attributes)
        return self._requests.setdefault((method, route), template)

    def _within(self, template: Template, emails: Sequence[Traced]) -> Work:
        """Start a span within that of the first sampled e-mail, else of the first one that has any."""
        first: Span | None = None
        for email in emails:
            span = email.span
            if span.exemplar:
                return self._child(template, span)
            if first is None and span.traceparent:
                first = span
        return self._child(template, first) if first else self._entered(template, "", "")

    def _child(self, template: Template, parent: Span) -> Work:
        given = parent.traceparent
        traceparent = f"{given[:36]}{self._recorder.new_span_id()}{given[52:]}"
        return Work(template, traceparent, given, parent.tracestate, sampled=trace.is_sampled(given), end=self._ended)

    def _entered(self, template: Template, parent: str, tracestate: str) -> Work:
        """Start a span of work that comes from outside; here the sampler decides."""
        traceparent = f"{parent[:36]}{self._recorder.new_span_id()}-00" if parent else self._root(sampled=False)
        sampled = self._recorder.samples(template.name, traceparent, parent)
        if sampled:
            traceparent = f"{traceparent[:53]}01"
        return Work(template, traceparent, parent, tracestate, sampled=sampled, end=self._ended)

    def _root(self, *, sampled: bool) -> str:
        return f"00-{self._recorder.new_trace_id()}-{self._recorder.new_span_id()}-{'01' if sampled else '00'}"

    def _ended(self, work: Work) -> None:
        try:
            if not work.sampled and not self._is_kept(work):
                return
            if work.error:
                work.own[conventions.ERROR_TYPE] = work.error
            self._recorder.record(work, max(time.time_ns(), work.started_ns))
        except Exception as exc:  # noqa: BLE001  # as above
            self.report("end", exc)

    def _is_kept(self, work: Work) -> bool:
        """Return whether a span is exported though its trace is not sampled, and mark it."""
        if not self._recorder.keeps_failures:
            return False
        if work.error:
            work.own[conventions.KEPT] = "error"
            return True
        if work.template is self._put and time.time_ns() - work.started_ns >= conventions.SLOW_PUT_SECONDS * 1e9:
            work.own[conventions.KEPT] = "slow"
            return True
        return False


def _known(traceparents: Iterable[str | None]) -> list[str]:
    return [traceparent for traceparent in traceparents if traceparent]
