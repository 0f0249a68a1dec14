"""What is built from the settings."""

import json
import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pillarbox.message import Envelope, encode_body
from pillarbox.tracing import NoTracer
from service2_consumer import wiring
from service2_consumer.batching import HourlyBatcher, SingleBatcher
from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage
from service2_consumer.settings import Settings

from .fakes import START, FakeArchive, FakeClock, FakeQueue, LaneHarness, email, message_id


def settings(**variables: str) -> Settings:
    required = {
        "AWS_REGION": "eu-central-1",
        "SQS_QUEUE_URL": "https://sqs.example.com/1/emails",
        "S3_BUCKET_NAME": "archive",
    }
    return Settings.model_validate(required | variables)


def message(body: str) -> InFlightMessage:
    return InFlightMessage("sqs-1", "r", body, Envelope(message_id(1)).to_attributes(), START, 1)


@pytest.mark.parametrize(("layout", "kind"), [("message", SingleBatcher), ("batch", HourlyBatcher)])
def test_batcher_depends_on_the_layout(layout: str, kind: type) -> None:
    assert isinstance(wiring.build_batcher(settings(OBJECT_LAYOUT=layout)), kind)


def test_lanes_do_not_share_a_batcher() -> None:
    assert wiring.build_batcher(settings()) is not wiring.build_batcher(settings())


def test_metrics_include_the_process_and_its_python() -> None:
    text = generate_latest(wiring.build_metrics().registry).decode()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "python_info"):
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name


def test_recorder_uses_prefix_and_template_of_the_settings() -> None:
    recorder = wiring.build_recorder(settings(S3_PREFIX="emails/", S3_KEY_TEMPLATE="{prefix}{message_id}.eml"))
    assert recorder.record(message(encode_body(email())), START).key == f"emails/{message_id(1)}.eml"


@pytest.mark.parametrize(("layout", "raw"), [("message", True), ("batch", False)])
def test_recorder_without_validation_writes_the_body_or_a_line(layout: str, raw: bool) -> None:
    recorder = wiring.build_recorder(settings(MESSAGE_VALIDATION="none", OBJECT_LAYOUT=layout))
    body = recorder.record(message("no e-mail"), START).body
    assert (body == b"no e-mail") is raw
    assert raw or json.loads(body)["body"] == "no e-mail"


def test_consumer_has_the_configured_lanes_and_a_metric_of_those_alive() -> None:
    metrics, clock = Metrics(CollectorRegistry()), FakeClock()
    queue = FakeQueue(clock)
    consumer = wiring.build_consumer(
        settings(LANES="3", LONG_POLL_SECONDS="0"),
        queue=queue,
        archive=FakeArchive(),
        intake=LaneHarness().message_intake(),
        metrics=metrics,
        tracer=NoTracer(),
        on_refusal=lambda: None,
    )
    alive = "pillarbox_consumer_lanes_alive"
    assert metrics.registry.get_sample_value(alive) == 0
    consumer.start()
    assert metrics.registry.get_sample_value(alive) == 3
    consumer.stop()
    assert consumer.join(10)
