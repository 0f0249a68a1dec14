"""The API as a process, with traces on, off and impossible."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from common.testing.otlp import receiving
from common.testing.ports import free_port
from common.testing.waiting import eventually

from .aws_stub import AwsStub
from .server import SERVICE, running

ROOT = SERVICE.parent
DEADLINE_SECONDS = 60
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # nothing is exported before the stop

LIST_MODULES = """
import os, sys
import service1_api.wsgi
print([name for name in sys.modules if name.startswith(("opentelemetry", "google"))], flush=True)
os._exit(0)
"""


def environment(aws: AwsStub, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_", "OTEL_"))}
    return plain | {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": aws.url,
        "SQS_QUEUE_URL": f"{aws.url}/000000000000/emails",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(free_port()),
        **more,
    }


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off(aws: AwsStub) -> None:
    command = [sys.executable, "-c", LIST_MODULES]
    done = subprocess.run(command, env=environment(aws), capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stdout == "[]\n"


def test_traces_that_are_impossible_end_the_start_with_code_2(aws: AwsStub) -> None:
    done = subprocess.run(  # noqa: S603  # our own
        [
            ROOT / ".venvs/service1-api/bin/python",
            "-m",
            "gunicorn",
            "--config",
            "gunicorn.conf.py",
            "service1_api.wsgi:app",
        ],
        cwd=SERVICE,
        env=environment(aws, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: this environment has no")
    assert len(done.stderr.splitlines()) == 1


def test_each_worker_exports_its_spans_when_it_stops(aws: AwsStub, tmp_path: Path) -> None:
    with receiving() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_SAMPLER": "always_on"} | NEVER
        with running(aws, tmp_path, ready=True, WORKERS="2", **settings) as api:
            ids = {api.post()[1]["message_id"] for _ in range(20)}
            assert receiver.requests == 0
            _, metrics = api.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
            families = {family.name for family in text_string_to_metric_families(metrics["text"])}  # type: ignore[no-untyped-call]
            assert "pillarbox_api_request_seconds" in families  # the sum of both workers, without exemplars
            assert api.stop() == 0
    assert len(receiver.named("POST /api/message")) == 20
    assert {span.attributes["messaging.message.id"] for span in receiver.named("create emails")} == ids
    requests = {span.span_id for span in receiver.named("POST /api/message")}
    creates = receiver.named("create emails")
    assert {span.parent_id for span in creates} == requests
    linked = [link for span in receiver.named("send emails") for link in span.links]
    assert sorted(linked) == sorted((span.trace_id, span.span_id) for span in creates)
    assert {span.service for span in receiver.spans} == {"service1-api"}
    assert not any(b"sender@example.org" in body or b"A test" in body for body in receiver.raw)


def test_a_collector_that_is_not_there_and_then_hangs_is_one_line_in_the_log(aws: AwsStub, tmp_path: Path) -> None:
    """Neither outage fails a request, and the second one does not hold up the stop."""
    port = free_port()
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_TRACES_SAMPLER": "always_on"}
    quick = {"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "5"}

    with running(aws, tmp_path, ready=True, **settings, **quick) as api:

        def warnings() -> list[str]:
            assert api.post()[0] == 200
            return [line["event"] for line in api.lines() if line["level"] == "WARNING"]

        first = eventually(warnings, "the outage is logged")
        with receiving(port, hold=True) as receiver:
            assert api.post()[0] == 200
            eventually(lambda: receiver.requests, "an export hangs")
            assert [api.post()[0] for _ in range(10)] == [200] * 10
            assert api.stop() == 0
            assert receiver.spans == []
        assert first == [line["event"] for line in api.lines() if line["level"] == "WARNING"]
    assert first == ["traces are not exported; spans are lost until the exporter's endpoint answers"]
