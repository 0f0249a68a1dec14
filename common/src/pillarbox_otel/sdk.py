"""OpenTelemetry's SDK: sampler, batches, export over HTTP. The only module that imports opentelemetry.

The SDK's spans are made when the work has ended, with the ids that were passed on: a span costs tens of microseconds,
and most are never exported.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from pillarbox import trace
from pillarbox_otel import conventions
from pillarbox_otel.spans import Work
from pillarbox_otel.variables import LINK_LIMIT, Sampling

CLOSE_SECONDS = 3.0
MAX_LINKS = 1000  # the SDK's default is 128; an object of a batch has BATCH_MAX_MESSAGES e-mails

log = logging.getLogger(__name__)

_ROOT = Context()  # the samplers in use look at nothing in it
_KINDS = {kind: SpanKind[kind.value] for kind in conventions.Kind}

_SAMPLERS = {
    "always_on": lambda _ratio: sampling.ALWAYS_ON,
    "always_off": lambda _ratio: sampling.ALWAYS_OFF,
    "traceidratio": sampling.TraceIdRatioBased,
}


class OutageExporter(SpanExporter):
    """Sends spans through another exporter, and logs the begin and the end of an outage instead of each failure."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Return whether the spans were taken. They are lost otherwise. Raise nothing."""
        try:
            result = self._inner.export(spans)
        except Exception:  # noqa: BLE001  # top of the exporter's thread
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces are not exported; spans are lost until the exporter's endpoint answers")
            self._lost += len(spans)
        elif self._lost:
            log.info("traces are exported again", extra={"lost_spans": self._lost})
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Stop the other exporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is buffered here."""
        return self._inner.force_flush(timeout_millis)


class _GivenIds(IdGenerator):
    """Gives the SDK the ids of the span that the current thread is recording."""

    def __init__(self) -> None:
        self._current = threading.local()

    def take(self, traceparent: str) -> None:
        """Use the ids of a traceparent next."""
        self._current.traceparent = traceparent

    def generate_trace_id(self) -> int:
        """Return the trace id."""
        return int(trace.trace_id(self._current.traceparent), 16)

    def generate_span_id(self) -> int:
        """Return the span id."""
        return int(trace.span_id(self._current.traceparent), 16)


class SdkRecorder:
    """Records spans with the SDK. Its threads start with it, so make it after the fork.

    A span keeps the last `max_links` links; with None OTEL_SPAN_LINK_COUNT_LIMIT says how many.
    """

    def __init__(
        self, exporter: SpanExporter, chosen: Sampling, resource: Resource, *, max_links: int | None = MAX_LINKS
    ) -> None:
        self.keeps_failures = chosen.base != "always_off"
        self._sampler = _SAMPLERS[chosen.base](chosen.ratio)
        self._parent_based = chosen.parent_based
        self._random = RandomIdGenerator()
        self._ids = _GivenIds()
        self._processor = BatchSpanProcessor(OutageExporter(exporter))
        provider = TracerProvider(
            sampler=sampling.ALWAYS_ON,  # what reaches it is to be exported
            resource=resource,
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=max_links),
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer(conventions.SCOPE)

    def samples(self, name: str, traceparent: str, parent: str) -> bool:
        """Follow the parent if the sampler is parent-based and there is one, else ask the sampler."""
        if parent and self._parent_based:
            return trace.is_sampled(parent)
        result = self._sampler.should_sample(_ROOT, int(trace.trace_id(traceparent), 16), name)
        return result.decision is sampling.Decision.RECORD_AND_SAMPLE

    def new_trace_id(self) -> str:
        """Return a random trace id."""
        return f"{self._random.generate_trace_id():032x}"

    def new_span_id(self) -> str:
        """Return a random span id."""
        return f"{self._random.generate_span_id():016x}"

    def record(self, work: Work, ended_ns: int) -> None:
        """Put a span into the batch; if the buffer is full, the oldest span is lost."""
        self._ids.take(work.traceparent)
        span = self._tracer.start_span(
            work.name,
            context=_parent(work) if work.parent else _ROOT,
            kind=_KINDS[work.template.kind],
            attributes=work.attributes,
            links=[Link(_context(traceparent)) for traceparent in work.links],
            start_time=work.started_ns,
        )
        if work.error:
            span.set_status(StatusCode.ERROR)
        span.end(ended_ns)

    def close(self) -> None:
        """Export what is buffered, and return after CLOSE_SECONDS at most."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def open_recorder(service: str, version: str, chosen: Sampling, environ: Mapping[str, str]) -> SdkRecorder:
    """Return a recorder that exports as the standard OTEL_* variables say."""
    # The SDK logs each failed export, with the endpoint's answer; OutageExporter logs an outage once.
    quiet = logging.WARNING if log.isEnabledFor(logging.DEBUG) else logging.CRITICAL
    logging.getLogger("opentelemetry").setLevel(quiet)
    attributes = {"service.version": version}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = service
    max_links = None if LINK_LIMIT in environ else MAX_LINKS
    return SdkRecorder(OTLPSpanExporter(), chosen, Resource.create(attributes), max_links=max_links)


def _parent(work: Work) -> Context:
    came_from_outside = work.template.kind in (conventions.Kind.SERVER, conventions.Kind.CONSUMER)
    context = _context(work.parent, work.tracestate, is_remote=came_from_outside)
    return set_span_in_context(NonRecordingSpan(context), Context())


def _context(traceparent: str, tracestate: str = "", *, is_remote: bool = True) -> SpanContext:
    return SpanContext(
        int(trace.trace_id(traceparent), 16),
        int(trace.span_id(traceparent), 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(trace.is_sampled(traceparent)),
        trace_state=TraceState.from_header([tracestate]) if tracestate else None,
    )
