"""What the forms of a message derive from their fields."""

from service2_consumer.model import Download, InFlightMessage, Reading, Record, Upload

from .fakes import START


def test_conflict_key_contains_the_date_the_id_and_the_digest() -> None:
    record = Record("id-1", START, "abc", "messages/id-1.json", b"{}", "application/json")
    assert record.conflict_key == "conflicts/2026/12/10/id-1/abc.json"


def test_download_names_its_message_and_holds_no_content_yet() -> None:
    message = InFlightMessage("sqs-1", "receipt", "", {}, START, 1, message_id="id-1")
    download = Download("inbox/a.eml", 5, (message,), lambda _now: Reading())
    assert (download.message_ids, download.held_bytes) == (["id-1"], 0)


def test_upload_holds_its_body() -> None:
    assert Upload("key", b"12345", "text/plain", "digest", "abc").held_bytes == 5
