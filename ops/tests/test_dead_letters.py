import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pillarbox_ops.app import App
from pillarbox_ops.dead_letters import DeadLetter, DeadLetterQueue, Selection, entry_of, letter_of
from pillarbox_ops.errors import OpsError
from pillarbox_ops.output import Output
from pillarbox_ops.reasons import Verdict

from .pipelines import Pipeline

SENT_AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"
BINARY = {"DataType": "Binary.jpg", "BinaryValue": b"\x00\xff"}


def _letter(**changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "sqs_message_id": "SQS-1",
        "body": "é",
        "attributes": {"message_id": {"DataType": "String", "StringValue": ID.upper()}, "b": BINARY},
        "sent_at": SENT_AT,
        "receives": 11,
        "verdict": Verdict("redrivable", "Jane@Example.com"),
    }
    return DeadLetter(**fields | changes)


def _app(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, **variables: str) -> App:
    for name, value in (pipeline.environment | variables).items():
        monkeypatch.setenv(name, value)
    return App(Output("jsonl"))


def test_a_row_says_what_it_is_without_its_content() -> None:
    assert _letter().row(SENT_AT + timedelta(hours=1)) == {
        "message_id": ID,
        "sqs_message_id": "SQS-1",
        "sent_at": SENT_AT,
        "age_seconds": 3600,
        "receives": 11,
        "reason": "redrivable",
        "about": "Jane@Example.com",
        "size": 2 + len("message_id" + "String") + 36 + len("b" + "Binary.jpg") + 2,
    }


def test_the_size_of_any_body_is_counted() -> None:
    assert _letter(body="\ud800", attributes={}).size == 3


@pytest.mark.parametrize("text", ["", "no-id", "019b0a3c-8b8e-4c3a-9a51-0f2d4c6e8a10"])
def test_an_attribute_that_is_no_id_gives_none(text: str) -> None:
    assert _letter(attributes={"message_id": {"DataType": "String", "StringValue": text}}).message_id is None
    assert _letter(attributes={"message_id": BINARY}).message_id is None


def test_its_repr_shows_no_content() -> None:
    assert repr(_letter(body="secret")) == "DeadLetter(sqs_message_id='SQS-1', reason='redrivable')"


@pytest.mark.parametrize(
    ("selection", "accepted"),
    [
        (Selection(), True),
        (Selection(reasons=("redrivable", "too_deep")), True),
        (Selection(reasons=("too_deep",)), False),
        (Selection(senders=("jane@",)), True),
        (Selection(senders=("john",)), False),
        (Selection(ids=(ID.upper(),)), True),
        (Selection(ids=("sqs-1",)), True),
        (Selection(ids=("sqs-2",)), False),
        (Selection(sent_before=SENT_AT + timedelta(seconds=1)), True),
        (Selection(sent_before=SENT_AT), False),
        (Selection(reasons=("redrivable",), senders=("john",)), False),
    ],
)
def test_all_conditions_of_a_selection_must_hold(selection: Selection, *, accepted: bool) -> None:
    assert selection.accepts(_letter()) is accepted


def test_a_selection_without_conditions_is_empty() -> None:
    assert not Selection()
    assert Selection(ids=("a",))


def test_body_and_attributes_survive_the_way_through_sqs(pipeline: Pipeline) -> None:
    sent = _letter(body='\u202e "', attributes={"b": BINARY, "n": {"DataType": "Number.x", "StringValue": "1"}})
    entries: Any = [entry_of(sent, sent.attributes, 0)]
    pipeline.sqs.send_message_batch(QueueUrl=pipeline.queue_url, Entries=entries)
    found = pipeline.sqs.receive_message(QueueUrl=pipeline.queue_url, MessageAttributeNames=["All"])["Messages"][0]
    received = letter_of(found, lambda _body, _attributes: Verdict("x"))
    assert (received.body, received.attributes) == (sent.body, sent.attributes)


def test_the_trace_header_is_sent_as_the_system_attribute_that_it_was() -> None:
    entry = entry_of(_letter(trace_header="Root=1"), {}, 0)
    assert entry["MessageSystemAttributes"] == {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}
    assert "MessageAttributes" not in entry


def test_a_message_is_read_with_its_time_and_its_receives() -> None:
    system = {"SentTimestamp": "1763632800123", "ApproximateReceiveCount": "11", "AWSTraceHeader": "Root=1"}
    attributes = {"tenant": {"DataType": "String", "StringValue": "a"}, "b": BINARY}
    judged: list[Any] = []

    def judge(body: str, attributes: Any) -> Verdict:
        judged.append((body, attributes))
        return Verdict("x")

    entry: Any = {"MessageId": "m", "Body": "body", "Attributes": system, "MessageAttributes": attributes}
    letter = letter_of(entry, judge)
    assert letter.sent_at == datetime(2025, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)
    assert (letter.receives, letter.trace_header) == (11, "Root=1")
    assert judged == [("body", {"tenant": "a"})]


def test_the_queue_of_a_target_judges_with_its_buckets(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _app(pipeline, monkeypatch, FILES_DLQ_URL="http://files", INBOX_BUCKET_NAME="inbox")
    emails, files = DeadLetterQueue.of(app), DeadLetterQueue.of(app, files=True)
    assert (emails.url, emails.source_url, files.url) == (pipeline.dlq_url, pipeline.queue_url, "http://files")
    assert emails.judge("[]", {}).reason == "not_an_email"
    assert files.judge("[]", {}).reason == "not_an_event"


def test_a_queue_that_is_not_known_is_named(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OpsError, match="FILES_DLQ_URL is not set"):
        DeadLetterQueue.of(_app(pipeline, monkeypatch, FILES_DLQ_URL=""), files=True)


def test_the_count_has_what_is_hidden(new_pipeline: Callable[[], Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = new_pipeline()
    for number in range(3):
        pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody=json.dumps(number))
    queue = DeadLetterQueue.of(_app(pipeline, monkeypatch))
    with queue.scan() as scan:
        next(iter(scan))
        assert queue.count() == 3
        assert queue.hidden() == 3
