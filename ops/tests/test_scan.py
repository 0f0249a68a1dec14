from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pillarbox_ops import reasons, scan
from pillarbox_ops.scan import Scan, chunks, results_of

from .pipelines import Pipeline


def _scan(pipeline: Pipeline, **options: Any) -> Scan:
    return Scan(pipeline.sqs, pipeline.dlq_url, reasons.of_email, **{"hold_seconds": 60, **options})


def _send(pipeline: Pipeline, *bodies: str) -> None:
    for body in bodies:
        pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody=body)


def _visible(pipeline: Pipeline) -> int:
    names = ["ApproximateNumberOfMessages"]
    found = pipeline.sqs.get_queue_attributes(QueueUrl=pipeline.dlq_url, AttributeNames=names)["Attributes"]
    return int(found["ApproximateNumberOfMessages"])


def test_each_message_is_given_once_and_hidden_until_the_end(pipeline: Pipeline) -> None:
    bodies = [str(number) for number in range(23)]
    _send(pipeline, *bodies)
    with _scan(pipeline) as looked:
        assert sorted(letter.body for letter in looked) == sorted(bodies)
        assert _visible(pipeline) == 0
        assert list(looked) == []
    assert _visible(pipeline) == 23


def test_a_message_that_shows_again_meanwhile_is_given_once(pipeline: Pipeline) -> None:
    _send(pipeline, "one", "two")
    given = []
    with _scan(pipeline, hold_seconds=0) as looked:
        for letter in looked:
            given.append(letter.body)
            looked._hold_seconds = 60  # the messages of the first receive show at once
    assert sorted(given) == ["one", "two"]
    assert _visible(pipeline) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_was_looked_at_is_shown_again_after_an_error_and_an_interrupt(
    pipeline: Pipeline, error: type[BaseException]
) -> None:
    _send(pipeline, *map(str, range(12)))

    def look() -> None:
        with _scan(pipeline) as looked:
            for _ in looked:
                raise error

    with pytest.raises(error):
        look()
    assert _visible(pipeline) == 12


def test_what_is_deleted_is_gone_and_the_rest_is_shown_again(pipeline: Pipeline) -> None:
    _send(pipeline, *map(str, range(25)))
    with _scan(pipeline) as looked:
        letters = list(looked)
        assert looked.delete(letters[:13]) == {}
    assert _visible(pipeline) == 12


def test_a_delete_that_fails_names_the_message(pipeline: Pipeline) -> None:
    _send(pipeline, "x")
    with _scan(pipeline) as looked:
        (letter,) = looked
        looked._held[letter.sqs_message_id].receipt = "another"
        assert looked.delete([letter]) == {letter.sqs_message_id: "ReceiptHandleIsInvalid"}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class _Sqs:
    """Notes the visibility timeouts that it is asked for, and refuses them at first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.refuses = True

    def receive_message(self, **_options: Any) -> dict[str, Any]:
        return {"Messages": [{"MessageId": "a", "ReceiptHandle": "receipt", "Body": "x"}]}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.refuses:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "ChangeMessageVisibilityBatch")
        self.asked += [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in Entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


@pytest.fixture
def held() -> Iterator[tuple[Scan, _Sqs, _Clock]]:
    sqs, clock = _Sqs(), _Clock()
    with Scan(sqs, "url", reasons.of_email, hold_seconds=60, clock=clock) as looked:  # type: ignore[arg-type]
        next(iter(looked))
        yield looked, sqs, clock


def test_the_time_is_extended_in_its_second_half(held: tuple[Scan, _Sqs, _Clock]) -> None:
    looked, sqs, clock = held
    sqs.refuses = False
    clock.now = 29
    looked.extend()
    assert sqs.asked == []
    clock.now = 31
    looked.extend()
    looked.extend()
    assert sqs.asked == [("receipt", 60)]


def test_an_extension_that_fails_is_tried_again(held: tuple[Scan, _Sqs, _Clock]) -> None:
    looked, sqs, clock = held
    clock.now = 31
    looked.extend()
    sqs.refuses = False
    looked.extend()
    assert sqs.asked == [("receipt", 60)]


def test_a_scan_that_holds_all_that_sqs_gives_says_so(
    held: tuple[Scan, _Sqs, _Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not held[0].is_full
    monkeypatch.setattr(scan, "MAX_HELD", 1)
    assert held[0].is_full


def test_a_batch_reply_has_a_code_for_each_entry() -> None:
    reply = {"Successful": [{"Id": "2"}], "Failed": [{"Id": "0", "Code": "InternalError"}]}
    assert results_of(reply, 3) == ["InternalError", "not_confirmed", ""]


def test_chunks_keep_order_and_lose_nothing() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
