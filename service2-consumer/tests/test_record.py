"""Records: content, metadata, digests and poison."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.message import Envelope, email_sha256, encode_body
from pillarbox.object_key import KeyTemplate
from pillarbox.probe import PROBE_NODE, PROBE_SENDER
from service2_consumer.model import InFlightMessage, PoisonError
from service2_consumer.record import Digests, Recorder, digests_of

from .fakes import DEFAULT_TEMPLATE, START, email, message_id

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
NOW = datetime(2026, 12, 11, 9, 0, 0, 999_000, tzinfo=UTC)


def message(body: str | None = None, envelope: Envelope | None = None) -> InFlightMessage:
    attributes = envelope.to_attributes() if envelope else {}
    return InFlightMessage(
        "0a1b2c3d-0000-4000-8000-000000000000", "r", body or encode_body(email()), attributes, START, 1
    )


def recorder(template: str = DEFAULT_TEMPLATE, **options: bool) -> Recorder:
    return Recorder(KeyTemplate(template, "messages/"), "1.2.3", **options)


def test_record_contains_the_unchanged_email_and_its_origin() -> None:
    received_at = datetime(2026, 12, 10, 14, 30, 23, 456_000, tzinfo=UTC)
    envelope = Envelope(message_id(1), received_at, "service1-api", TRACEPARENT)
    sent = email(extra={"kept": [1, None, 12345678901234567890]}, email_content="Grüße \u0000 \uffff 👋")
    record = recorder().record(message(encode_body(sent), envelope), NOW)
    assert json.loads(record.body) == {
        "message_id": message_id(1),
        "processed_at": "2026-12-11T09:00:00Z",
        "email_data": sent,
        "metadata": {
            "processor_version": "1.2.3",
            "source": "service1-api",
            "received_at": "2026-12-10T14:30:23.456Z",
            "sqs_message_id": "0a1b2c3d-0000-4000-8000-000000000000",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        },
    }
    assert record.sha256 == email_sha256(sent)
    assert record.key == f"messages/2026/12/10/{message_id(1)}.json"
    assert record.conflict_key == f"conflicts/2026/12/10/{message_id(1)}/{record.sha256}.json"


def test_message_of_another_producer_has_the_id_and_time_of_sqs() -> None:
    record = recorder().record(message(), NOW)
    assert record.key == "messages/2026/12/10/0a1b2c3d-0000-4000-8000-000000000000.json"
    metadata = json.loads(record.body)["metadata"]
    assert metadata["received_at"] == "2026-12-10T14:30:22.000Z"
    assert "source" not in metadata


def test_key_and_digest_do_not_depend_on_the_processing_time() -> None:
    first, later = (recorder().record(message(), timestamp) for timestamp in (START, NOW))
    assert (first.key, first.sha256) == (later.key, later.sha256)


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_body_other_than_an_email_is_poison(body: str) -> None:
    found = InFlightMessage("sqs-1", "r", body, {"message_id": body, "received_at": body, "source": body}, START, 1)
    with pytest.raises(PoisonError):
        recorder().record(found, NOW)


def test_object_without_validation_is_the_body_itself() -> None:
    body = "not JSON\r\n\x00 ü"
    record = recorder(validates=False, raw=True).record(message(body, Envelope(message_id(1))), NOW)
    assert record.body == body.encode()
    assert record.sha256 == hashlib.sha256(body.encode()).hexdigest()
    assert record.content_type == "text/plain; charset=utf-8"


def test_batch_line_without_validation_contains_the_body_as_a_string() -> None:
    record = recorder(validates=False).record(message("[1]\n"), NOW)
    assert json.loads(record.body)["body"] == "[1]\n"
    assert b"\n" not in record.body


def test_unpaired_surrogate_without_validation_is_poison() -> None:
    with pytest.raises(PoisonError, match="surrogate"):
        recorder(validates=False, raw=True).record(message("\ud800"), NOW)


@pytest.mark.parametrize("options", [{}, {"validates": False}, {"validates": False, "raw": True}])
def test_stored_object_has_the_digest_of_its_message(options: dict[str, bool]) -> None:
    record = Recorder(KeyTemplate(DEFAULT_TEMPLATE, "messages/"), "1.2.3", **options).record(message(), NOW)
    digests = digests_of(record.body)
    assert record.sha256 in digests.of_content
    assert digests.is_document is not options.get("raw", False)


@pytest.mark.parametrize("stored", [b"", b"<html>", b"\xff", b"[1]", b'{"email_data": 1}', b'{"body": null}', b"{"])
def test_object_of_another_writer_is_no_document(stored: bytes) -> None:
    assert digests_of(stored) == Digests(frozenset({hashlib.sha256(stored).hexdigest()}), is_document=False)


@pytest.mark.parametrize("template", [DEFAULT_TEMPLATE, "{prefix}{sender}/{message_id}.json"])
def test_a_probe_lies_below_a_prefix_of_its_own(template: str) -> None:
    probe = message_id(1)[:-12] + PROBE_NODE
    sent = email(email_sender=PROBE_SENDER)
    record = recorder(template).record(message(encode_body(sent), Envelope(probe)), NOW)
    assert record.key == f"health/probe/2026/12/10/{probe}.json"
    assert record.is_probe


def test_a_reserved_sender_alone_or_an_id_alone_makes_no_probe() -> None:
    probe = message_id(1)[:-12] + PROBE_NODE
    for message_of, sender in ((probe, "jane"), (message_id(1), PROBE_SENDER)):
        record = recorder().record(message(encode_body(email(email_sender=sender)), Envelope(message_of)), NOW)
        assert record.key == f"messages/2026/12/10/{message_of}.json"
        assert not record.is_probe


@pytest.mark.parametrize("raw", [False, True])
def test_a_probe_is_told_from_customers_without_validation(raw: bool) -> None:
    probe = message_id(1)[:-12] + PROBE_NODE
    sent = encode_body(email(email_sender=PROBE_SENDER))
    unvalidated = recorder(validates=False, raw=raw)
    assert unvalidated.record(message(sent, Envelope(probe)), NOW).key == f"health/probe/2026/12/10/{probe}.json"
    for body, sent_id in (
        (sent, message_id(1)),
        (encode_body(email()), probe),
        ("no JSON", probe),
        ("[1]", probe),
        ('{"email_sender": null}', probe),
    ):
        record = unvalidated.record(message(body, Envelope(sent_id)), NOW)
        assert record.key == f"messages/2026/12/10/{sent_id}.json"
