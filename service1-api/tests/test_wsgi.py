"""The composition root: what is built from the settings."""

import hashlib
import importlib
import json
import logging
from collections.abc import Iterator
from types import ModuleType

import pytest

from pillarbox import logs
from pillarbox.ids import new_message_id
from pillarbox.probe import new_probe_id, probe_key
from pillarbox.settings import load_or_exit
from pillarbox_aws.credentials import SessionCredentials
from service1_api.settings import Settings
from service1_api.tokens import TokenCache

from .aws_stub import AwsStub
from .conftest import logging_restored
from .fakes import TOKEN
from .server import BODY, EMAIL


@pytest.fixture
def wsgi(environment: pytest.MonkeyPatch, aws: AwsStub) -> Iterator[ModuleType]:
    """The module, imported with the stub of AWS. The threads that it starts end with the test."""
    environment.setenv("AWS_ACCESS_KEY_ID", "testing")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    environment.setenv("AWS_ENDPOINT_URL", aws.url)
    environment.setenv("SQS_QUEUE_URL", f"{aws.url}/000000000000/emails")
    ends = []
    environment.setattr(logs, "buffer", lambda _service: None)  # its thread would write to pytest's standard error
    for kind, end in ((TokenCache, "stop"), (SessionCredentials, "close")):

        def start(self: object, start: object = kind.start, end: str = end) -> object:
            ends.append(getattr(self, end))
            return start(self)  # type: ignore[operator]

        environment.setattr(kind, "start", start)
    with logging_restored():
        module = importlib.import_module("service1_api.wsgi")
    yield module
    for stop in ends:
        stop()


def test_application_publishes_to_the_queue_with_the_token_of_ssm(wsgi: ModuleType, aws: AwsStub) -> None:
    client = wsgi.build(load_or_exit(Settings)).test_client()
    assert client.get("/ready").status_code == 200
    answer = client.post("/api/message", data=BODY, content_type="application/json")
    assert answer.status_code == 200
    assert aws.messages[answer.get_json()["message_id"]] == 1


