"""The SQS adapter against moto."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError

from service2_consumer.ports import QueueError
from service2_consumer.sqs import SqsQueue, open_queue

from .conftest import REGION, Aws
from .told_server import Reply, ToldServer, answer, cut


@pytest.fixture
def url(aws: Aws) -> Iterator[str]:
    url = aws.new_queue(f"emails-{uuid.uuid4()}")
    yield url
    aws.sqs.delete_queue(QueueUrl=url)


def opened(aws: Aws, url: str, visibility_seconds: int = 60) -> SqsQueue:
    return open_queue(aws.session, url, lanes=1, batch=10, visibility_seconds=visibility_seconds)


def send(aws: Aws, url: str, body: str = "body", **attributes: str) -> None:
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
    )


def test_a_received_message_has_body_attributes_time_and_count(aws: Aws, url: str) -> None:
    send(aws, url, "ünï", source="service1-api", unknown="left out")
    (message,) = opened(aws, url).receive(0)
    assert (message.body, message.attributes["source"], message.receive_count) == ("ünï", "service1-api", 1)
    assert message.sent_at.tzinfo


def test_an_attribute_that_is_no_string_is_left_out(aws: Aws, url: str) -> None:
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody="body",
        MessageAttributes={"source": {"DataType": "Binary", "BinaryValue": b"\xff"}},
    )
    (message,) = opened(aws, url).receive(0)
    assert message.attributes == {}


def test_a_receive_hides_messages_and_releasing_shows_them(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    send(aws, url)
    (message,) = queue.receive(0)
    assert queue.receive(0) == []
    assert queue.change_visibility([message.receipt], 0) == []
    assert [m.receive_count for m in queue.receive(0)] == [2]


def test_more_messages_than_a_call_takes_are_deleted_in_several(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    for number in range(25):
        send(aws, url, str(number))
    receipts = [m.receipt for _ in range(5) for m in queue.receive(0)]
    assert len(receipts) == 25
    assert queue.delete(receipts) == []
    assert queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_receipts_that_sqs_does_not_accept_are_named(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    send(aws, url)
    (message,) = queue.receive(0)
    assert queue.delete(["no-receipt", message.receipt]) == ["no-receipt"]
    assert queue.change_visibility(["no-receipt"], 5) == ["no-receipt"]


def test_a_call_that_fails_as_a_whole_fails_each_receipt(aws: Aws, url: str) -> None:
    queue = opened(aws, f"{url}-gone")
    assert queue.delete(["a", "b"]) == ["a", "b"]
    assert queue.change_visibility(["a"], 0) == ["a"]


def test_a_queue_that_is_gone_is_an_error_with_its_code(aws: Aws, url: str) -> None:
    queue = opened(aws, f"{url}-gone")
    with pytest.raises(QueueError, match=r"NonExistentQueue|QueueDoesNotExist"):
        queue.receive(0)
    with pytest.raises(QueueError):
        queue.depth()


def test_nobody_listening_is_an_error(aws: Aws) -> None:
    queue = opened(aws, "http://127.0.0.1:1/000000000000/q")
    with pytest.raises(QueueError, match="NewConnectionError"):
        queue.receive(0)


# ---- a server that answers as told ----------------------------------------------------------------------------------

OK = answer(200, "{}")


def told(server: ToldServer, aws: Aws, *replies: Reply) -> SqsQueue:
    server.replies["POST"] = list(replies)
    return opened(aws, f"{server.url}/000000000000/q")


@pytest.mark.parametrize(
    "trouble",
    [answer(500, "{}"), answer(503, "<html>"), answer(400, '{"__type":"com.amazonaws.sqs#RequestThrottled"}'), cut],
)
def test_a_delete_is_asked_again_when_sqs_stumbles(server: ToldServer, aws: Aws, trouble: Reply) -> None:
    queue = told(server, aws, trouble, trouble, OK)
    assert queue.delete(["receipt"]) == []
    assert len(server.asked) == 3


def test_a_receive_is_asked_once_for_a_lost_answer_has_hidden_its_messages(server: ToldServer, aws: Aws) -> None:
    queue = told(server, aws, answer(500, "{}"), OK)
    with pytest.raises(QueueError, match="HTTP 500"):
        queue.receive(0)
    assert queue.receive(0) == []


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (answer(400, '{"__type":"com.amazonaws.sqs#ExpiredToken","message":"m"}'), "ExpiredToken"),
        (answer(403, '{"__type":"AccessDenied"}'), "AccessDenied"),
        (answer(502, ""), "HTTP 502"),
        (answer(200, "{"), "JSONDecodeError"),
        (cut, "ProtocolError"),
    ],
)
def test_an_error_has_the_code_that_sqs_gave(server: ToldServer, aws: Aws, reply: Reply, cause: str) -> None:
    with pytest.raises(QueueError) as caught:
        told(server, aws, reply).receive(0)
    assert caught.value.cause == cause


def test_each_call_is_signed_for_sqs(server: ToldServer, aws: Aws) -> None:
    told(server, aws, OK).receive(0)
    (method, _, headers) = server.asked[0]
    assert (method, headers["X-Amz-Target"]) == ("POST", "AmazonSQS.ReceiveMessage")
    assert "/eu-central-1/sqs/aws4_request" in headers["Authorization"]


class FoundCredentials:
    """A chain of credential providers that has found some."""

    def __init__(self, credentials: RefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> RefreshableCredentials:
        return self._credentials


def test_credentials_that_cannot_be_had_are_an_error_of_the_queue(
    server: ToldServer,
) -> None:
    def refresh() -> dict[str, str]:
        raise CredentialRetrievalError(provider="test", error_msg="down")

    core = botocore.session.Session()
    expired = RefreshableCredentials("k", "s", "t", datetime.now(UTC) - timedelta(1), refresh, "test")
    core.register_component("credential_provider", FoundCredentials(expired))
    session = boto3.Session(botocore_session=core, region_name=REGION)
    queue = open_queue(session, f"{server.url}/000000000000/q", lanes=1, batch=1, visibility_seconds=3)
    with pytest.raises(QueueError, match="CredentialRetrievalError"):
        queue.receive(0)


def test_an_endpoint_of_its_own_takes_the_calls_of_a_queue_elsewhere(server: ToldServer, aws: Aws) -> None:
    server.replies["POST"] = [OK]
    url = "https://sqs.eu-central-1.amazonaws.com/000000000000/emails"
    queue = open_queue(aws.session, url, lanes=1, batch=1, visibility_seconds=3, endpoint_url=server.url)
    assert queue.receive(0) == []
