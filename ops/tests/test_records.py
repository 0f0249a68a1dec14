import gzip
import json
from datetime import UTC, datetime

import pytest

from pillarbox.ids import time_of
from pillarbox_ops.records import ArchivedEmail, StoredObject, parse

ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"
FOREIGN = "5c1b2f0e-1111-4222-8333-444455556666"
WRITTEN = datetime(2026, 11, 28, 12, tzinfo=UTC)
RECORD = {
    "message_id": ID,
    "processed_at": "2026-11-28T12:00:00Z",
    "email_data": {"email_subject": "Hello", "email_sender": "jane@example.com", "email_content": "Text"},
    "attachments": [{"name": "a.pdf"}, "no object"],
    "metadata": {"received_at": "2026-11-28T11:59:59Z"},
}
# Bodies of producers that look like a record.
LOOKALIKES = (
    json.dumps({"message_id": FOREIGN}),
    json.dumps({"message_id": FOREIGN, "email_data": {}, "body": "text"}),
    json.dumps({"message_id": FOREIGN, "processed_at": "2026-11-28T12:00:00Z"}),
)


def _object(key: str = f"messages/2026/11/28/{ID}.json") -> StoredObject:
    return StoredObject(key, 100, WRITTEN)


def _email(record: object = RECORD) -> ArchivedEmail:
    (email,) = parse(_object(), json.dumps(record).encode())
    return email


def test_a_record_has_the_fields_of_its_email() -> None:
    email = _email()
    assert (email.subject, email.sender, email.content) == ("Hello", "jane@example.com", "Text")
    assert email.attachments == [{"name": "a.pdf"}]
    assert email.received_at == datetime(2026, 11, 28, 11, 59, 59, tzinfo=UTC)
    assert email.size == len(json.dumps(RECORD))


@pytest.mark.parametrize("name", ["json", "json.gz"])
def test_a_compressed_object_is_inflated_whatever_its_name_says(name: str) -> None:
    raw = json.dumps(RECORD).encode()
    (email,) = parse(_object(f"messages/{ID}.{name}"), gzip.compress(raw))
    assert email.size == len(raw)
    assert parse(_object(f"messages/{ID}.{name}"), raw)[0].record == RECORD


def test_a_batch_has_a_record_in_each_line_whatever_characters_they_hold() -> None:
    lines = [{**RECORD, "email_data": {"email_subject": text}} for text in ("one\u2028two", "three\x85")]
    raw = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    emails = parse(_object(f"messages/2026/11/28/12/{ID}-ff.jsonl.gz"), gzip.compress(raw))
    assert [email.subject for email in emails] == ["one\u2028two", "three\x85"]


def test_numbers_past_64_bits_keep_their_digits() -> None:
    assert _email({**RECORD, "email_data": {"n": 2**70}}).fields == {"n": 2**70}


@pytest.mark.parametrize("body", ["plain text", '{"no": "id"}', "[1]", "\udcff", *LOOKALIKES])
def test_a_body_that_was_stored_unchanged_is_the_content_of_a_record(body: str) -> None:
    (email,) = parse(_object(), body.encode(errors="surrogateescape"))
    assert email.message_id == ID
    assert email.content == body.encode(errors="surrogateescape").decode(errors="replace")
    assert (email.sender, email.subject, email.fields, email.metadata) == ("", "", {}, {})


def test_what_is_no_record_and_has_no_id_is_an_error_that_quotes_nothing() -> None:
    with pytest.raises(ValueError, match="is not a record") as raised:
        parse(_object("messages/readme.txt"), b"private words")
    assert "private" not in str(raised.value)


@pytest.mark.parametrize("raw", [gzip.compress(b"x" * 1000, mtime=0)[:-9], b"\x1f\x8bxxxxxxxxxxxxxxxx"])
def test_damaged_gzip_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match="gzip"):
        parse(_object(), raw)


def test_the_time_of_receipt_comes_from_the_id_or_the_object_if_the_record_has_none() -> None:
    assert _email({**RECORD, "metadata": {}}).received_at == time_of(ID)
    assert _email({**RECORD, "message_id": FOREIGN, "metadata": {}}).received_at == WRITTEN


def test_repr_does_not_show_the_email() -> None:
    assert "Hello" not in repr(_email())


def test_an_object_is_dated_by_its_key_or_by_its_write() -> None:
    assert _object().timestamp.year == 2025
    assert _object("messages/readme.txt").timestamp == WRITTEN


def test_a_record_without_validation_has_its_body_as_content() -> None:
    record = {"message_id": ID, "processed_at": "2026-11-28T12:00:00Z", "body": "", "metadata": {}}
    assert (_email(record).record, _email(record).content) == (record, "")
