"""What the API traces, and what travels with a message."""

import logging
from collections.abc import Sequence

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from common.testing.spans import Spans
from pillarbox import trace
from pillarbox.ids import time_of
from pillarbox.message import MAX_MESSAGE_BYTES, sqs_size_bytes
from pillarbox_otel import conventions
from service1_api.outgoing import Message, PublishError, QueueUnavailableError
from service1_api.payloads import ClaimCheck, PayloadPlace, StoreUnavailableError
from service1_api.publisher import Publisher

from .conftest import Service
from .fakes import FakePublisher, FakeQueue, new_metrics
from .test_messages import EMAIL, post

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-2] + "00"
AMZN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def published(service: Service) -> list[dict[str, str]]:
    return [dict(message.attributes) for message in service.publisher.published]


def test_an_email_is_traced_from_the_request_to_its_message() -> None:
    spans = Spans()
    service = Service(tracer=spans.tracer())
    response = post(service.client, traceparent=SAMPLED, tracestate="vendor=1")
    create, request = spans.ended
    assert (request.name, request.parent) == ("POST /api/message", SAMPLED)
    assert (create.name, create.parent) == ("create emails", request.traceparent)
    assert create.attributes["messaging.message.id"] == response.get_json()["message_id"]
    (attributes,) = published(service)
    assert (attributes["traceparent"], attributes["tracestate"]) == (create.traceparent, "vendor=1")


def test_each_email_of_a_batch_has_a_span_of_its_own() -> None:
    spans = Spans()
    service = Service(tracer=spans.tracer())
    response = post(service.client, "/api/messages", [EMAIL, {}, EMAIL])
    queued = [result["message_id"] for result in response.get_json()["results"] if result["status"] == "success"]
    created = spans.named("create emails")
    assert [work.attributes["messaging.message.id"] for work in created] == queued
    assert [attributes["traceparent"] for attributes in published(service)] == [work.traceparent for work in created]


def test_an_unsampled_request_passes_on_a_valid_context_without_the_flag() -> None:
    spans = Spans(share=False)
    service = Service(tracer=spans.tracer())
    post(service.client)
    (attributes,) = published(service)
    assert trace.parse(attributes["traceparent"]) == attributes["traceparent"]
    assert not trace.is_sampled(attributes["traceparent"])
    assert spans.ended == []


def test_the_context_of_the_client_travels_unchanged_while_nothing_is_traced(service: Service) -> None:
    post(service.client, traceparent=SAMPLED, tracestate="vendor=1")
    (attributes,) = published(service)
    assert (attributes["traceparent"], attributes["tracestate"]) == (SAMPLED, "vendor=1")


def test_the_tracestate_stays_behind_where_the_message_has_no_room_for_it(service: Service) -> None:
    post(service.client, traceparent=SAMPLED, tracestate="a=1")
    (message,) = service.publisher.published
    # The e-mail grows until its message is of the largest size with the tracestate, then by one byte more.
    room = MAX_MESSAGE_BYTES - message.size_bytes
    for more in (0, 1):
        email = EMAIL | {"email_content": str(EMAIL["email_content"]) + "x" * (room + more)}
        assert post(service.client, data=email, traceparent=SAMPLED, tracestate="a=1").status_code == 200
    _, fits, without = service.publisher.published
    assert fits.attributes["tracestate"] == "a=1"
    assert fits.size_bytes == MAX_MESSAGE_BYTES
    assert "tracestate" not in without.attributes
    assert without.attributes["traceparent"] == SAMPLED
    assert without.size_bytes == sqs_size_bytes(without.body, without.attributes) < MAX_MESSAGE_BYTES


@pytest.mark.parametrize("tracestate", ["", "no tracestate", "a=" + "x" * 600])
def test_an_invalid_tracestate_is_dropped(service: Service, tracestate: str) -> None:
    post(service.client, traceparent=SAMPLED, tracestate=tracestate)
    (attributes,) = published(service)
    assert "tracestate" not in attributes


@pytest.mark.parametrize(("hops", "links"), [(1, ["00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"]), (0, [])])
def test_the_load_balancer_s_trace_is_a_link_only_if_there_is_a_load_balancer(hops: int, links: list[str]) -> None:
    spans = Spans()
    service = Service(tracer=spans.tracer(), trusted_proxy_hops=hops)
    post(service.client, **{"X-Amzn-Trace-Id": AMZN})
    request = spans.the("POST /api/message")
    assert list(request.links) == links
    assert (conventions.AMZN_TRACE_ID in request.attributes) is bool(hops)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/unknown"])
def test_neither_probes_nor_unknown_paths_are_traced(path: str) -> None:
    spans = Spans()
    Service(tracer=spans.tracer()).client.get(path)
    assert spans.ended == []


