"""The service as a process, and its signals in this process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry

from common.testing.ports import free_port
from common.testing.waiting import answers, eventually
from pillarbox import logs
from pillarbox.message import encode_body
from pillarbox.tracing import NoTracer
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session
from service2_consumer import __main__ as root
from service2_consumer import wiring
from service2_consumer.consumer import Consumer
from service2_consumer.metrics import Metrics
from service2_consumer.ports import Archive, Queue
from service2_consumer.settings import Settings

from .conftest import BUCKET, REGION, Aws
from .fakes import LaneHarness, email, message_id

DEADLINE_SECONDS = 60


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "SQS_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "service2_consumer"],
        env=plain | {"PYTHONWARNINGS": "error"} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def environment(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "SQS_QUEUE_URL": aws.new_queue(f"emails-{uuid.uuid4()}"),
        "S3_BUCKET_NAME": BUCKET,
        "LONG_POLL_SECONDS": "1",
        "LANES": "1",  # moto may give one message to two receives at the same moment
        "BIND_HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }
    for name in os.environ:
        if name.startswith(("AWS_", "S3_", "SQS_")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def clients(settings: Settings) -> tuple[Queue, Archive]:
    """Return clients for the environment."""
    session = new_session(settings.aws_region)
    credentials = SessionCredentials(session.get_credentials)
    assert credentials.found()
    credentials.start()
    return wiring.build_queue(settings, session, credentials), wiring.build_archive(settings, session, credentials)


def new_consumer(settings: Settings, queue: Queue, archive: Archive, metrics: Metrics) -> Consumer:
    return wiring.build_consumer(
        settings,
        queue=queue,
        archive=archive,
        intake=LaneHarness().message_intake(),
        metrics=metrics,
        tracer=NoTracer(),
        on_refusal=root.request_stop,
    )


def wait_for_object(aws: Aws, key: str) -> bytes:
    eventually(lambda: aws.s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"], f"{key} is stored")
    return aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def wait_until_ready(port: str) -> None:
    eventually(lambda: answers(f"http://127.0.0.1:{port}/ready"), "the consumer is ready")


def test_process_stores_an_email_and_exits_0_on_sigterm(aws: Aws, environment: dict[str, str]) -> None:
    number = 1
    aws.sqs.send_message(
        QueueUrl=environment["SQS_QUEUE_URL"],
        MessageBody=encode_body(email(number)),
        MessageAttributes={"message_id": {"DataType": "String", "StringValue": message_id(number)}},
    )
    process = start(environment)
    try:
        stored = wait_for_object(aws, f"messages/2026/12/10/{message_id(number)}.json")
        wait_until_ready(environment["PORT"])
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    lines = [json.loads(line) for line in errors.splitlines()]
    assert json.loads(stored)["email_data"] == email(number)
    assert process.returncode == 0
    assert (lines[0]["event"], lines[0]["bucket"]) == ("starting", BUCKET)
    last = lines[-1]
    assert (last["event"], last["reason"], last["stored"], last["deleted"]) == ("stopped", "SIGTERM", 1, 1)
    assert "hush-hush" not in errors


def test_process_without_validation_stores_any_body_unchanged_and_exits_0_on_sigint(
    aws: Aws, environment: dict[str, str]
) -> None:
    url = environment["SQS_QUEUE_URL"]
    message_id = aws.sqs.send_message(QueueUrl=url, MessageBody="no e-mail, ü\r\n")["MessageId"]
    process = start(
        environment | {"MESSAGE_VALIDATION": "none", "S3_PREFIX": "raw/", "S3_KEY_TEMPLATE": "{prefix}{message_id}.txt"}
    )
    try:
        assert wait_for_object(aws, f"raw/{message_id}.txt") == "no e-mail, ü\r\n".encode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(errors.splitlines()[-1])["reason"] == "SIGINT"


def refused_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str) -> str:
    """Return what a start that is refused with exit code 2 prints; an empty variable counts as unset."""
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # the loggers are those of all tests
    monkeypatch.setattr(root, "run", lambda *_: pytest.fail("the service started"))
    try:
        code = root.main()
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    return capsys.readouterr().err


def test_invalid_settings_have_a_line_each_without_secrets(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = refused_start(monkeypatch, capsys, S3_BUCKET_NAME="", LANES="none", SQS_QUEUE_URL="hush-hush")
    assert [line.partition(":")[0] for line in errors.splitlines()] == ["SQS_QUEUE_URL", "S3_BUCKET_NAME", "LANES"]
    assert "hush-hush" not in errors


@pytest.fixture
def overwriting_store() -> Iterator[ThreadingHTTPServer]:
    """An S3 that accepts every PUT, like gateways without If-None-Match."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Overwriting)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Overwriting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_process_refuses_an_overwriting_store_with_advice(
    environment: dict[str, str], overwriting_store: ThreadingHTTPServer
) -> None:
    store = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{overwriting_store.server_address[1]}"}
    process = start(environment | store)
    _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert process.returncode == 2
    (refusal,) = [line["event"] for line in lines if line["level"] == "ERROR"]
    assert refusal.startswith("refusing to work: the store ignores If-None-Match")
    assert "ALLOW_OVERWRITE=true" in refusal
    assert (lines[-1]["reason"], lines[-1]["received"]) == ("refused", 0)


