"""A recorder that keeps the spans in memory, for tests of what is traced without OpenTelemetry's SDK."""

import itertools
import threading

from pillarbox import trace
from pillarbox_otel.spans import Work
from pillarbox_otel.tracer import OtelTracer

QUEUE, BUCKET = "emails", "archive"


class Spans:
    """Keeps the spans that were recorded. `share` is what the sampler says of traces that begin here."""

    def __init__(self, *, share: bool = True, keeps_failures: bool = True) -> None:
        self.ended: list[Work] = []
        self.keeps_failures = keeps_failures
        self.closed = False
        self._share = share
        self._numbers = itertools.count(1)
        self._changed = threading.Lock()

    def samples(self, name: str, traceparent: str, parent: str) -> bool:  # noqa: ARG002  # the parent or the share decides
        """Follow the parent, as parent-based samplers do."""
        return trace.is_sampled(parent) if parent else self._share

    def new_trace_id(self) -> str:
        """Return the next number."""
        return f"{next(self._numbers):032x}"

    def new_span_id(self) -> str:
        """Return the next number."""
        return f"{next(self._numbers):016x}"

    def record(self, work: Work, ended_ns: int) -> None:
        """Keep a span."""
        assert ended_ns >= work.started_ns
        with self._changed:
            self.ended.append(work)

    def close(self) -> None:
        """Remember that nothing more comes."""
        self.closed = True

    def tracer(self) -> OtelTracer:
        """Return a tracer that records here."""
        return OtelTracer(self, queue=QUEUE, bucket=BUCKET)

    def named(self, name: str) -> list[Work]:
        """Return the spans of a name, in the order in which they ended."""
        return [work for work in self.ended if work.name == name]

    def the(self, name: str) -> Work:
        """Return the one span of a name."""
        (work,) = self.named(name)
        return work
