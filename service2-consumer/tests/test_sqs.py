"""The SQS adapter against moto."""

import contextlib
import functools
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.session import new_session
from pillarbox_aws.sqs_client import SqsError, open_client
from service2_consumer.ports import QueueError
from service2_consumer.sqs import SqsQueue

from .conftest import REGION, Aws
from .scripted_server import Reply, ScriptedServer, answer, cut


@pytest.fixture
def url(aws: Aws) -> Iterator[str]:
    url = aws.new_queue(f"emails-{uuid.uuid4()}")
    yield url
    aws.sqs.delete_queue(QueueUrl=url)


@functools.cache
def shared_session() -> tuple[botocore.session.Session, SessionCredentials]:
    """Return a session and its credentials: making them costs more than a test."""
    credentials = SessionCredentials(lambda: Credentials("test", "test"))
    credentials.start()
    return new_session(REGION), credentials


def opened(_aws: Aws, url: str) -> SqsQueue:
    session, credentials = shared_session()
    client = open_client(session, credentials, url, environ={}, user_agent="test", connections=1, connect_seconds=2)
    return SqsQueue(client, url, batch=10, visibility_seconds=60)


def send(aws: Aws, url: str, body: str = "body", **attributes: str) -> None:
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
    )


def test_received_message_has_body_attributes_time_and_count(aws: Aws, url: str) -> None:
    send(aws, url, "ünï", source="service1-api", unknown="left out")
    (message,) = opened(aws, url).receive(0)
    assert (message.body, message.attributes["source"], message.receive_count) == ("ünï", "service1-api", 1)
    assert message.sent_at.tzinfo


def test_received_message_has_its_trace(aws: Aws, url: str) -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody="body",
        MessageAttributes={"tracestate": {"DataType": "String", "StringValue": "vendor=1"}},
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": header}},
    )
    send(aws, url)
    traced, untraced = sorted(opened(aws, url).receive(0), key=lambda message: not message.trace_header)
    assert (traced.trace_header, traced.attributes["tracestate"]) == (header, "vendor=1")
    assert untraced.trace_header == ""


def test_non_string_attribute_is_omitted(aws: Aws, url: str) -> None:
    aws.sqs.send_message(
        QueueUrl=url,
        MessageBody="body",
        MessageAttributes={"source": {"DataType": "Binary", "BinaryValue": b"\xff"}},
    )
    (message,) = opened(aws, url).receive(0)
    assert message.attributes == {}


def test_receive_hides_messages_and_release_shows_them(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    send(aws, url)
    (message,) = queue.receive(0)
    assert queue.receive(0) == []
    assert queue.change_visibility([message.receipt], 0) == []
    assert [m.receive_count for m in queue.receive(0)] == [2]


def test_delete_removes_ten_messages_in_one_call(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    for number in range(10):
        send(aws, url, str(number))
    receipts = [m.receipt for _ in range(5) for m in queue.receive(0)]
    assert len(receipts) == 10
    assert queue.delete(receipts) == []
    assert queue.depth() == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_rejected_receipts_are_returned(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    send(aws, url)
    (message,) = queue.receive(0)
    assert queue.delete(["no-receipt", message.receipt]) == ["no-receipt"]
    assert queue.change_visibility(["no-receipt"], 5) == ["no-receipt"]


def test_failed_call_returns_every_receipt(aws: Aws, url: str) -> None:
    queue = opened(aws, f"{url}-gone")
    assert queue.delete(["a", "b"]) == ["a", "b"]
    assert queue.change_visibility(["a"], 0) == ["a"]


def test_missing_queue_raises_with_its_code(aws: Aws, url: str) -> None:
    queue = opened(aws, f"{url}-gone")
    with pytest.raises(QueueError, match=r"NonExistentQueue|QueueDoesNotExist"):
        queue.receive(0)
    with pytest.raises(QueueError):
        queue.depth()


def test_dead_letters_are_counted_in_the_queue_that_the_redrive_policy_names(aws: Aws, url: str) -> None:
    queue = opened(aws, url)
    assert queue.dead_letters() is None  # without a redrive policy there is no such queue
    dead_url = aws.new_queue(f"{url.rpartition('/')[2]}-dlq")
    arn = aws.sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "3"})
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    assert queue.dead_letters() == 0
    for _ in range(2):
        send(aws, dead_url)
    aws.sqs.receive_message(QueueUrl=dead_url, VisibilityTimeout=60)  # an operator who looks at one hides it
    assert queue.dead_letters() == 2
    aws.sqs.delete_queue(QueueUrl=dead_url)
    with pytest.raises(QueueError):
        queue.dead_letters()


def test_refused_connection_raises(aws: Aws) -> None:
    queue = opened(aws, "http://127.0.0.1:1/000000000000/q")
    with pytest.raises(QueueError, match="NewConnectionError"):
        queue.receive(0)


# ---- a server with scripted answers ----------------------------------------------------------------------------------

OK = answer(200, '{"Successful": [{"Id": "0"}]}')
NONE = answer(200, "{}")


def scripted(server: ScriptedServer, aws: Aws, *replies: Reply) -> SqsQueue:
    server.replies["POST"] = list(replies)
    return opened(aws, f"{server.url}/000000000000/q")


@pytest.mark.parametrize(
    "failure",
    [answer(500, "{}"), answer(503, "<html>"), answer(400, '{"__type":"com.amazonaws.sqs#RequestThrottled"}'), cut],
)
def test_delete_is_retried_after_transient_errors(server: ScriptedServer, aws: Aws, failure: Reply) -> None:
    queue = scripted(server, aws, failure, failure, OK)
    assert queue.delete(["receipt"]) == []
    assert len(server.asked) == 3


def test_receive_is_not_retried(server: ScriptedServer, aws: Aws) -> None:
    queue = scripted(server, aws, answer(500, "{}"), NONE)
    with pytest.raises(QueueError, match="HTTP 500"):
        queue.receive(0)
    assert queue.receive(0) == []


def message_entry(**changed: object) -> dict[str, object]:
    """Return a message in the form of SQS; a field set to None is omitted."""
    entry: dict[str, object] = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "b",
        "Attributes": {"SentTimestamp": "1765376000000", "ApproximateReceiveCount": "1"},
    }
    return {name: value for name, value in {**entry, **changed}.items() if value is not None}


