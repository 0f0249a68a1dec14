import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from pillarbox.message import MAX_MESSAGE_BYTES, Envelope, decode_body
from pillarbox.payload import pointer_in
from pillarbox_ops.pace import Pace
from pillarbox_ops.records import ArchivedEmail
from pillarbox_ops.replay import Outgoing, Replay, batches, outgoing
from pillarbox_ops.replay_journal import Journal

from .emails import email_of, example, id_at

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
METADATA = {"received_at": "2026-11-28T12:30:00.000Z", "source": "service1-api", "trace_id": TRACE}


class _Queue:
    """Takes batches; `outcomes` has a code for each id to refuse, once or for ever."""

    def __init__(self, refused: dict[str, tuple[str, bool]] | None = None, *, once: bool = False) -> None:
        self.calls: list[list[Any]] = []
        self.refused_body = ""
        self.error_code = "AWS.SimpleQueueService.MissingParameter"
        self._refused = refused or {}
        self._once = once

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> Any:  # noqa: N803  boto3's names
        self.calls.append(list(Entries))
        if self.refused_body and any(entry["MessageBody"] == self.refused_body for entry in Entries):
            raise ClientError({"Error": {"Code": self.error_code}}, "SendMessageBatch")
        reply: dict[str, list[Any]] = {"Successful": [], "Failed": []}
        for entry in Entries:
            message_id = entry["MessageAttributes"]["message_id"]["StringValue"]
            if message_id in self._refused:
                code, sender_fault = self._refused[message_id]
                reply["Failed"].append({"Id": entry["Id"], "Code": code, "SenderFault": sender_fault})
            else:
                reply["Successful"].append({"Id": entry["Id"]})
        if self._once:
            self._refused = {}
        return reply


def _emails(count: int, **fields: Any) -> list[ArchivedEmail]:
    return [email_of({"message_id": id_at(0, number)}, **fields) for number in range(count)]


def _replay(queue: _Queue, store: Any = None) -> tuple[Replay, list[float]]:
    pauses: list[float] = []
    journal = Journal(None, "url")
    sender = Replay(
        cast("Any", queue), "url", pace=Pace(None), journal=journal, store_payload=store, sleep=pauses.append
    )
    return sender, pauses


def test_a_message_is_the_one_that_the_api_writes() -> None:
    message = outgoing(email_of({"metadata": METADATA}))
    assert decode_body(message.body) == example()
    envelope = Envelope.from_attributes(message.attributes)
    assert envelope.message_id == id_at(0)
    assert message.attributes["received_at"] == "2026-11-28T12:30:00.000Z"
    assert message.attributes["source"] == "service1-api"
    assert message.attributes["traceparent"].startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    "record", [{}, {"metadata": {"trace_id": "0" * 32, "received_at": 5, "source": ""}}, {"metadata": None}]
)
def test_what_the_record_does_not_name_is_left_out(record: dict[str, Any]) -> None:
    assert outgoing(email_of(record)).attributes == {"message_id": id_at(0)}


def test_a_foreign_id_is_left_out_and_a_body_without_validation_is_unchanged() -> None:
    message = outgoing(email_of({"message_id": "5c1b2f0e-1111-4222-8333-444455556666", "email_data": 1, "body": "x"}))
    assert (message.attributes, message.body) == ({}, "x")


