"""The AWS adapters: what SQS receives, how the token is read from SSM, and what the errors of both mean."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox.ids import new_message_id
from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session
from pillarbox_aws.sqs_client import SqsClient, SqsError, open_client
from service1_api.aws import SqsQueue, SsmTokenSource
from service1_api.outgoing import Message, MessageRefusedError, PublishError, QueueUnavailableError
from service1_api.tokens import TokenSourceError

from .fakes import FakeClock

REGION = "eu-central-1"
ATTRIBUTES = {"message_id": "01890a5d-ac96-774b-bcce-b302099a8057", "source": "service1-api"}


def message(body: str = "{}") -> Message:
    return Message(body, ATTRIBUTES, len(body))


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """A boto3 client and a new queue's URL, in an emulator in this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    client = boto3.client("sqs", region_name=REGION)
    return client, client.create_queue(QueueName=f"emails-{new_message_id()}")["QueueUrl"]


def client_of(url: str) -> SqsClient:
    session = new_session(REGION)
    credentials = SessionCredentials(session.get_credentials)
    credentials.start()
    return open_client(session, credentials, url, environ={}, user_agent="test", connections=1, connect_seconds=2)


def test_messages_arrive_with_body_and_attributes(aws: tuple[Any, str]) -> None:
    client, url = aws
    bodies = [json.dumps({"n": n, "text": "\U0001f4ee\u05d0"}, ensure_ascii=False) for n in range(10)]

    queue = SqsQueue(client_of(url), url, read_seconds=5, attempt_seconds=1)
    results = queue.send([message(body) for body in bodies], deadline=0)

    assert results == [None] * 10
    arrived = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])["Messages"]
    assert sorted(m["Body"] for m in arrived) == sorted(bodies)
    attributes = {name: value["StringValue"] for name, value in arrived[0]["MessageAttributes"].items()}
    assert attributes == ATTRIBUTES


def test_number_is_sent_beside_the_texts_with_its_own_type(aws: tuple[Any, str]) -> None:
    client, url = aws
    queue = SqsQueue(client_of(url), url, read_seconds=5, attempt_seconds=1)
    assert queue.send([replace(message(), numbers={"ExtendedPayloadSize": "8388608"})], deadline=0) == [None]
    (arrived,) = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    found = {name: (value["DataType"], value["StringValue"]) for name, value in arrived["MessageAttributes"].items()}
    texts = {name: ("String", value) for name, value in ATTRIBUTES.items()}
    assert found == texts | {"ExtendedPayloadSize": ("Number", "8388608")}


def test_missing_queue_is_unavailable(aws: tuple[Any, str]) -> None:
    _, url = aws
    with pytest.raises(QueueUnavailableError, match=r"NonExistentQueue|QueueDoesNotExist"):
        SqsQueue(client_of(url), url + "-gone", read_seconds=5, attempt_seconds=1).send([message()], deadline=0)


class ScriptedClient:
    """An SQS client with scripted answers; the last one repeats."""

    def __init__(self, *script: SqsError | dict[str, Any]) -> None:
        self.script = list(script)
        self.calls = 0

    def call(self, action: str, payload: Mapping[str, object], *, read_seconds: float) -> dict[str, Any]:
        self.calls += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step


ACCEPTED = {"Successful": [{"Id": "0"}]}
LOST = SqsError("ProtocolError")
SLOW = SqsError("ReadTimeoutError")


