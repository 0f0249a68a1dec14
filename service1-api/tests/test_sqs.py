"""SQS as the queue: what arrives there, and what its errors mean."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from moto import mock_aws

from service1_api.publisher import Message, MessageRefusedError, PublishError, QueueUnavailableError
from service1_api.sqs import SendsBatches, SqsClient, SqsQueue, _entry

from .aws_stub import DROP, AwsStub
from .fakes import FakeClock

ATTRIBUTES = {"message_id": "01890a5d-ac96-774b-bcce-b302099a8057", "source": "service1-api"}


def message(body: str = "{}") -> Message:
    return Message(body, ATTRIBUTES, len(body))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("sqs", region_name="eu-central-1")
        yield client, client.create_queue(QueueName="emails")["QueueUrl"]


def test_messages_arrive_with_body_and_attributes(aws: tuple[Any, str]) -> None:
    client, url = aws
    bodies = [json.dumps({"n": n, "text": "\U0001f4ee\u05d0"}, ensure_ascii=False) for n in range(10)]

    results = SqsQueue(client, url, attempt_seconds=1).send([message(body) for body in bodies], deadline=0)

    assert results == [None] * 10
    arrived = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])["Messages"]
    assert sorted(m["Body"] for m in arrived) == sorted(bodies)
    attributes = {name: value["StringValue"] for name, value in arrived[0]["MessageAttributes"].items()}
    assert attributes == ATTRIBUTES


def test_a_queue_that_does_not_exist_is_unavailable(aws: tuple[Any, str]) -> None:
    client, url = aws
    with pytest.raises(QueueUnavailableError, match="NonExistentQueue"):
        SqsQueue(client, url + "-gone", attempt_seconds=1).send([message()], deadline=0)


class ScriptedClient:
    """An SQS client that answers as the script says; the last line repeats."""

    def __init__(self, *script: Exception | dict[str, Any]) -> None:
        self.script = list(script)
        self.calls = 0

    def send_message_batch(self, **_arguments: Any) -> dict[str, Any]:
        self.calls += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step


def error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "..."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SendMessageBatch")


ACCEPTED = {"Successful": [{"Id": "0"}]}
LOST = ConnectionClosedError(endpoint_url="https://sqs")
SLOW = ReadTimeoutError(endpoint_url="https://sqs")


def queue_of(client: ScriptedClient, clock: FakeClock) -> SqsQueue:
    sqs: Any = client
    return SqsQueue(sqs, "https://sqs/1/emails", attempt_seconds=1, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("failure", [LOST, SLOW, error("ServiceUnavailable", 503), error("RequestThrottled")])
def test_an_attempt_that_fails_is_made_again_while_there_is_time(failure: Exception) -> None:
    client, clock = ScriptedClient(failure, failure, ACCEPTED), FakeClock()
    assert queue_of(client, clock).send([message()], clock.now + 10) == [None]
    assert client.calls == 3
    assert clock.now < 1002


@pytest.mark.parametrize("failure", [LOST, SLOW, error("InternalError", 500), error("AccessDenied", 403)])
def test_no_attempt_begins_that_might_end_past_the_deadline(failure: Exception) -> None:
    client, clock = ScriptedClient(failure), FakeClock()
    with pytest.raises(QueueUnavailableError):
        queue_of(client, clock).send([message()], clock.now + 3)
    assert client.calls > 1
    assert clock.now <= 1002


@pytest.mark.parametrize(
    "code", ["InvalidMessageContents", "AWS.SimpleQueueService.BatchRequestTooLong", "InvalidParameterValue"]
)
def test_a_call_that_is_refused_is_not_made_again(code: str) -> None:
    client, clock = ScriptedClient(error(code)), FakeClock()
    with pytest.raises(MessageRefusedError, match=code):
        queue_of(client, clock).send([message(), message()], clock.now + 10)
    assert client.calls == 1


def test_each_entry_has_its_own_result_whatever_the_order_of_the_reply() -> None:
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


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    stub = AwsStub()
    yield stub
    stub.close()


def client_of(url: str, credentials: Credentials | None = Credentials("testing", "testing")) -> SqsClient:  # noqa: B008
    return SqsClient(url, "eu-central-1", lambda: credentials, ca_certs="", connect=1, read=0.5)


def send_by(client: SendsBatches) -> Any:
    entry: Any = _entry(0, message('{"n": "\U0001f4ee"}'))
    return client.send_message_batch(QueueUrl="https://sqs/1/emails", Entries=[entry])


def test_our_client_sends_what_boto3_sends(stub: AwsStub) -> None:
    """The same request to the same path, and a signature over at least what boto3 signs."""
    theirs = boto3.client(
        "sqs",
        region_name="eu-central-1",
        endpoint_url=stub.url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    replies = [send_by(client) for client in (theirs, client_of(stub.url))]
    assert replies[0]["Successful"] == replies[1]["Successful"]
    boto3s, ours = stub.requests
    assert (boto3s.line, json.loads(boto3s.body)) == (ours.line, json.loads(ours.body))
    for name in ("Host", "Content-Type", "X-Amz-Target", "x-amzn-query-mode"):
        assert boto3s.headers[name] == ours.headers[name]
    signed = [r.headers["Authorization"].partition("SignedHeaders=")[2].split(",")[0] for r in (boto3s, ours)]
    assert signed[0] == signed[1]
    assert boto3s.headers["Authorization"].split("/")[1:4] == ours.headers["Authorization"].split("/")[1:4]


def test_our_client_reports_an_error_under_the_name_that_boto3_gives_it(stub: AwsStub) -> None:
    stub.sqs = lambda: (400, "QueueDoesNotExist")
    with pytest.raises(ClientError, match="QueueDoesNotExist"):
        send_by(client_of(stub.url))


@pytest.mark.parametrize(
    ("delay_seconds", "outcome", "error"), [(2, None, ReadTimeoutError), (0, DROP, ConnectionClosedError)]
)
def test_our_client_raises_botocores_errors(
    stub: AwsStub, delay_seconds: float, outcome: str | None, error: type[Exception]
) -> None:
    stub.delay_seconds, stub.sqs = delay_seconds, lambda: outcome
    with pytest.raises(error):
        send_by(client_of(stub.url))


def test_our_client_says_when_nobody_listens_or_no_credentials_are_found() -> None:
    with pytest.raises(EndpointConnectionError):
        send_by(client_of("http://127.0.0.1:1"))
    with pytest.raises(NoCredentialsError):
        send_by(client_of("http://127.0.0.1:1", None))
