"""Starts the spans of both services, and passes on those that end sampled, failed or slow."""

import time
from collections.abc import Iterable, Mapping, Sequence

from pillarbox import trace
from pillarbox.tracing import ReceivedMessage, RequestHeaders, Span, Traced
from pillarbox_otel import conventions
from pillarbox_otel.conventions import Kind, Operation
from pillarbox_otel.spans import Recorder, Work


class OtelTracer:
    """Starts spans by the conventions and gives those that matter to a recorder."""

    def __init__(self, recorder: Recorder, *, queue: str, bucket: str) -> None:
        self._recorder = recorder
        self._queue = queue
        self._put_name = conventions.put_name(bucket)
        self._put_attributes = {conventions.BUCKET: bucket}

    def request(self, method: str, route: str, headers: RequestHeaders) -> Span:
        """Start the SERVER span of a request."""
        attributes: dict[str, str | int] = {conventions.METHOD: method, conventions.ROUTE: route}
        if headers.amzn_trace_id:
            attributes[conventions.AMZN_TRACE_ID] = headers.amzn_trace_id
        parent = trace.parse(headers.traceparent) or ""
        return self._entered(
            conventions.request_name(method, route),
            Kind.SERVER,
            parent=parent,
            tracestate=trace.parse_state(headers.tracestate) if parent else "",
            attributes=attributes,
            links=_valid([trace.from_amzn(headers.amzn_trace_id)]),
        )

    def create(self, request: Span, message_id: str) -> Span:
        """Start the PRODUCER span of an e-mail."""
        return self._within([request], Operation.CREATE, {conventions.MESSAGE_ID: message_id})

    def send(self, emails: Sequence[Traced]) -> Span:
        """Start the CLIENT span of a call, a child of its first sampled e-mail and linked to all."""
        spans = [email.span for email in emails]
        links = _valid(span.traceparent for span in spans)
        return self._within(spans, Operation.SEND, {conventions.BATCH_MESSAGE_COUNT: len(spans)}, links)

    def received(self, messages: Sequence[ReceivedMessage], seconds: float, error: str = "") -> None:
        """Record a receive, linked to its messages; it is sampled if one of them is."""
        if not (messages or error):
            return
        operation = Operation.RECEIVE
        name, attributes = operation.span_name(self._queue), operation.attributes(self._queue)
        attributes[conventions.BATCH_MESSAGE_COUNT] = len(messages)
        links = _valid(trace.parse(message.attributes.get("traceparent", "")) for message in messages)
        if links:
            sampled = any(map(trace.is_sampled, links))
            work = self._work(name, operation.kind, self._root(sampled=sampled), attributes=attributes, links=links)
        else:
            work = self._entered(name, operation.kind, attributes=attributes)
        work.started_ns -= int(seconds * 1e9)
        work.fail(error)
        work.end()

    def process(self, message: ReceivedMessage, message_id: str) -> Span:
        """Start the CONSUMER span of a message, a child of the span that created it."""
        parent = trace.parse(message.attributes.get("traceparent", "")) or ""
        state = trace.parse_state(message.attributes.get("tracestate", "")) if parent else ""
        operation = Operation.PROCESS
        attributes = operation.attributes(self._queue) | {conventions.MESSAGE_ID: message_id}
        links = _valid([trace.from_amzn(message.trace_header)])
        return self._entered(
            operation.span_name(self._queue),
            operation.kind,
            parent=parent,
            tracestate=state,
            attributes=attributes,
            links=links,
        )

    def put(self, emails: Sequence[Traced]) -> Span:
        """Start the CLIENT span of a write, a child of its first sampled e-mail and linked to all if it has several."""
        spans = [email.span for email in emails]
        links = _valid(span.traceparent for span in spans) if len(spans) > 1 else ()
        parent = _first_sampled(spans)
        if parent is None:
            return self._entered(self._put_name, Kind.CLIENT, attributes=dict(self._put_attributes), links=links)
        return self._child(parent, self._put_name, Kind.CLIENT, dict(self._put_attributes), links)

    def close(self) -> None:
        """Export what is buffered."""
        self._recorder.close()

    def _within(
        self,
        parents: Sequence[Span],
        operation: Operation,
        attributes: Mapping[str, str | int],
        links: Sequence[str] = (),
    ) -> Span:
        """Start an operation within the first sampled parent, else within the first one."""
        name = operation.span_name(self._queue)
        own = operation.attributes(self._queue) | dict(attributes)
        parent = _first_sampled(parents)
        if parent is None:
            return self._entered(name, operation.kind, attributes=own, links=links)
        return self._child(parent, name, operation.kind, own, links)

    def _child(
        self, parent: Span, name: str, kind: Kind, attributes: dict[str, str | int], links: Sequence[str]
    ) -> Work:
        given = parent.traceparent
        traceparent = f"{given[:36]}{self._recorder.new_span_id()}{given[52:]}"
        return self._work(name, kind, traceparent, given, parent.tracestate, attributes=attributes, links=links)

    def _entered(
        self,
        name: str,
        kind: Kind,
        *,
        attributes: dict[str, str | int],
        parent: str = "",
        tracestate: str = "",
        links: Sequence[str] = (),
    ) -> Work:
        """Start a span of work that comes from outside; here the sampler decides."""
        traceparent = f"{parent[:36]}{self._recorder.new_span_id()}-00" if parent else self._root(sampled=False)
        if self._recorder.samples(name, traceparent, parent):
            traceparent = f"{traceparent[:53]}01"
        return self._work(name, kind, traceparent, parent, tracestate, attributes=attributes, links=links)

    def _root(self, *, sampled: bool) -> str:
        return f"00-{self._recorder.new_trace_id()}-{self._recorder.new_span_id()}-{'01' if sampled else '00'}"

    def _work(
        self,
        name: str,
        kind: Kind,
        traceparent: str,
        parent: str = "",
        tracestate: str = "",
        *,
        attributes: dict[str, str | int],
        links: Sequence[str],
    ) -> Work:
        return Work(
            name,
            kind,
            traceparent=traceparent,
            tracestate=tracestate,
            parent=parent,
            attributes=attributes,
            links=links,
            end=self._ended,
        )

    def _ended(self, work: Work) -> None:
        ended_ns = max(time.time_ns(), work.started_ns)
        if not work.sampled:
            kept = self._reason_to_keep(work, (ended_ns - work.started_ns) / 1e9)
            if not kept:
                return
            work.attributes[conventions.KEPT] = kept
        if work.error:
            work.attributes[conventions.ERROR_TYPE] = work.error
        self._recorder.record(work, ended_ns)

    def _reason_to_keep(self, work: Work, seconds: float) -> str:
        if not self._recorder.keeps_failures:
            return ""
        if work.error:
            return "error"
        return "slow" if work.name == self._put_name and seconds >= conventions.SLOW_PUT_SECONDS else ""


def _first_sampled(spans: Sequence[Span]) -> Span | None:
    known = [span for span in spans if span.traceparent]
    return next((span for span in known if span.exemplar), known[0] if known else None)


def _valid(traceparents: Iterable[str | None]) -> list[str]:
    return [traceparent for traceparent in traceparents if traceparent]
