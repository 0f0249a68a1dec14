"""Export by OpenTelemetry's SDK: what arrives, what an exporter that fails may do, and a fork."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from common.testing.otlp import Receiver, receiving, spans_of
from common.testing.ports import free_port
from common.testing.waiting import eventually
from pillarbox import trace
from pillarbox.tracing import RequestHeaders
from pillarbox_otel import sdk
from pillarbox_otel.sdk import OutageExporter, SdkRecorder, open_recorder
from pillarbox_otel.tracer import OtelTracer
from pillarbox_otel.variables import Sampling

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = SAMPLED[:-2] + "00"
ALL = Sampling("always_on", parent_based=False)
AMZN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


class Linked(NamedTuple):
    """A received message."""

    attributes: dict[str, str]
    trace_header: str = ""


def tracer_to(url: str, chosen: Sampling = ALL) -> OtelTracer:
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=0.5)
    return OtelTracer(SdkRecorder(exporter, chosen, Resource({})), queue="emails", bucket="archive")


def test_a_span_arrives_with_the_ids_that_were_passed_on(receiver: Receiver) -> None:
    tracer = tracer_to(receiver.url)
    request = tracer.request("POST", "/api/message", RequestHeaders(SAMPLED, "vendor=1", AMZN))
    email = tracer.create(request, "an id")
    email.fail("deadline")
    email.end()
    request.end(status=503)
    tracer.close()
    create, server = receiver.spans
    assert (create.trace_id, create.span_id) == (trace.trace_id(SAMPLED), trace.span_id(email.traceparent))
    assert (create.parent_id, create.kind, create.failed) == (server.span_id, "PRODUCER", True)
    assert create.attributes["error.type"] == "deadline"
    assert (server.parent_id, server.kind, server.tracestate) == (trace.span_id(SAMPLED), "SERVER", "vendor=1")
    assert server.links == [("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8")]
    assert (server.failed, server.attributes["http.response.status_code"]) == (False, 503)


@pytest.mark.parametrize(
    ("chosen", "parent", "sampled"),
    [
        (Sampling("always_on", parent_based=False), UNSAMPLED, True),
        (Sampling("always_on", parent_based=True), UNSAMPLED, False),
        (Sampling("always_on", parent_based=True), "", True),
        (Sampling("always_off", parent_based=True), SAMPLED, True),
        (Sampling("always_off", parent_based=False), SAMPLED, False),
        (Sampling("traceidratio", True, 0.0), "", False),
        (Sampling("traceidratio", True, 1.0), "", True),
        (Sampling("traceidratio", False, 0.0), SAMPLED, False),
    ],
)
def test_the_sampler_of_the_environment_decides(
    receiver: Receiver, chosen: Sampling, parent: str, sampled: bool
) -> None:
    tracer = tracer_to(receiver.url, chosen)
    span = tracer.request("POST", "/api/message", RequestHeaders(parent))
    assert trace.is_sampled(span.traceparent) is sampled
    span.end()
    tracer.close()
    assert len(receiver.spans) == sampled


def test_a_share_of_the_traces_is_sampled() -> None:
    recorder = SdkRecorder(Refusing(), Sampling("traceidratio", True, 0.01), Resource({}))
    roots = [f"00-{recorder.new_trace_id()}-{recorder.new_span_id()}-00" for _ in range(20_000)]
    assert 100 < sum(recorder.samples("name", root, "") for root in roots) < 400  # 200 expected; 7 standard deviations
    recorder.close()


def test_the_resource_names_the_service_unless_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, expected in ((None, "service1-api"), ("another", "another")):
        with receiving() as receiver:
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url} | ({"OTEL_SERVICE_NAME": given} if given else {})
            for name, value in environ.items():
                monkeypatch.setenv(name, value)
            tracer = OtelTracer(open_recorder("service1-api", "1.2.3", ALL, environ), queue="q", bucket="b")
            tracer.put([]).end()
            tracer.close()
            assert [span.service for span in receiver.spans] == [expected]


class Refusing(SpanExporter):
    """Fails, or raises, until `works`."""

    def __init__(self, *, raises: bool = False) -> None:
        self.works = False
        self.taken = 0
        self._raises = raises

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.works:
            self.taken += len(spans)
            return SpanExportResult.SUCCESS
        if self._raises:
            raise OSError("no route, and a text that is not logged")
        return SpanExportResult.FAILURE


@pytest.mark.parametrize("raises", [False, True])
def test_an_outage_is_logged_once_at_its_begin_and_once_at_its_end(
    caplog: pytest.LogCaptureFixture, raises: bool
) -> None:
    caplog.set_level(logging.INFO)
    inner = Refusing(raises=raises)
    exporter = OutageExporter(inner)
    span = ReadableSpan("name", resource=Resource({}))
    assert [exporter.export([span, span]) for _ in range(3)] == [SpanExportResult.FAILURE] * 3
    inner.works = True
    assert [exporter.export([span]) for _ in range(2)] == [SpanExportResult.SUCCESS] * 2
    assert [(line.levelname, line.message) for line in caplog.records] == [
        ("WARNING", "traces are not exported; spans are lost until the exporter's endpoint answers"),
        ("INFO", "traces are exported again"),
    ]
    assert caplog.records[1].lost_spans == 6  # type: ignore[attr-defined]


def test_an_endpoint_that_is_down_loses_spans_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    tracer = OtelTracer(open_recorder("service", "1", ALL, os.environ), queue="emails", bucket="archive")

    def reported() -> list[str]:
        tracer.put([]).end()
        return [line.message for line in caplog.records]

    eventually(reported, "the outage is logged")
    tracer.close()
    assert reported() == ["traces are not exported; spans are lost until the exporter's endpoint answers"]


def test_an_endpoint_that_hangs_holds_up_neither_the_work_nor_the_stop(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "CLOSE_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    receiver.hold.set()
    recorder = SdkRecorder(OTLPSpanExporter(endpoint=f"{receiver.url}/v1/traces", timeout=60), ALL, Resource({}))
    tracer = OtelTracer(recorder, queue="emails", bucket="archive")
    for _ in range(8):
        tracer.put([]).end()
    eventually(lambda: receiver.requests, "the first batch is on its way")
    for number in range(200):  # none of these waits: the answer to the first batch never comes
        tracer.create(tracer.request("POST", "/api/message", RequestHeaders()), f"id-{number}").end()
    assert len(recorder._processor._batch_processor._queue) == 16
    tracer.close()
    assert receiver.spans == []


def test_the_newest_spans_survive_a_full_buffer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    receiver.hold.set()
    tracer = tracer_to(receiver.url)
    for number in range(100):
        tracer.create(tracer.request("POST", "/api/message", RequestHeaders()), str(number)).end()
    receiver.hold.clear()
    receiver.released.set()
    tracer.close()
    ids = [span.attributes["messaging.message.id"] for span in receiver.spans]
    assert ids[-16:] == [str(number) for number in range(84, 100)]
    assert len(ids) < 100


def test_a_recorder_made_after_a_fork_exports_from_there(receiver: Receiver) -> None:
    program = """
