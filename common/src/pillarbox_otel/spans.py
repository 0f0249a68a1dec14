"""A span as the services hold it until it ends: plain data, so that one that is never exported costs little."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pillarbox import trace
from pillarbox_otel import conventions
from pillarbox_otel.conventions import Kind


class Work:
    """One span; times are nanoseconds of the Unix epoch, `parent` and `links` are traceparents."""

    __slots__ = (
        "_end",
        "attributes",
        "error",
        "exemplar",
        "kind",
        "links",
        "name",
        "parent",
        "started_ns",
        "traceparent",
        "tracestate",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        traceparent: str,
        tracestate: str,
        parent: str,
        attributes: dict[str, str | int],
        links: Sequence[str],
        end: Callable[["Work"], None],
    ) -> None:
        self.name = name
        self.kind = kind
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.parent = parent
        self.attributes = attributes
        self.links = links
        self.error = ""
        self.started_ns = time.time_ns()
        self.exemplar: dict[str, str] | None = None
        if trace.is_sampled(traceparent):
            self.exemplar = {"trace_id": trace.trace_id(traceparent), "span_id": trace.span_id(traceparent)}
        self._end: Callable[[Work], None] | None = end

    @property
    def sampled(self) -> bool:
        """Return whether its trace is sampled."""
        return self.exemplar is not None

    def fail(self, error: str) -> None:
        """Record the first error."""
        self.error = self.error or error

    def end(self, *, status: int | None = None) -> None:
        """End the span once."""
        end, self._end = self._end, None
        if end:
            if status is not None:
                self.attributes[conventions.STATUS] = status
            end(self)


class Recorder(Protocol):
    """Decides which traces are sampled, and takes the spans that have ended."""

    @property
    def keeps_failures(self) -> bool:
        """Return whether failed and slow spans are recorded even if their trace is not sampled."""
        ...

    def samples(self, name: str, traceparent: str, parent: str) -> bool:
        """Return whether a span without a local parent is sampled; `parent` is the traceparent sent with the work."""
        ...

    def new_trace_id(self) -> str:
        """Return 32 hex digits."""
        ...

    def new_span_id(self) -> str:
        """Return 16 hex digits."""
        ...

    def record(self, work: Work, ended_ns: int) -> None:
        """Take a span that has ended. Return at once, and raise nothing."""
        ...

    def close(self) -> None:
        """Export what was taken, for a few seconds at most."""
        ...