def test_a_batch_has_ten_messages_and_a_mebibyte_at_the_most() -> None:
    small = [Outgoing(str(number), "x" * 100, {}) for number in range(21)]
    assert [len(batch) for batch in batches(small)] == [10, 10, 1]
    large = [Outgoing("a", "x" * (MAX_MESSAGE_BYTES // 2), {}) for _ in range(3)]
    assert [len(batch) for batch in batches(large)] == [2, 1]
    assert [len(batch) for batch in batches([Outgoing("a", "x" * MAX_MESSAGE_BYTES, {})] * 2)] == [1, 1]


def test_what_sqs_fails_to_take_is_sent_again() -> None:
    queue = _Queue({id_at(0, 1): ("InternalError", False)}, once=True)
    sender, pauses = _replay(queue)
    sender.send(_emails(3), print)
    assert (sender.result.sent, sender.result.failed) == (3, 0)
    assert [len(call) for call in queue.calls] == [3, 1]
    assert pauses == [0.5]


@pytest.mark.parametrize(("sender_fault", "calls"), [(True, 1), (False, 4)])
def test_what_sqs_never_takes_is_counted_and_named(sender_fault: bool, calls: int) -> None:
    queue = _Queue({id_at(0, 1): ("Refused", sender_fault)})
    sender, _ = _replay(queue)
    notes: list[str] = []
    sender.send(_emails(3), notes.append)
    assert (sender.result.sent, sender.result.failed, len(queue.calls)) == (2, 1, calls)
    assert notes == [f"{id_at(0, 1)} was not sent: Refused"]


def test_a_batch_that_is_refused_for_one_message_is_sent_without_it() -> None:
    queue, notes = _Queue(), list[str]()
    queue.refused_body = "bad"
    sender, _ = _replay(queue)
    bodies = ["one", "bad", "two"]
    sender.send(
        [email_of({"message_id": id_at(0, n), "email_data": {}, "body": body}) for n, body in enumerate(bodies)],
        notes.append,
    )
    assert (sender.result.sent, sender.result.failed) == (2, 1)
    assert [len(call) for call in queue.calls] == [3, 1, 1, 1]
    assert notes == [f"{id_at(0, 1)} was not sent: AWS.SimpleQueueService.MissingParameter"]


def test_a_batch_that_is_refused_for_another_cause_ends_the_replay() -> None:
    queue = _Queue()
    queue.refused_body, queue.error_code = "one", "AccessDenied"
    sender, _ = _replay(queue)
    with pytest.raises(ClientError, match="AccessDenied"):
        sender.send([email_of({"email_data": {}, "body": "one"})], print)
    assert len(queue.calls) == 1


def test_a_large_email_goes_by_the_bucket() -> None:
    queue, stored = _Queue(), {}

    def store(key: str, payload: bytes) -> str:
        stored[key] = payload
        return "payloads-bucket"

    sender, _ = _replay(queue, store)
    sender.send(_emails(1, email_content="x" * MAX_MESSAGE_BYTES), print)
    ((entry,),) = queue.calls
    attributes = {name: value["StringValue"] for name, value in entry["MessageAttributes"].items()}
    pointer = pointer_in(entry["MessageBody"], attributes)
    assert pointer is not None
    assert pointer.bucket == "payloads-bucket"
    assert json.loads(stored[pointer.key])["email_subject"] == "A subject"
    assert pointer.size_bytes == len(stored[pointer.key])
    assert pointer.key.startswith(f"payloads/2026/11/28/{id_at(0)}/")
    assert entry["MessageAttributes"]["ExtendedPayloadSize"]["DataType"] == "Number"


def test_a_large_email_without_a_bucket_is_counted_and_the_others_are_sent() -> None:
    queue = _Queue()
    sender, _ = _replay(queue)
    notes: list[str] = []
    sender.send([*_emails(1, email_content="x" * MAX_MESSAGE_BYTES), *_emails(2)[1:]], notes.append)
    assert (sender.result.sent, sender.result.too_large) == (1, 1)
    assert "PAYLOAD_BUCKET is not set" in notes[0]


def test_a_replay_that_is_interrupted_goes_on_and_sends_none_twice(tmp_path: Path) -> None:
    class Interrupted(_Queue):
        def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> Any:  # noqa: N803  boto3's names
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().send_message_batch(QueueUrl=QueueUrl, Entries=Entries)

    def send(queue: _Queue) -> None:
        with Journal(tmp_path / "journal", "url") as journal:
            pace = Pace(None)
            sender = Replay(cast("Any", queue), "url", pace=pace, journal=journal, store_payload=None)
            sender.send(_emails(45), print)

    first, second = Interrupted(), _Queue()
    with pytest.raises(KeyboardInterrupt):
        send(first)
    send(second)
    sent = [
        entry["MessageAttributes"]["message_id"]["StringValue"] for q in (first, second) for c in q.calls for entry in c
    ]
    assert sent == [id_at(0, number) for number in range(45)]


def test_the_repr_of_a_message_does_not_show_the_email() -> None:
    assert "The content" not in repr(outgoing(email_of()))
