"""What a lane traces: receives, messages and writes, and how each of them ends."""

import logging

import pytest

from common.testing.spans import Spans
from pillarbox import trace
from pillarbox.message import Envelope, encode_body
from service2_consumer.batching import HourlyBatcher
from service2_consumer.ports import StoreError

from .fakes import LaneHarness, email, message_id

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-5bf92f3577b34da6a3ce929d0e0e4736-10f067aa0ba902b7-00"


def send(harness: LaneHarness, number: int, traceparent: str | None = SAMPLED, body: str | None = None) -> None:
    envelope = Envelope(message_id(number), traceparent=traceparent)
    harness.queue.send(encode_body(email()) if body is None else body, envelope.to_attributes())


def traced(spans: Spans, **options: object) -> LaneHarness:
    return LaneHarness(tracer=spans.tracer(), **options).checked()  # type: ignore[arg-type]


def test_an_email_is_traced_from_its_receive_to_its_object() -> None:
    spans = Spans(share=False)
    harness = traced(spans)
    send(harness, 1)
    harness.lane.run_once()
    receive, process, put = (spans.the(name) for name in ("receive emails", "process emails", "put archive"))
    assert receive.links == [SAMPLED]
    assert (process.parent, process.attributes["messaging.message.id"]) == (SAMPLED, message_id(1))
    assert put.parent == process.traceparent
    assert [work.error for work in spans.ended] == ["", "", ""]
    assert spans.ended[-1] is process  # it ends when the message is deleted


def test_an_empty_receive_is_not_traced() -> None:
    spans = Spans()
    traced(spans).lane.run_once()
    assert spans.ended == []


def test_a_receive_that_fails_is_traced() -> None:
    spans = Spans(share=False)
    harness = traced(spans)
    harness.queue.failing = "HTTP 503"
    harness.lane.run_once()
    assert spans.the("receive emails").error == "HTTP 503"


def test_poison_ends_with_its_reason() -> None:
    spans = Spans(share=False)
    harness = traced(spans)
    send(harness, 1, UNSAMPLED, "no JSON")
    harness.lane.run_once()
    assert spans.the("process emails").error == "invalid_json"


def test_a_message_that_is_released_ends_so() -> None:
    spans = Spans(share=False)
    harness = traced(spans)
    send(harness, 1, UNSAMPLED)
    harness.archive.failing = StoreError("timeout")
    harness.archive.when_put = harness.stop
    harness.lane.run()
    assert spans.the("process emails").error == "released"
    assert {work.error for work in spans.named("put archive")} == {"timeout"}


def test_a_batch_is_one_write_linked_to_its_emails() -> None:
    spans = Spans(share=False)
    batcher = HourlyBatcher("messages/", max_messages=2, max_bytes=10_000, max_seconds=30)
    harness = traced(spans, batcher=batcher)
    send(harness, 1, UNSAMPLED)
    send(harness, 2, SAMPLED)
    harness.lane.run_once()
    put = spans.the("put archive")
    assert [trace.trace_id(link) for link in put.links] == [trace.trace_id(UNSAMPLED), trace.trace_id(SAMPLED)]
    assert put.parent == spans.the("process emails").traceparent


@pytest.mark.parametrize("share", [False, True])
def test_the_age_of_a_sampled_email_leads_to_its_trace(share: bool) -> None:
    spans = Spans()
    harness = traced(spans)
    send(harness, 1, SAMPLED if share else UNSAMPLED)
    harness.lane.run_once()
    samples = [sample for metric in harness.metrics.age_seconds.collect() for sample in metric.samples]
    found = [sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar]
    assert found == [trace.trace_id(SAMPLED)] * share


@pytest.mark.parametrize(("traceparent", "known"), [(SAMPLED, trace.trace_id(SAMPLED)), (None, "")])
def test_the_log_names_the_trace_of_an_email_while_nothing_is_traced(
    caplog: pytest.LogCaptureFixture, traceparent: str | None, known: str
) -> None:
    caplog.set_level(logging.INFO)
    harness = LaneHarness().checked()
    send(harness, 1, traceparent)
    send(harness, 2, traceparent, "no JSON")
    harness.lane.run_once()
    poison, stored = (line for line in caplog.records if line.name == "service2_consumer.telemetry")
    assert stored.trace_ids == [known]  # type: ignore[attr-defined]
    assert poison.trace_id == known  # type: ignore[attr-defined]


def test_the_log_names_the_trace_that_begins_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spans = Spans()
    harness = traced(spans)
    harness.queue.send(encode_body(email()), {})
    harness.lane.run_once()
    (stored,) = (line for line in caplog.records if line.message == "stored")
    assert stored.trace_ids == [trace.trace_id(spans.the("process emails").traceparent)]  # type: ignore[attr-defined]


def test_a_message_that_is_not_deleted_ends_so(caplog: pytest.LogCaptureFixture) -> None:
    spans = Spans(share=False)
    harness = traced(spans)
    send(harness, 1)
    harness.queue.failing_deletes = True
    harness.lane.run_once()
    assert spans.the("process emails").error == "delete_failed"
    (line,) = (line for line in caplog.records if line.message.startswith("delete failed"))
    assert line.trace_ids == [trace.trace_id(SAMPLED)]  # type: ignore[attr-defined]
