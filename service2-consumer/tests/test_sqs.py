"""The SQS adapter against moto."""

import uuid
from collections.abc import Iterator

import pytest

from service2_consumer.ports import QueueError
from service2_consumer.sqs import SqsQueue, open_queue

from .conftest import Aws


@pytest.fixture
def url(aws: Aws) -> Iterator[str]:
    url = aws.new_queue(f"emails-{uuid.uuid4()}")
    yield url
    aws.sqs.delete_queue(QueueUrl=url)


def opened(aws: Aws, url: str, visibility_seconds: int = 60) -> SqsQueue:
    return open_queue(aws.session, url, lanes=1, batch=10, long_poll_seconds=1, visibility_seconds=visibility_seconds)


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


def test_nobody_listening_is_an_error(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    queue = opened(aws, "http://127.0.0.1:1/000000000000/q")
    with pytest.raises(QueueError, match="EndpointConnectionError"):
        queue.receive(0)
