"""SQS as the queue: what arrives there, and what its errors mean."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from moto import mock_aws

from service1_api.publisher import Message, MessageRefusedError, PublishError, QueueUnavailableError
from service1_api.sqs import SqsQueue

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
