"""The consumer as a process, with traces on, off and impossible."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

from common.testing.otlp import receiving
from common.testing.ports import free_port
from common.testing.waiting import eventually
from pillarbox.message import Envelope, encode_body

from .conftest import BUCKET, REGION, Aws
from .fakes import email, message_id

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_SECONDS = 60
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

# Everything that `main` builds, without a call to AWS.
BUILD_ALL = """
import sys
from service2_consumer import __main__, wiring
from service2_consumer.settings import Settings
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session

settings = Settings()
metrics, tracer = wiring.build_metrics(), wiring.build_tracer(settings)
session = new_session(settings.aws_region)
credentials = SessionCredentials(session.get_credentials)
credentials.start()
wiring.build_consumer(
    settings,
    queue=wiring.build_queue(settings, session, credentials),
    archive=wiring.build_archive(settings, session, credentials),
    intake=wiring.build_intake(settings, session, credentials),
    metrics=metrics,
    tracer=tracer,
    on_refusal=lambda: None,
)
print([name for name in sys.modules if name.startswith(("opentelemetry", "google"))])
"""


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "SQS_", "OTEL_"))}
    return plain | {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SQS_QUEUE_URL": "http://127.0.0.1:9/000000000000/emails",
        "S3_BUCKET_NAME": BUCKET,
        "LONG_POLL_SECONDS": "1",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(free_port()),
        **more,
    }


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off() -> None:
    command = [sys.executable, "-c", BUILD_ALL]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stdout == "[]\n"


def test_traces_that_are_impossible_end_the_start_with_code_2() -> None:
    done = subprocess.run(  # noqa: S603  # our own
        [ROOT / ".venvs/service2-consumer/bin/python", "-m", "service2_consumer"],
        env=environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: this environment has no")
    assert len(done.stderr.splitlines()) == 1


def test_a_stop_exports_the_spans_that_are_buffered(aws: Aws) -> None:
    url = aws.new_queue(f"emails-{uuid.uuid4()}")
    attributes = Envelope(message_id(77), traceparent=SAMPLED).to_attributes()
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody=encode_body(email(77)),
        MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
    )
    with receiving() as receiver:
        process = subprocess.Popen(
            [sys.executable, "-m", "service2_consumer"],
            env=environment(
                AWS_ENDPOINT_URL=aws.url,
                SQS_QUEUE_URL=url,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_BSP_SCHEDULE_DELAY="600000",  # nothing is exported before the stop
            ),
        )
        try:
            key = f"messages/2026/12/10/{message_id(77)}.json"
            eventually(lambda: aws.s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"], "the e-mail is stored")
            process.terminate()
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            process.kill()
    queue = url.rpartition("/")[2]
    spans = {span.name: span for span in receiver.spans}
    assert set(spans) == {f"receive {queue}", f"process {queue}", f"put {BUCKET}"}
    assert {span.service for span in receiver.spans} == {"service2-consumer"}
    assert spans[f"put {BUCKET}"].parent_id == spans[f"process {queue}"].span_id
    assert not any(b"Happy new year" in body or b"jane@example.com" in body for body in receiver.raw)