def test_port_in_use_is_reported(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        errors = refused_start(monkeypatch, capsys, PORT=port)
    assert errors.splitlines() == [f"PORT: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_unreadable_ca_bundle_is_reported(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = refused_start(monkeypatch, capsys, AWS_CA_BUNDLE="/nonexistent")
    assert errors == "AWS_CA_BUNDLE: cannot be read: No such file or directory\n"


def test_missing_credentials_are_reported(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    errors = refused_start(monkeypatch, capsys, AWS_EC2_METADATA_DISABLED="true", HOME="/nonexistent")
    assert errors == "AWS credentials: none found\n"


@pytest.fixture
def masked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, root.SIGNALS)
    yield
    if signal.sigpending().intersection(root.SIGNALS):
        signal.sigwait(root.SIGNALS)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_second_signal_abandons_a_hanging_store_and_releases(
    aws: Aws, environment: dict[str, str], masked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = environment["SQS_QUEUE_URL"]
    main_thread, entered, hang, returned = threading.get_ident(), *(threading.Event() for _ in range(3))
    monkeypatch.setenv("STORE_DEADLINE_SECONDS", "80")  # the drain is longer than the store's delay
    settings = Settings()
    metrics = Metrics(CollectorRegistry())
    queue, archive = clients(settings)

    def put_hangs(item: object) -> None:
        entered.set()
        hang.wait(DEADLINE_SECONDS)
        returned.set()

    archive.put = put_hangs  # type: ignore[method-assign, assignment]
    aws.sqs.send_message(QueueUrl=url, MessageBody=encode_body(email()))

    def signal_twice() -> None:
        entered.wait(DEADLINE_SECONDS)
        signal.pthread_kill(main_thread, signal.SIGTERM)
        while not consumer._stop_events.requested.is_set():
            time.sleep(0.01)
        signal.pthread_kill(main_thread, signal.SIGTERM)

    consumer = new_consumer(settings, queue, archive, metrics)
    sender = threading.Thread(target=signal_twice)
    sender.start()
    assert settings.drain_seconds > DEADLINE_SECONDS
    code = root.run(settings, consumer, queue, metrics)
    assert not returned.is_set()
    sender.join()
    hang.set()
    assert consumer.join(DEADLINE_SECONDS)  # else the emulator logs the polls that are left during other tests
    assert code == 0
    assert metrics.totals()["released"] == 1
    assert aws.sqs.receive_message(QueueUrl=url)["Messages"]


def test_overwriting_store_is_accepted_if_allowed(
    environment: dict[str, str],
    overwriting_store: ThreadingHTTPServer,
    masked: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{overwriting_store.server_address[1]}")
    monkeypatch.setenv("ALLOW_OVERWRITE", "true")
    main_thread, settings, metrics = threading.get_ident(), Settings(), Metrics(CollectorRegistry())
    queue, archive = clients(settings)
    consumer = new_consumer(settings, queue, archive, metrics)

    def stop_when_ready() -> None:
        try:
            eventually(lambda: consumer.ready or consumer.refusal, "the store is checked")
        finally:
            signal.pthread_kill(main_thread, signal.SIGTERM)

    sender = threading.Thread(target=stop_when_ready)
    sender.start()
    code = root.run(settings, consumer, queue, metrics)
    sender.join()
    assert (code, consumer.refusal) == (0, "")