def test_limits_are_those_of_the_settings(wsgi: ModuleType, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RATE_LIMIT", "1/minute")
    environment.setenv("MAX_REQUEST_BYTES", "1024")
    client = wsgi.build(load_or_exit(Settings)).test_client()
    large = json.dumps({"data": "a" * 1024}).encode()
    statuses = [client.post("/api/message", data=large, content_type="application/json").status_code for _ in range(2)]
    assert statuses == [413, 429]


def test_requests_for_a_status_are_counted_with_the_others(wsgi: ModuleType, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RATE_LIMIT", "2/minute")
    client = wsgi.build(load_or_exit(Settings)).test_client()
    assert [client.get("/api/messages/x").status_code for _ in range(3)] == [501, 501, 429]
    assert client.post("/api/message").status_code == 429


def test_requests_are_not_counted_without_a_rate_limit(wsgi: ModuleType) -> None:
    client = wsgi.build(load_or_exit(Settings)).test_client()
    assert {client.post("/api/message").status_code for _ in range(3)} == {415}


def test_two_attempts_to_publish_fit_into_the_deadline(wsgi: ModuleType, environment: pytest.MonkeyPatch) -> None:
    built = []

    class Recorded(wsgi.Publisher):  # type: ignore[name-defined, misc]
        def __init__(self, *arguments: object, **options: float) -> None:
            built.append(options)
            super().__init__(*arguments, **options)

    environment.setattr(wsgi, "Publisher", Recorded)
    environment.setenv("PUBLISH_DEADLINE_SECONDS", "4")
    wsgi.build(load_or_exit(Settings))
    (options,) = built
    assert 2 * options["attempt_seconds"] < options["deadline_seconds"] == 4


def test_large_email_goes_through_the_bucket_of_the_settings(
    wsgi: ModuleType, environment: pytest.MonkeyPatch, aws: AwsStub
) -> None:
    environment.setenv("PAYLOAD_BUCKET", "large-emails")
    environment.setenv("PAYLOAD_PREFIX", "some/where/")
    client = wsgi.build(load_or_exit(Settings)).test_client()
    body = json.dumps({"data": EMAIL | {"email_content": "a" * 1_100_000}, "token": TOKEN}).encode()
    answer = client.post("/api/message", data=body, content_type="application/json")
    assert answer.status_code == 200
    (path,) = (path for path in aws.objects if path.startswith("/large-emails/"))  # other tests share the stub
    assert path.startswith("/large-emails/some/where/2")
    assert aws.pointers.keys() == {answer.get_json()["message_id"]}


def test_large_email_is_413_without_a_bucket(wsgi: ModuleType) -> None:
    client = wsgi.build(load_or_exit(Settings)).test_client()
    body = json.dumps({"data": EMAIL | {"email_content": "a" * 1_100_000}, "token": TOKEN}).encode()
    assert client.post("/api/message", data=body, content_type="application/json").status_code == 413


def test_status_is_read_from_the_archive_of_the_settings(
    wsgi: ModuleType, environment: pytest.MonkeyPatch, aws: AwsStub
) -> None:
    message_id = new_message_id()
    environment.setenv("STATUS_BUCKET", "archive")
    environment.setenv("S3_PREFIX", "some/where/")
    environment.setenv("STATUS_KEY_TEMPLATE", "{prefix}{shard}/{message_id}")
    shard = hashlib.sha256(message_id.encode()).hexdigest()[:2]
    aws.objects[f"/archive/some/where/{shard}/{message_id}"] = b"12345"
    client = wsgi.build(load_or_exit(Settings)).test_client()
    answer = client.get(f"/api/messages/{message_id}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.get_json()["size"]) == (200, 5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "STATUS_BUCKET is not set"),
        ({"STATUS_BUCKET": "archive", "OBJECT_LAYOUT": "batch"}, "layout"),
        ({"STATUS_BUCKET": "archive", "S3_KEY_TEMPLATE": "{prefix}{sender}/{message_id}"}, "layout"),
    ],
    ids=["off", "batch", "sender"],
)
def test_status_that_cannot_be_told_is_501(
    wsgi: ModuleType, environment: pytest.MonkeyPatch, settings: dict[str, str], reason: str
) -> None:
    for name, value in settings.items():
        environment.setenv(name, value)
    client = wsgi.build(load_or_exit(Settings)).test_client()
    answer = client.get(f"/api/messages/{new_message_id()}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 501
    assert reason in answer.get_json()["detail"]


@pytest.mark.parametrize("layout", [{"OBJECT_LAYOUT": "batch"}, {"S3_KEY_TEMPLATE": "{prefix}{sender}/{message_id}"}])
def test_status_of_a_probe_is_found_in_every_layout(
    wsgi: ModuleType, environment: pytest.MonkeyPatch, aws: AwsStub, layout: dict[str, str]
) -> None:
    message_id = new_probe_id()
    for name, value in ({"STATUS_BUCKET": "archive"} | layout).items():
        environment.setenv(name, value)
    aws.objects[f"/archive/{probe_key(message_id)}"] = b"12345"
    client = wsgi.build(load_or_exit(Settings)).test_client()
    answer = client.get(f"/api/messages/{message_id}", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.get_json()["size"]) == (200, 5)


@pytest.mark.parametrize("deadline_seconds", [4, 10, 60])
def test_two_attempts_at_s3_and_one_at_sqs_fit_into_the_deadline(wsgi: ModuleType, deadline_seconds: int) -> None:
    longest_pause_seconds = 0.1  # before the second attempt
    shares = wsgi._SQS_CONNECT_SHARE + wsgi._SQS_READ_SHARE + 2 * wsgi._S3_ATTEMPT_SHARE
    assert shares * deadline_seconds + longest_pause_seconds <= deadline_seconds


def test_start_is_logged_with_the_settings_and_no_secret(
    wsgi: ModuleType, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("RATE_LIMIT_STORAGE", "redis://:hunter2@127.0.0.1:1")
    caplog.set_level(logging.INFO)
    wsgi.build(load_or_exit(Settings))
    (line,) = [vars(record) for record in caplog.records if record.message == "started"]
    assert (line["aws_region"], line["workers"]) == ("eu-central-1", 1)
    assert "hunter2" not in str(line)
