"""One e-mail is one trace, from the HTTP request to the PUT, through real processes that export it."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from common.testing.otlp import Exported, Receiver, receiving
from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.conftest import EMAIL, Pipeline
from local_stack.processes import Process
from local_stack.programs import REPOSITORY, Programs

CLIENT_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT_SPAN = "00f067aa0ba902b7"


@dataclass(frozen=True, slots=True)
class Traced:
    """The pipeline with services that export their traces, in the environment that has OpenTelemetry."""

    pipeline: Pipeline
    receiver: Receiver
    api: Process
    consumer: Process
    api_url: str
    queue_url: str

    def post(self, traceparent: str) -> str:
        """Send an e-mail and return its id."""
        request = urllib.request.Request(
            f"{self.api_url}/api/message",
            data=json.dumps({"data": EMAIL, "token": self.pipeline.token}).encode(),
            headers={"Content-Type": "application/json", "traceparent": traceparent, "tracestate": "vendor=1"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return str(json.load(response)["message_id"])

    def stop(self) -> None:
        """Let both services export what they have buffered."""
        assert [process.stop(20) for process in (self.api, self.consumer)] == [0, 0]


@pytest.fixture
def traced(pipeline: Pipeline) -> Iterator[Traced]:
    """Two more processes, with a queue of their own: the consumer of the pipeline must not receive their messages."""
    stack = pipeline.stack
    programs = Programs(replace(stack.options, service_programs=REPOSITORY / ".venvs/dev/bin"))
    api_port, consumer_port = free_port(), free_port()
    queue_url = pipeline.sqs.create_queue(QueueName="traced")["QueueUrl"]
    resources = stack.environment | {"SQS_QUEUE_URL": queue_url}
    with receiving() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        api = programs.api("api-traced", api_port, resources, settings)
        consumer = programs.consumer("consumer-traced", consumer_port, resources, settings)
        try:
            for process in (api, consumer):
                process.start()
            for process in (api, consumer):
                process.wait_ready(60)
            yield Traced(pipeline, receiver, api, consumer, f"http://127.0.0.1:{api_port}", queue_url)
        finally:
            for process in (api, consumer):
                process.stop(20)
            pipeline.sqs.delete_queue(QueueUrl=queue_url)


def test_one_email_is_one_connected_trace_from_the_request_to_the_put(traced: Traced) -> None:
    message_id = traced.post(f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01")
    unsampled = traced.post(f"00-5{CLIENT_TRACE[1:]}-{CLIENT_SPAN}-00")
    keys = [traced.pipeline.wait_stored(name) for name in (message_id, unsampled)]
    eventually(lambda: traced.pipeline.queue_counts(traced.queue_url) == (0, 0), "both messages are deleted")
    traced.stop()

    queue = traced.queue_url.rpartition("/")[2]
    bucket = traced.pipeline.bucket
    spans: dict[str, Exported] = {}
    for name in ("POST /api/message", f"create {queue}", f"send {queue}", f"process {queue}", f"put {bucket}"):
        (spans[name],) = traced.receiver.named(name)
    request, create, send, process, put = spans.values()
    assert {span.trace_id for span in spans.values()} == {CLIENT_TRACE}
    assert {span.tracestate for span in spans.values()} == {"vendor=1"}
    assert request.parent_id == CLIENT_SPAN
    assert create.parent_id == request.span_id
    assert send.parent_id == process.parent_id == create.span_id
    assert put.parent_id == process.span_id
    assert [span.kind for span in spans.values()] == ["SERVER", "PRODUCER", "CLIENT", "CONSUMER", "CLIENT"]
    assert create.attributes["messaging.message.id"] == process.attributes["messaging.message.id"] == message_id
    (receive,) = traced.receiver.named(f"receive {queue}")
    assert (create.trace_id, create.span_id) in send.links
    assert (create.trace_id, create.span_id) in receive.links
    assert not any(span.failed for span in traced.receiver.spans)

    sent = b"".join(traced.receiver.raw)
    assert not any(str(text).encode() in sent for name, text in EMAIL.items() if name != "email_timestream")
    record = traced.pipeline.record(keys[0])
    assert record["metadata"]["trace_id"] == CLIENT_TRACE
