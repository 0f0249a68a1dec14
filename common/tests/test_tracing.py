"""What stands in for a tracer while traces are off."""

from dataclasses import dataclass, field

import pytest

from pillarbox import trace
from pillarbox.tracing import UNTRACED, NoTracer, RequestHeaders, Untraced

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_context_that_a_client_sends_is_passed_on_unchanged() -> None:
    span = NoTracer().request("POST", "/api/message", RequestHeaders(GIVEN, "vendor=1"))
    assert (span.traceparent, span.tracestate) == (GIVEN, "vendor=1")
    assert NoTracer().create(span, "an id") is span


@pytest.mark.parametrize("given", ["", "no traceparent"])
def test_a_request_without_a_context_gets_one_that_is_not_sampled(given: str) -> None:
    span = NoTracer().request("POST", "/api/message", RequestHeaders(given, "vendor=1"))
    assert trace.parse(span.traceparent) == span.traceparent
    assert not trace.is_sampled(span.traceparent)
    assert span.tracestate == ""


@dataclass
class Received:
    attributes: dict[str, str] = field(default_factory=dict)
    trace_header: str = ""


def test_nothing_is_recorded_and_no_metric_gets_an_exemplar() -> None:
    tracer = NoTracer()
    spans = [tracer.send([]), tracer.put([]), tracer.process(Received(), "an id"), Untraced(GIVEN)]
    for span in spans:
        span.fail("an error")
        span.end(status=200)
        assert span.exemplar is None
    assert spans[:3] == [UNTRACED] * 3
    tracer.received([], 1.0)
    tracer.close()
