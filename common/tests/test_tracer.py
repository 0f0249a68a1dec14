"""Which spans begin where, how they hang together, and which of them are exported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.testing.spans import BUCKET, QUEUE, Spans
from pillarbox import trace
from pillarbox.tracing import UNTRACED, RequestHeaders, Span, Tracer
from pillarbox_otel import conventions
from pillarbox_otel.tracer import OtelTracer

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-5bf92f3577b34da6a3ce929d0e0e4736-10f067aa0ba902b7-00"
AMZN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
POST = ("POST", "/api/message")


@dataclass
class Email:
    span: Span


@dataclass
class Received:
    attributes: Mapping[str, str] = field(default_factory=dict)
    trace_header: str = ""


def linked(traceparent: str) -> Received:
    return Received({"traceparent": traceparent})


def test_a_request_continues_the_trace_of_its_client() -> None:
    spans = Spans()
    span = spans.tracer().request(*POST, RequestHeaders(SAMPLED, "vendor=1"))
    assert span.traceparent != SAMPLED
    assert trace.trace_id(span.traceparent) == trace.trace_id(SAMPLED)
    assert trace.is_sampled(span.traceparent)
    span.end(status=200)
    work = spans.the("POST /api/message")
    assert (work.parent, work.tracestate, work.template.kind.value) == (SAMPLED, "vendor=1", "SERVER")
    assert work.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/message",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize("headers", [RequestHeaders(), RequestHeaders("no traceparent", "vendor=1")])
def test_an_unsampled_request_passes_on_a_valid_context_without_the_flag(headers: RequestHeaders) -> None:
    spans = Spans(share=False)
    request = spans.tracer().request(*POST, headers)
    email = spans.tracer().create(request, "an id")
    for span in (request, email):
        assert trace.parse(span.traceparent) == span.traceparent
        assert span.traceparent.endswith("-00")
        assert span.tracestate == ""
        span.end()
    assert trace.trace_id(request.traceparent) == trace.trace_id(email.traceparent)
    assert spans.ended == []


def test_a_trace_header_of_the_load_balancer_is_a_link_if_it_names_a_span() -> None:
    spans = Spans()
    for header in (AMZN, "Root=1-5759e988-bd862e3fe1be46a994272793"):
        spans.tracer().request(*POST, RequestHeaders(amzn_trace_id=header)).end()
    with_parent, root_only = spans.named("POST /api/message")
    assert with_parent.links == ["00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"]
    assert root_only.links == []
    assert root_only.attributes[conventions.AMZN_TRACE_ID] == "Root=1-5759e988-bd862e3fe1be46a994272793"


def test_each_email_of_a_request_has_a_producer_span() -> None:
    spans = Spans()
    request = spans.tracer().request(*POST, RequestHeaders())
    spans.tracer().create(request, "an id").end()
    work = spans.the("create emails")
    assert (work.parent, work.template.kind.value) == (request.traceparent, "PRODUCER")
    assert work.attributes == {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": QUEUE,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.message.id": "an id",
    }


def test_a_group_commit_is_a_child_of_its_first_sampled_email_and_linked_to_all() -> None:
    spans = Spans()
    tracer = spans.tracer()
    emails = [
        Email(tracer.create(tracer.request(*POST, RequestHeaders(given)), "id")) for given in (UNSAMPLED, SAMPLED)
    ]
    tracer.send([*emails, Email(UNTRACED)]).end()
    work = spans.the("send emails")
    assert work.parent == emails[1].span.traceparent
    assert work.links == [email.span.traceparent for email in emails]
    assert (work.template.kind.value, work.attributes["messaging.batch.message_count"]) == ("CLIENT", 3)


def test_a_group_commit_of_unsampled_emails_is_not_sampled() -> None:
    spans = Spans(share=True)
    tracer = spans.tracer()
    email = Email(tracer.create(tracer.request(*POST, RequestHeaders(UNSAMPLED)), "id"))
    tracer.send([email]).end()
    assert spans.ended == []


@pytest.mark.parametrize(("given", "exported"), [([UNSAMPLED, SAMPLED], 1), ([UNSAMPLED], 0), ([], 0)])
def test_a_receive_is_sampled_if_one_of_its_messages_is(given: list[str], exported: int) -> None:
    spans = Spans(share=True)
    spans.tracer().received([linked(traceparent) for traceparent in given], 2.0)
    found = spans.named("receive emails")
    assert len(found) == exported
    for work in found:
        assert (work.links, work.parent) == (given, "")
        assert work.attributes["messaging.batch.message_count"] == 2


@pytest.mark.parametrize("share", [False, True])
def test_the_sampler_decides_on_a_receive_of_messages_without_a_trace(share: bool) -> None:
    spans = Spans(share=share)
    spans.tracer().received([Received()], 0.0)
    assert len(spans.ended) == share


def test_a_failed_receive_is_exported_with_its_duration() -> None:
    spans = Spans(share=False)
    spans.tracer().received([], 2.0, "HTTP 503")
    work = spans.the("receive emails")
    assert work.error == work.attributes["error.type"] == "HTTP 503"
    assert work.attributes[conventions.KEPT] == "error"


def test_processing_is_a_child_of_the_span_that_created_the_message() -> None:
    spans = Spans(share=False)
    spans.tracer().process(Received({"traceparent": SAMPLED, "tracestate": "vendor=1"}, AMZN), "an id").end()
    work = spans.the("process emails")
    assert (work.parent, work.tracestate, work.template.kind.value) == (SAMPLED, "vendor=1", "CONSUMER")
    assert work.links == ["00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"]
    assert work.attributes["messaging.message.id"] == "an id"


@pytest.mark.parametrize("traceparent", ["", "no traceparent", UNSAMPLED])
def test_processing_of_a_message_without_a_sampled_trace_is_not_exported(traceparent: str) -> None:
    spans = Spans(share=False)
    span = spans.tracer().process(Received({"traceparent": traceparent, "tracestate": "vendor=1"}), "an id")
    assert trace.parse(span.traceparent)
    span.end()
    assert spans.ended == []


def test_a_write_is_a_child_of_its_email_and_linked_only_if_it_holds_several() -> None:
    spans = Spans(share=False)
    tracer = spans.tracer()
    first, second = (Email(tracer.process(linked(given), "id")) for given in (UNSAMPLED, SAMPLED))
    tracer.put([second]).end()
    tracer.put([first, second]).end()
    alone, together = spans.named(f"put {BUCKET}")
    assert alone.parent == together.parent == second.span.traceparent
    assert (alone.links, together.links) == ((), [first.span.traceparent, second.span.traceparent])
    assert (alone.template.kind.value, alone.attributes) == ("CLIENT", {"aws.s3.bucket": BUCKET})


def test_a_write_of_untraced_emails_begins_a_trace() -> None:
    spans = Spans()
    spans.tracer().put([Email(UNTRACED)]).end()
    assert spans.the("put archive").parent == ""


@pytest.mark.parametrize(("keeps", "exported"), [(True, 1), (False, 0)])
def test_a_failure_is_exported_though_its_trace_is_not_sampled_unless_the_sampler_is_off(
    keeps: bool, exported: int
) -> None:
    spans = Spans(share=False, keeps_failures=keeps)
    span = spans.tracer().put([Email(UNTRACED)])
    span.fail("timeout")
    span.end()
    assert [work.attributes["error.type"] for work in spans.ended] == ["timeout"] * exported


@pytest.mark.parametrize(("seconds", "kept"), [(2.0, ["slow"]), (0.5, [])])
def test_a_slow_write_is_exported_though_its_trace_is_not_sampled(seconds: float, kept: list[str]) -> None:
    spans = Spans(share=False)
    tracer = spans.tracer()
    for span in (tracer.put([Email(UNTRACED)]), tracer.process(Received(), "id")):
        span.started_ns -= int(seconds * 1e9)  # type: ignore[attr-defined]  # as if it had begun before
        span.end()
    assert [work.attributes[conventions.KEPT] for work in spans.ended] == kept


def test_a_sampled_failure_is_exported_once_and_not_marked_as_kept() -> None:
    spans = Spans()
    span = spans.tracer().put([Email(UNTRACED)])
    span.fail("timeout")
    span.end()
    (work,) = spans.ended
    assert conventions.KEPT not in work.attributes


def test_closing_the_tracer_closes_its_recorder() -> None:
    spans = Spans()
    spans.tracer().close()
    assert spans.closed


class Failing:
    """A recorder that fails at everything, with a text that must not be logged."""

    keeps_failures = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_args: object) -> None:
            raise RuntimeError("jane@example.com")

        return fail


def test_an_error_of_tracing_fails_no_work_and_is_logged_once_for_each_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer: Tracer = OtelTracer(Failing(), queue=QUEUE, bucket=BUCKET)
    for _ in range(3):
        request = tracer.request(*POST, RequestHeaders(SAMPLED, "vendor=1"))
        assert (request.traceparent, request.tracestate) == (SAMPLED, "vendor=1")
        for span in (
            tracer.create(request, "an id"),
            tracer.send([]),
            tracer.process(Received(), "an id"),
            tracer.put([]),
            request,
        ):
            span.end()
        tracer.received([Received()], 1.0)
        tracer.close()
    operations = [line.operation for line in caplog.records]  # type: ignore[attr-defined]
    assert operations == ["request", "create", "send", "process", "put", "received", "close"]
    assert {line.cause for line in caplog.records} == {"RuntimeError"}  # type: ignore[attr-defined]
    assert "jane" not in caplog.text


def test_a_span_that_cannot_be_recorded_ends_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = Spans()

    def fail(*_args: object) -> None:
        raise RuntimeError("jane@example.com")

    monkeypatch.setattr(spans, "record", fail)
    tracer = spans.tracer()
    for _ in range(3):
        tracer.put([]).end()
    assert [line.operation for line in caplog.records] == ["end"]  # type: ignore[attr-defined]