def test_a_refusal_is_no_error_of_the_service_and_an_outage_is() -> None:
    spans = Spans(share=False)
    service = Service(tracer=spans.tracer())
    assert post(service.client, data={}).status_code == 400
    assert spans.ended == []
    service.publisher.fail = lambda _message: QueueUnavailableError("HTTP 503")
    assert post(service.client).status_code == 503
    create, request = spans.ended
    assert (create.error, request.error) == ("HTTP 503", "queue_unavailable")
    assert (request.attributes["http.response.status_code"], request.attributes[conventions.KEPT]) == (503, "error")


@pytest.mark.parametrize("sampled", [True, False])
def test_the_time_of_a_sampled_request_leads_to_its_trace(sampled: bool) -> None:
    service = Service(tracer=Spans().tracer())
    post(service.client, traceparent=SAMPLED if sampled else UNSAMPLED)
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = service.client.get("/metrics", headers=accept)
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]
    samples = families["pillarbox_api_request_seconds"].samples
    found = [sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar]
    assert found == [trace.trace_id(SAMPLED)] * sampled
    assert "trace_id" not in service.client.get("/metrics").text


def test_the_answer_s_trace_is_that_of_the_span() -> None:
    spans = Spans()
    service = Service(tracer=spans.tracer())
    answer = post(service.client, data={})
    assert answer.get_json()["trace_id"] == trace.trace_id(spans.the("POST /api/message").traceparent)


def new_publisher(spans: Spans, queue: FakeQueue) -> Publisher:
    return Publisher(
        queue, new_metrics(), deadline_seconds=10, attempt_seconds=1, max_waiting=100, tracer=spans.tracer()
    )


def traced_messages(spans: Spans, count: int) -> list[Message]:
    service = Service(tracer=spans.tracer())
    post(service.client, "/api/messages", [EMAIL] * count)
    spans.ended.clear()
    return list(service.publisher.published)


def test_a_group_commit_is_one_span_linked_to_its_emails() -> None:
    spans = Spans()
    messages = traced_messages(spans, 3)
    assert new_publisher(spans, FakeQueue()).publish(messages) == [None] * 3
    send = spans.the("send emails")
    assert send.links == [message.attributes["traceparent"] for message in messages]
    assert (send.parent, send.error) == (send.links[0], "")


@pytest.mark.parametrize("whole", [True, False])
def test_a_group_commit_that_fails_says_why(whole: bool) -> None:
    spans, queue = Spans(share=False), FakeQueue()
    if whole:
        queue.whole_call = lambda _messages: QueueUnavailableError("HTTP 503")
    else:
        queue.result = lambda _message, _count: QueueUnavailableError("HTTP 503")
    new_publisher(spans, queue).publish(traced_messages(spans, 1))
    assert {work.error for work in spans.named("send emails")} == {"HTTP 503"}


class BrokenQueue:
    def send(self, messages: Sequence[Message], deadline: float) -> Sequence[PublishError | None]:
        raise RuntimeError("a bug")


def test_a_group_commit_that_breaks_ends_its_span() -> None:
    spans = Spans(share=False)
    (message,) = traced_messages(spans, 1)
    publisher = Publisher(
        BrokenQueue(), new_metrics(), deadline_seconds=10, attempt_seconds=1, max_waiting=100, tracer=spans.tracer()
    )
    with pytest.raises(RuntimeError, match="a bug"):
        publisher.publish([message])
    assert spans.the("send emails").error == "internal_error"


class FullStore:
    def put(self, key: str, body: bytes, deadline: float) -> bool:
        raise StoreUnavailableError("store_timeout")


def test_a_payload_that_is_not_stored_is_traced_and_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    spans = Spans(share=False)
    check = ClaimCheck(
        FakePublisher(),
        FullStore(),
        PayloadPlace("payloads", "payloads/"),
        new_metrics(),
        deadline_seconds=10,
        send_seconds=1,
        max_requests=1,
        tracer=spans.tracer(),
    )
    attributes = {"message_id": "0197e7c0-0000-7000-8000-000000000000", "traceparent": SAMPLED}
    check.publish([Message("", attributes, MAX_MESSAGE_BYTES + 1, b"{}")])
    assert spans.the("put archive").error == "store_timeout"
    (line,) = caplog.records
    assert line.trace_id == trace.trace_id(SAMPLED)  # type: ignore[attr-defined]


def test_an_unexpected_failure_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()

    def broken(_message: Message) -> PublishError | None:
        raise RuntimeError("a bug")

    service.publisher.fail = broken
    answer = post(service.client, traceparent=SAMPLED)
    (line,) = (line for line in caplog.records if line.levelno == logging.ERROR)
    assert answer.status_code == 500
    assert line.trace_id == trace.trace_id(SAMPLED)  # type: ignore[attr-defined]
    assert time_of(line.message_id)  # type: ignore[attr-defined]