import os, sys
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from pillarbox_otel.sdk import SdkRecorder
from pillarbox_otel.tracer import OtelTracer
from pillarbox_otel.variables import Sampling

child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
recorder = SdkRecorder(OTLPSpanExporter(sys.argv[1]), Sampling("always_on", parent_based=False), Resource({}))
tracer = OtelTracer(recorder, queue="emails", bucket="archive")
tracer.put([]).end()
tracer.close()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program, f"{receiver.url}/v1/traces"], check=True)  # noqa: S603  # our own
    assert [span.name for span in receiver.spans] == ["put archive"]


def test_threads_that_record_at_the_same_time_keep_their_ids_apart(receiver: Receiver) -> None:
    tracer = tracer_to(receiver.url)
    made: list[tuple[str, str]] = []

    def work() -> None:
        for _ in range(50):
            span = tracer.request("POST", "/api/message", RequestHeaders())
            made.append((trace.trace_id(span.traceparent), trace.span_id(span.traceparent)))
            span.end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracer.close()
    assert sorted((span.trace_id, span.span_id) for span in receiver.spans) == sorted(made)


def test_a_span_carries_its_own_times(receiver: Receiver) -> None:
    tracer = tracer_to(receiver.url)
    tracer.received([], 2.0, "HTTP 503")
    tracer.close()
    (span,) = spans_of(receiver.raw[0])
    assert span.seconds >= 2.0


@pytest.mark.parametrize(("level", "reasons"), [(logging.DEBUG, True), (logging.INFO, False)])
def test_the_reason_of_each_failed_attempt_is_logged_at_debug_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, level: int, reasons: bool
) -> None:
    caplog.set_level(level, "pillarbox_otel")
    with receiving() as receiver:
        receiver.status = 401
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        recorder = open_recorder("service", "1", ALL, os.environ)
        OtelTracer(recorder, queue="emails", bucket="archive").put([]).end()
        recorder.close()
    others = [line.name for line in caplog.records if line.name != "pillarbox_otel.sdk"]
    assert bool(others) is reasons
    assert all(name.startswith("opentelemetry.") for name in others)


@pytest.mark.parametrize(("limit", "kept"), [(None, 1000), ("7", 7), ("", 1001)])
def test_a_span_keeps_a_link_to_each_email_of_a_batch(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, limit: str | None, kept: int
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    if limit is not None:
        monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", limit)
    tracer = OtelTracer(open_recorder("service", "1", ALL, os.environ), queue="emails", bucket="archive")
    tracer.received([Linked({"traceparent": SAMPLED})] * 1001, 0.1)
    tracer.close()
    assert [len(span.links) for span in receiver.spans] == [kept]
