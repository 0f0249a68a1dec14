"""INTAKE=messages: e-mails in messages, and behind pointers."""

import pytest

from pillarbox.message import encode_body
from pillarbox.object_key import KeyTemplate
from pillarbox.payload import Pointer
from service2_consumer.intake.message_filter import MessageFilter
from service2_consumer.intake.messages import MessageIntake, PayloadStore
from service2_consumer.model import Download, InFlightMessage, Reading
from service2_consumer.ports import StoreError
from service2_consumer.record import Recorder

from ..fakes import DEFAULT_TEMPLATE, START, FakeSource, email, message_id

BODY = encode_body(email(email_content="Grüße " * 50))
KEY = "payloads/2026/12/10/a.json"


class Opener:
    """An intake with a bucket of payloads."""

    def __init__(self, conditions: str = "", *, drops: bool = False, has_payloads: bool = True) -> None:
        self.source = FakeSource({KEY: BODY.encode()})
        self.intake = MessageIntake(
            Recorder(KeyTemplate(DEFAULT_TEMPLATE, "messages/"), "1.2.3"),
            MessageFilter(conditions),
            on_filtered="drop" if drops else "dead_letter",
            payloads=PayloadStore(self.source, "payloads", "payloads/") if has_payloads else None,
            max_payload_bytes=10_000,
        )

    def open(self, body: str, **attributes: str) -> Reading | Download:
        given = {"message_id": message_id(1)} | attributes
        message = InFlightMessage("sqs", "r", body, given, START, 1)
        opened = self.intake.open(message, START)
        message.body, message.attributes = "", {}  # like the lane, for the messages that it holds
        return opened

    def open_pointer(
        self, key: str = KEY, bucket: str = "payloads", size: int = len(BODY.encode())
    ) -> Reading | Download:
        return self.open(Pointer(bucket, key, size).body(), ExtendedPayloadSize=str(size), source="service1-api")


def reason_of(opened: Reading | Download) -> str:
    reading = opened.read(START) if isinstance(opened, Download) else opened
    assert reading.poison
    assert not reading.records
    return reading.poison.reason


def test_an_email_in_its_message_is_one_record_and_needs_no_s3() -> None:
    opened = Opener(has_payloads=False).open(BODY)
    assert isinstance(opened, Reading)
    assert [record.message_id for record in opened.records] == [message_id(1)]


def test_an_email_behind_a_pointer_is_recorded_as_if_it_had_come_in_its_message() -> None:
    opener = Opener()
    opened = opener.open_pointer()
    assert isinstance(opened, Download)
    assert (opened.key, opened.size_bytes, opener.source.asked) == (KEY, len(BODY.encode()), [])
    in_message = Opener().open(BODY, source="service1-api")
    assert isinstance(in_message, Reading)
    assert opened.read(START) == in_message


@pytest.mark.parametrize(
    ("key", "bucket"), [(KEY, "other"), ("messages/a.json", "payloads"), ("payload", "payloads"), ("", "payloads")]
)
def test_a_pointer_elsewhere_is_poison_and_nothing_is_read(key: str, bucket: str) -> None:
    opener = Opener()
    assert reason_of(opener.open_pointer(key, bucket)) == "foreign_payload"
    assert opener.source.asked == []


def test_a_pointer_without_a_bucket_of_payloads_is_poison() -> None:
    assert reason_of(Opener(has_payloads=False).open_pointer()) == "foreign_payload"


def test_a_missing_payload_is_poison() -> None:
    assert reason_of(Opener().open_pointer("payloads/none")) == "payload_missing"


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_payload_of_another_size_is_poison(difference: int) -> None:
    assert reason_of(Opener().open_pointer(size=len(BODY.encode()) + difference)) == "payload_size_mismatch"


def test_a_payload_above_the_limit_is_not_read() -> None:
    opener = Opener()
    assert reason_of(opener.open_pointer(size=10_001)) == "too_large"
    assert opener.source.asked == []


def test_a_payload_that_is_no_utf_8_or_no_email_is_poison() -> None:
    opener = Opener()
    opener.source.objects |= {"payloads/1": b"\xff", "payloads/2": b"[]"}
    assert reason_of(opener.open_pointer("payloads/1", size=1)) == "invalid_json"
    assert reason_of(opener.open_pointer("payloads/2", size=2)) == "not_an_email"


def test_the_attribute_on_a_body_that_is_no_pointer_is_poison() -> None:
    assert reason_of(Opener().open(BODY, ExtendedPayloadSize="5")) == "not_a_pointer"


def test_a_failure_of_s3_is_left_to_the_lane() -> None:
    opener = Opener()
    opener.source.failing = StoreError("timeout")
    opened = opener.open_pointer()
    assert isinstance(opened, Download)
    with pytest.raises(StoreError):
        opened.read(START)
    with pytest.raises(StoreError):
        opener.intake.probe()
    opener.intake.check()  # e-mails in messages do not need that bucket


def test_what_the_filter_does_not_match_is_dead_lettered_or_dropped() -> None:
    assert reason_of(Opener("source=mailer").open(BODY, source="x")) == "filtered"
    assert Opener("source=mailer", drops=True).open(BODY, source="x") == Reading(skipped=("filtered",))
    assert reason_of(Opener("source=mailer").open_pointer()) == "filtered"
    matched = Opener("source=mailer").open(BODY, source="mailer")
    assert isinstance(matched, Reading)
    assert len(matched.records) == 1
