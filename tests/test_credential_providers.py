"""Credentials from botocore's own providers, refreshed while obstore and the SQS client use them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.credentials import RefreshableCredentials

from pillarbox_aws.credentials import CredentialsError, SessionCredentials
from pillarbox_aws.object_store import open_store
from pillarbox_aws.session import endpoint_url, new_session
from pillarbox_aws.sqs_client import SqsClient, SqsError, open_client
from service2_consumer.model import Outcome, Upload
from service2_consumer.ports import StoreError
from service2_consumer.s3 import S3Archive
from tests.identity.gate import Gate
from tests.identity.server import POD_TOKEN, WEB_IDENTITY_TOKEN, IdentityServer

REGION = "eu-central-1"
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/emails"
DEADLINE_SECONDS = 30


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the credentials and endpoints of the user who runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    return monkeypatch


@contextmanager
def serving(identity: IdentityServer) -> Iterator[Gate]:
    gate = Gate(identity)
    try:
        yield gate
    finally:
        gate.close()
        identity.close()


@contextmanager
def clients(environment: pytest.MonkeyPatch, gate: Gate) -> Iterator[tuple[SessionCredentials, SqsClient, S3Archive]]:
    environment.setenv("AWS_ENDPOINT_URL", gate.url)
    session = new_session(REGION)
    credentials = SessionCredentials(session.get_credentials)
    assert credentials.found()
    credentials.start()
    sqs = open_client(
        session, credentials, QUEUE_URL, environ=os.environ, user_agent="test", connections=1, connect_seconds=2
    )
    store = open_store(
        credentials.for_obstore,
        "archive",
        region=REGION,
        endpoint_url=endpoint_url(session, "s3", os.environ),
        request_seconds=9 / 4,
        user_agent="test",
        encryption={},
    )
    try:
        yield credentials, sqs, S3Archive(store)
    finally:
        credentials.close()


def use(sqs: SqsClient, archive: S3Archive) -> None:
    """Call SQS once and write one object."""
    assert sqs.call("ReceiveMessage", {"QueueUrl": QUEUE_URL}, read_seconds=5) == {}
    item = Upload("messages/a.json", b"{}", "application/json", "email-sha256", "d", None)
    assert archive.put(item) is Outcome.STORED


def use_until(condition: Callable[[], bool], sqs: SqsClient, archive: S3Archive) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the credentials were not refreshed"
        try:
            use(sqs, archive)
        except (
            SqsError,
            StoreError,
        ) as exc:  # a refresh can take longer than credentials are valid
            assert exc.cause.startswith("credentials"), exc  # noqa: PT017  # the services retry after this cause
        time.sleep(0.05)


def wait_for(credentials: SessionCredentials) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            credentials.current()
        except CredentialsError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("there are no credentials")


@pytest.mark.parametrize("provider", ["web identity", "pod identity"])
def test_credentials_that_live_seconds_serve_both_clients_over_a_refresh(
    environment: pytest.MonkeyPatch, tmp_path: Path, provider: str
) -> None:
    token_file = tmp_path / "token"
    identity = IdentityServer(life_seconds=4)
    with serving(identity) as gate:
        if provider == "web identity":
            token_file.write_text(WEB_IDENTITY_TOKEN)
            variables = identity.web_identity(str(token_file))
        else:
            token_file.write_text(POD_TOKEN)
            variables = identity.pod_identity(str(token_file))
        for name, value in variables.items():
            environment.setenv(name, value)
        with clients(environment, gate) as (_, sqs, archive):
            use_until(lambda: min(len(gate.tokens("sqs")), len(gate.tokens("s3"))) >= 3, sqs, archive)
        assert gate.refused == 0


def test_credentials_of_the_instance_serve_both_clients_over_a_refresh(environment: pytest.MonkeyPatch) -> None:
    """botocore extends the expiry of IMDS by minutes, so the test changes the time of the advisory refresh instead."""
    environment.setattr(RefreshableCredentials, "_advisory_refresh_timeout", 3600)
    identity = IdentityServer(life_seconds=40 * 60)
    for name, value in identity.instance().items():
        environment.setenv(name, value)
    with serving(identity) as gate, clients(environment, gate) as (credentials, sqs, archive):
        use(sqs, archive)
        first = credentials.current().token
        credentials.refresh()
        assert credentials.current().token != first
        use_until(lambda: len(gate.tokens("sqs")) >= 2, sqs, archive)
        assert gate.refused == 0


def test_a_provider_that_fails_at_the_start_is_asked_again(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """botocore calls the Pod Identity agent while it searches for credentials, and raises."""
    identity = IdentityServer(life_seconds=4)
    identity.fault = (400, "on demand")
    token_file = tmp_path / "token"
    with serving(identity) as gate:
        for name, value in identity.pod_identity(str(token_file)).items():
            environment.setenv(name, value)
        with clients(environment, gate) as (credentials, sqs, archive):  # the file of the token is missing
            token_file.write_text(POD_TOKEN)
            identity.fault = None
            wait_for(credentials)
            use(sqs, archive)
