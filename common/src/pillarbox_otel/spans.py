"""A span as the services hold it until it ends: plain data, so that one that is never exported costs little."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pillarbox import trace
from pillarbox_otel import conventions
from pillarbox_otel.conventions import Kind

Attributes = Mapping[str, str | int]


class Template(NamedTuple):
    """What all spans of one operation have in common."""

    name: str
    kind: Kind
    attributes: Attributes


class Work:
    """One span; times are nanoseconds of the Unix epoch, `parent` and `links` are traceparents.

    `own` are the attributes beside those of the template.
    """

    __slots__ = (
        "_end",
        "error",
        "links",
        "own",
        "parent",
        "sampled",
        "started_ns",
        "template",
        "traceparent",
        "tracestate",
    )

    def __init__(
        self, template: Template, traceparent: str, parent: str, tracestate: str, *, sampled: bool, end: "Ended"
    ) -> None:
        self.template = template
        self.traceparent = traceparent
        self.parent = parent
        self.tracestate = tracestate
        self.sampled = sampled
        self._end: Ended | None = end
        self.own: dict[str, str | int] = {}
        self.links: Sequence[str] = ()
        self.error = ""
        self.started_ns = time.time_ns()

    @property
    def name(self) -> str:
        """Return the span's name."""
        return self.template.name

    @property
    def attributes(self) -> Attributes:
        """Return all attributes."""
        return {**self.template.attributes, **self.own}

    @property
    def exemplar(self) -> dict[str, str] | None:
        """Return the labels that lead from a metric to the trace; None unless the trace is sampled."""
        if not self.sampled:
            return None
        return {"trace_id": trace.trace_id(self.traceparent), "span_id": trace.span_id(self.traceparent)}

    def fail(self, error: str) -> None:
        """Record the first error."""
        self.error = self.error or error

    def end(self, *, status: int | None = None) -> None:
        """End the span once."""
        end, self._end = self._end, None
        if end:
            if status is not None:
                self.own[conventions.STATUS] = status
            end(self)


Ended = Callable[[Work], None]


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