class ScriptedClient:
    """An SQS client that always returns the same reply."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self.reply = reply

    def call(self, action: str, payload: Mapping[str, object], *, read_seconds: float) -> dict[str, Any]:
        return self.reply


def queue_of(reply: dict[str, Any]) -> SqsQueue:
    return SqsQueue(ScriptedClient(reply), "https://sqs/1/emails", batch=10, visibility_seconds=60)


MISSHAPEN = [
    message_entry(MessageId=None),
    message_entry(ReceiptHandle=None),
    message_entry(Body=7),
    message_entry(Attributes=None),
    message_entry(Attributes=[]),
    message_entry(Attributes={"SentTimestamp": "soon", "ApproximateReceiveCount": "1"}),
    message_entry(Attributes={"SentTimestamp": "9" * 19, "ApproximateReceiveCount": "1"}),
    message_entry(Attributes={"SentTimestamp": "9" * 5000, "ApproximateReceiveCount": "1"}),
    message_entry(Attributes={"SentTimestamp": "1765376000000"}),
]


@pytest.mark.parametrize("entry", MISSHAPEN, ids=range(len(MISSHAPEN)))
def test_malformed_message_is_omitted_and_raises_if_alone(entry: dict[str, object]) -> None:
    with pytest.raises(QueueError, match="MalformedReply"):
        queue_of({"Messages": [entry]}).receive(0)
    (message,) = queue_of({"Messages": [entry, message_entry()]}).receive(0)
    assert message.receipt == "r"


def test_numbers_are_accepted_as_numbers_or_strings() -> None:
    entry = message_entry(
        Attributes={"SentTimestamp": 1765376000000, "ApproximateReceiveCount": 2},
        MessageAttributes={"source": {"StringValue": "s"}, "odd": None, "number": {"StringValue": 3}},
    )
    (message,) = queue_of({"Messages": [entry]}).receive(0)
    assert (message.receive_count, message.attributes) == (2, {"source": "s"})


@pytest.mark.parametrize("attributes", [None, [], {}, {"ApproximateNumberOfMessages": "many"}], ids=str)
def test_malformed_depth_raises(attributes: object) -> None:
    with pytest.raises(QueueError, match="MalformedReply"):
        queue_of({"Attributes": attributes}).depth()


@pytest.mark.parametrize("policy", ["no JSON", "[]", '"text"', 7], ids=str)
def test_malformed_redrive_policy_raises(policy: object) -> None:
    with pytest.raises(QueueError, match="MalformedReply"):
        queue_of({"Attributes": {"RedrivePolicy": policy}}).dead_letters()


def test_unconfirmed_receipt_is_returned_as_failed() -> None:
    assert queue_of({"Successful": [{"Id": "1"}]}).delete(["a", "b"]) == ["a"]
    assert queue_of({"Successful": "all"}).change_visibility(["a", "b"], 0) == ["a", "b"]


names = st.text(max_size=4) | st.sampled_from(
    ["Id", "Code", "MessageId", "ReceiptHandle", "Body", "Attributes", "StringValue"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
system_attributes = st.dictionaries(st.sampled_from(["SentTimestamp", "ApproximateReceiveCount"]), json_values)
nearly_messages = st.builds(
    lambda a, b: message_entry(Attributes=a, MessageAttributes=b), system_attributes, json_values
)
fields = st.sampled_from(["Messages", "Successful", "Failed", "Attributes"])


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(fields, json_values | st.lists(json_values | nearly_messages, max_size=4)))
def test_any_json_reply_raises_queue_error_or_returns_a_result(reply: dict[str, Any]) -> None:
    queue = queue_of(reply)
    for ask in (lambda: queue.receive(0), queue.depth, queue.dead_letters):
        with contextlib.suppress(QueueError):
            ask()
    assert set(queue.delete(["a", "b"])) <= {"a", "b"}


def test_client_error_raises_queue_error_with_the_same_cause(server: ScriptedServer, aws: Aws) -> None:
    denied = answer(403, '{"__type":"AccessDenied"}')
    with pytest.raises(QueueError, match="AccessDenied") as caught:
        scripted(server, aws, denied).receive(0)
    assert isinstance(caught.value.__cause__, SqsError)
