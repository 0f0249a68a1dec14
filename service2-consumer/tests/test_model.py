"""What the forms of a message derive from their fields."""

from service2_consumer.model import InFlightMessage, Record, Upload

from .fakes import START


def test_conflict_key_contains_the_date_the_id_and_the_digest() -> None:
    record = Record("id-1", START, "abc", "messages/id-1.json", b"{}", "application/json")
    assert record.conflict_key == "conflicts/2026/12/10/id-1/abc.json"


def test_upload_names_its_messages_in_order() -> None:
    messages = [InFlightMessage(f"sqs-{n}", f"receipt-{n}", "", {}, START, 1, message_id=f"id-{n}") for n in range(3)]
    upload = Upload("key", b"", "text/plain", "digest", "abc", messages=messages)
    assert upload.message_ids == ["id-0", "id-1", "id-2"]
