import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pillarbox.ids import parse_message_id, time_of
from pillarbox_ops import reasons
from pillarbox_ops.dead_letters import DeadLetter, attributes_size
from pillarbox_ops.pace import Pace
from pillarbox_ops.reasons import Verdict
from pillarbox_ops.redrive import (
    EndedTask,
    Moved,
    Sender,
    attributes_to_send,
    derived_id,
    move,
    packs,
    start_move_task,
    wait_for_task,
)
from pillarbox_ops.scan import Scan

from .pipelines import Pipeline

SENT_AT = datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)
ID: dict[str, Any] = {"message_id": {"DataType": "String", "StringValue": "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"}}
FULL = 1024 * 1024


def _letter(name: str = "m", body: str = "x", **attributes: Any) -> DeadLetter:
    return DeadLetter(name, body, attributes, SENT_AT, 1, Verdict("redrivable"))


def _text(text: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": text}


class Queue:
    """SQS that answers a batch as it is told; by default it takes everything."""

    def __init__(self, *answers: dict[str, str] | str) -> None:
        self.answers = list(answers)
        self.batches: list[list[dict[str, Any]]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.batches.append(Entries)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, str):
            raise ClientError({"Error": {"Code": answer}}, "SendMessageBatch")
        failed = [{"Id": number, "Code": code} for number, code in answer.items()]
        done = [{"Id": entry["Id"]} for entry in Entries if entry["Id"] not in answer]
        return {"Successful": done, "Failed": failed}

    @property
    def sent(self) -> list[list[str]]:
        return [[entry["MessageBody"] for entry in batch] for batch in self.batches]


def _sender(queue: Any) -> Sender:
    return Sender(queue, "url", Pace(None))


def test_a_message_with_an_id_is_sent_as_it_is() -> None:
    letter = _letter(**ID, b={"DataType": "Binary", "BinaryValue": b"\x00"})
    assert attributes_to_send(letter) is letter.attributes


def test_a_message_without_an_id_gets_the_same_one_for_each_copy() -> None:
    letter = _letter(tenant=_text("a"))
    sent = attributes_to_send(letter)
    assert sent == {"tenant": _text("a"), "message_id": _text(derived_id(letter))}
    assert parse_message_id(derived_id(letter)) == derived_id(_letter(body="other"))
    assert derived_id(letter) != derived_id(_letter("another"))
    assert time_of(derived_id(letter)) == SENT_AT


def test_an_id_that_is_none_is_replaced() -> None:
    letter = _letter(message_id=_text("order 66"))
    assert attributes_to_send(letter) == {"message_id": _text(derived_id(letter))}


def test_an_eleventh_attribute_is_not_added() -> None:
    attributes: dict[str, Any] = {str(number): _text("x") for number in range(9)}
    assert len(attributes_to_send(_letter(**attributes))) == 10
    full = _letter(**attributes, ten=_text("x"))
    assert attributes_to_send(full) is full.attributes


def test_a_message_is_not_made_larger_than_sqs_takes() -> None:
    room = attributes_size(attributes_to_send(_letter()))
    assert attributes_to_send(_letter(body="x" * (FULL - room)))
    assert not attributes_to_send(_letter(body="x" * (FULL - room + 1)))


def test_packs_keep_to_ten_messages_and_one_mib() -> None:
    letters = [_letter(str(n), **ID) for n in range(11)] + [_letter("big", "x" * (FULL - 100), **ID), _letter(**ID)]
    assert [len(pack) for pack in packs(letters)] == [10, 1, 1, 1]
    assert [letter for pack in packs(letters) for letter in pack] == letters
    without_id = [_letter(str(n), "x" * (FULL // 2 - 20)) for n in range(2)]
    assert [len(pack) for pack in packs(without_id)] == [1, 1]
    assert list(packs([])) == []


def test_the_failures_of_a_batch_are_told_by_message() -> None:
    queue = Queue({"1": "InternalError"})
    assert _sender(queue).send([_letter("a"), _letter("b"), _letter("c")]) == {"b": "InternalError"}


@pytest.mark.parametrize(
    "code", ["InvalidMessageContents", "AWS.SimpleQueueService.BatchRequestTooLong", "MissingParameter"]
)
def test_a_batch_that_is_refused_for_one_message_is_sent_one_by_one(code: str) -> None:
    queue = Queue(code, {}, code, {})
    assert _sender(queue).send([_letter("a", "1"), _letter("b", "2"), _letter("c", "3")]) == {"b": code}
    assert queue.sent == [["1", "2", "3"], ["1"], ["2"], ["3"]]


def test_a_queue_that_refuses_everything_ends_the_command() -> None:
    with pytest.raises(ClientError):
        _sender(Queue("AccessDenied")).send([_letter("a"), _letter("b")])


def test_the_rate_counts_messages() -> None:
    slept: list[float] = []
    sender = Sender(Queue(), "url", Pace(10, clock=lambda: 0.0, sleep=slept.append))  # type: ignore[arg-type]
    move([_letter(str(number)) for number in range(20)], sender, None, lambda _steps: None)
    assert slept == [1.0]


def _dead(pipeline: Pipeline, *bodies: str) -> None:
    for body in bodies:
        pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody=body)


def _scan(pipeline: Pipeline) -> Scan:
    return Scan(pipeline.sqs, pipeline.dlq_url, reasons.of_email, hold_seconds=60)


def _bodies(pipeline: Pipeline, url: str) -> list[str]:
    found = []
    while batch := pipeline.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [message["Body"] for message in batch]
    return sorted(found)


def test_a_moved_message_is_in_its_queue_only(pipeline: Pipeline) -> None:
    bodies = sorted(json.dumps(number) for number in range(13))
    _dead(pipeline, *bodies)
    steps: list[int] = []
    with _scan(pipeline) as looked:
        moved = move(looked, Sender(pipeline.sqs, pipeline.queue_url, Pace(None)), looked, steps.append)
    assert (moved, sum(steps)) == (Moved(moved=13), 13)
    assert _bodies(pipeline, pipeline.queue_url) == bodies
    assert _bodies(pipeline, pipeline.dlq_url) == []


def test_what_cannot_be_sent_stays(pipeline: Pipeline) -> None:
    _dead(pipeline, "a", "b", "c")
    with _scan(pipeline) as looked:
        letters = sorted(looked, key=lambda letter: letter.body)
        moved = move(letters, _sender(Queue({"1": "InternalError"})), looked, lambda _steps: None)
    assert moved == Moved(moved=2, failed={letters[1].sqs_message_id: "InternalError"})
    assert moved.codes == "InternalError (1)"
    assert _bodies(pipeline, pipeline.dlq_url) == ["b"]


def test_what_cannot_be_deleted_counts_as_failed(pipeline: Pipeline) -> None:
    _dead(pipeline, "a")
    with _scan(pipeline) as looked:
        (letter,) = looked
        looked._held[letter.sqs_message_id].receipt = "another"
        moved = move([letter], Sender(pipeline.sqs, pipeline.queue_url, Pace(None)), looked, lambda _steps: None)
    assert moved.codes == "sent, not deleted: ReceiptHandleIsInvalid (1)"


def test_a_kill_between_copy_and_delete_loses_nothing_and_the_copies_have_one_id(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    _dead(pipeline, "a", "b")

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    def moved(looked: Scan) -> Moved:
        return move(looked, Sender(pipeline.sqs, pipeline.queue_url, Pace(None)), looked, lambda _steps: None)

    def interrupted() -> None:
        with _scan(pipeline) as looked:
            monkeypatch.setattr(looked, "delete", killed)
            moved(looked)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with _scan(pipeline) as looked:
        assert moved(looked).moved == 2
    received = []
    while batch := pipeline.sqs.receive_message(
        QueueUrl=pipeline.queue_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
    ).get("Messages", []):
        received += batch
    ids = {(one["Body"], one["MessageAttributes"]["message_id"]["StringValue"]) for one in received}
    assert (len(received), len(ids)) == (4, 2)
    assert _bodies(pipeline, pipeline.dlq_url) == []


def test_messages_that_have_no_id_of_their_own_are_counted() -> None:
    full: dict[str, Any] = {str(number): _text("x") for number in range(10)}
    moved = move([_letter("a", **full), _letter("b", **ID), _letter("c")], _sender(Queue()), None, lambda _steps: None)
    assert (moved.moved, moved.without_id) == (3, 1)


class _Tasks:
    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.started: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []

    def list_message_move_tasks(self, **_options: Any) -> dict[str, Any]:
        state = self.states.pop(0)
        return {"Results": [state] if state else []}

    def get_queue_attributes(self, **_options: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn:dlq"}}

    def start_message_move_task(self, **options: Any) -> dict[str, str]:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "StartMessageMoveTask")
        self.started.append(options)
        return {"TaskHandle": "handle"}


@pytest.mark.parametrize(
    ("rate", "options"),
    [(None, {}), (1.5, {"MaxNumberOfMessagesPerSecond": 1}), (900.0, {"MaxNumberOfMessagesPerSecond": 500})],
)
def test_sqs_itself_moves_all_messages(rate: float | None, options: dict[str, int]) -> None:
    sqs: Any = _Tasks()
    assert start_move_task(sqs, "url", rate) == "handle"
    assert sqs.started == [{"SourceArn": "arn:dlq", **options}]


@pytest.mark.parametrize(
    "code", ["UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", "InvalidAction"]
)
def test_a_service_without_move_tasks_is_told_by_none(code: str) -> None:
    sqs: Any = _Tasks(code)
    assert start_move_task(sqs, "url", None) is None


def test_the_emulator_has_no_move_tasks(pipeline: Pipeline) -> None:
    assert start_move_task(pipeline.sqs, pipeline.dlq_url, None) is None


def test_another_refusal_of_a_move_task_is_an_error() -> None:
    sqs: Any = _Tasks("AccessDenied")
    with pytest.raises(ClientError):
        start_move_task(sqs, "url", None)


def test_a_move_task_is_followed_to_its_end() -> None:
    sqs: Any = _Tasks()
    failed = {"Status": "FAILED", "ApproximateNumberOfMessagesMoved": 3, "FailureReason": "AccessDenied"}
    sqs.states = [{"Status": "RUNNING"}, {"Status": "RUNNING"}, failed]
    slept: list[float] = []
    assert wait_for_task(sqs, "url", slept.append) == EndedTask("FAILED", 3, "AccessDenied")
    assert slept == [2, 2]


def test_a_move_task_that_is_not_listed_yet_is_waited_for() -> None:
    sqs: Any = _Tasks()
    sqs.states = [{}, {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 3}]
    slept: list[float] = []
    assert wait_for_task(sqs, "url", slept.append) == EndedTask("COMPLETED", 3, "")
    assert slept == [2]
