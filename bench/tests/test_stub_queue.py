"""The queue of the stub: receipts, visibility timeouts and long polls as in SQS."""

import asyncio
from typing import Any

from bench.stub_queue import Queue


def receive(queue: Queue, count: int = 10, **parameters: float) -> list[Any]:
    reply = asyncio.run(queue.receive({"MaxNumberOfMessages": count, **parameters}))
    messages: Any = reply.get("Messages", [])
    return list(messages)


def filled(*bodies: str) -> Queue:
    queue = Queue()
    queue.fill(bodies)
    return queue


def test_messages_have_the_attributes_of_the_api() -> None:
    (message,) = receive(filled("{}"))
    assert message["Body"] == "{}"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert {"message_id", "source", "traceparent"} <= set(message["MessageAttributes"])


def test_received_message_is_hidden_until_its_timeout_ends() -> None:
    queue = filled("{}")
    (first,) = receive(queue, VisibilityTimeout=300)
    assert receive(queue) == []
    queue.change_visibility_batch(
        {"Entries": [{"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 0}]}
    )
    (second,) = receive(queue)
    assert second["MessageId"] == first["MessageId"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"


def test_only_the_latest_receipt_deletes() -> None:
    queue = filled("{}")
    (first,) = receive(queue, VisibilityTimeout=0)
    (second,) = receive(queue, VisibilityTimeout=300)
    queue.delete({"ReceiptHandle": first["ReceiptHandle"]})
    assert queue.deleted == 0
    reply = queue.delete_batch({"Entries": [{"Id": "7", "ReceiptHandle": second["ReceiptHandle"]}]})
    assert (reply, queue.deleted) == ({"Successful": [{"Id": "7"}], "Failed": []}, 1)


def test_receive_returns_at_most_the_requested_number() -> None:
    queue = filled("1", "2", "3")
    assert [message["Body"] for message in receive(queue, 2)] == ["1", "2"]
    assert queue.attributes()["Attributes"] == {
        "ApproximateNumberOfMessages": "1",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "ApproximateNumberOfMessagesDelayed": "0",
    }


def test_long_poll_ends_when_a_message_arrives() -> None:
    async def poll() -> dict[str, object]:
        queue = Queue()
        waiting = asyncio.create_task(queue.receive({"MaxNumberOfMessages": 1, "WaitTimeSeconds": 60}))
        await asyncio.sleep(0)
        queue.fill(["{}"])
        return await waiting

    assert len(list(asyncio.run(poll())["Messages"])) == 1  # type: ignore[call-overload]  # the reply is any JSON