def queue_of(client: ScriptedClient, clock: FakeClock) -> SqsQueue:
    return SqsQueue(client, "https://sqs/1/emails", read_seconds=1, attempt_seconds=1, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize(
    "failure",
    [LOST, SLOW, *map(SqsError, ["ServiceUnavailable", "MalformedReply", "credentials: AccessDenied"])],
    ids=str,
)
def test_failed_attempt_is_retried_while_there_is_time(failure: SqsError) -> None:
    client, clock = ScriptedClient(failure, failure, ACCEPTED), FakeClock()
    assert queue_of(client, clock).send([message()], clock.now + 10) == [None]
    assert client.calls == 3
    assert clock.now < 1002


@pytest.mark.parametrize("failure", [LOST, SLOW, SqsError("InternalError"), SqsError("AccessDenied")], ids=str)
def test_attempt_that_may_exceed_the_deadline_is_not_started(failure: SqsError) -> None:
    client, clock = ScriptedClient(failure), FakeClock()
    with pytest.raises(QueueUnavailableError):
        queue_of(client, clock).send([message()], clock.now + 3)
    assert client.calls > 1
    assert clock.now <= 1002


@pytest.mark.parametrize(
    "code", ["InvalidMessageContents", "AWS.SimpleQueueService.BatchRequestTooLong", "InvalidParameterValue"]
)
def test_refused_call_is_not_retried(code: str) -> None:
    client, clock = ScriptedClient(SqsError(code)), FakeClock()
    with pytest.raises(MessageRefusedError, match=code):
        queue_of(client, clock).send([message(), message()], clock.now + 10)
    assert client.calls == 1


def test_each_entry_has_its_own_result_in_any_order_of_the_reply() -> None:
    reply = {
        "Successful": [{"Id": "3"}, {"Id": "0"}],
        "Failed": [
            {"Id": "2", "Code": "InvalidMessageContents", "SenderFault": True},
            {"Id": "1", "Code": "InternalError", "SenderFault": False},
        ],
    }
    clock = FakeClock()
    results = queue_of(ScriptedClient(reply), clock).send([message() for _ in range(5)], clock.now + 10)
    kinds: list[type[PublishError] | None] = [type(result) if result else None for result in results]
    assert kinds == [None, QueueUnavailableError, MessageRefusedError, None, QueueUnavailableError]
    assert str(results[4]) == "not_confirmed"


names = st.text(max_size=4) | st.sampled_from(["Id", "Code", "Successful", "Failed"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["Successful", "Failed", "other"]), json_values))
def test_any_json_reply_is_an_error_or_a_result_for_each_message(reply: dict[str, Any]) -> None:
    clock = FakeClock()
    try:
        results = queue_of(ScriptedClient(reply), clock).send([message(), message()], clock.now)
    except QueueUnavailableError:
        return
    assert [result is None or isinstance(result, PublishError) for result in results] == [True, True]


@pytest.fixture
def parameter(monkeypatch: pytest.MonkeyPatch) -> Iterator[SsmTokenSource]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    from moto import mock_aws  # noqa: PLC0415  # each worker would import it to collect the tests

    with mock_aws():
        client = boto3.client("ssm", region_name="eu-central-1")
        client.put_parameter(Name="/token", Value="a\nb", Type="SecureString")
        yield SsmTokenSource(lambda: client, "/token")


def test_read_returns_the_decrypted_parameter(parameter: SsmTokenSource) -> None:
    assert parameter.read() == "a\nb"


def test_missing_parameter_raises_with_the_reason(parameter: SsmTokenSource) -> None:
    with pytest.raises(TokenSourceError, match="ParameterNotFound"):
        SsmTokenSource(parameter._ssm._new_client, "/other").read()


def test_unreachable_ssm_raises_with_the_reason() -> None:
    client = boto3.client(
        "ssm",
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    with pytest.raises(TokenSourceError, match="EndpointConnectionError"):
        SsmTokenSource(lambda: client, "/token").read()


class FailingSsm:
    """A client of SSM whose credentials fail once for each error given."""

    def __init__(self, errors: list[Exception]) -> None:
        self._errors = errors

    def get_parameter(self, **_arguments: object) -> dict[str, dict[str, str]]:
        if self._errors:
            raise self._errors.pop()
        return {"Parameter": {"Value": "a"}}


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        CredentialRetrievalError(provider="container-role", error_msg="down"),
        ClientError({"Error": {"Code": "InvalidIdentityToken"}}, "AssumeRoleWithWebIdentity"),
        RuntimeError("the credentials were refreshed but are still expired"),
        FileNotFoundError("the web identity token"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("while_made", [True, False])
def test_failing_credentials_raise_and_are_requested_again(error: Exception, while_made: bool) -> None:
    errors = [error]

    def new_client() -> Any:
        if errors and while_made:
            raise errors.pop()
        return FailingSsm(errors)

    source = SsmTokenSource(new_client, "/token")
    with pytest.raises(TokenSourceError):
        source.read()
    assert source.read() == "a"
