"""Made-up content: e-mails and files of the requested size, and events that name the files."""

import email
import email.policy
import json

import pytest

from bench.stub_content import BUCKET, email_file_of, email_of, event_of, key_of
from pillarbox.message import encode_body, field_problems


@pytest.mark.parametrize("size", [500, 2048, 100_000])
def test_email_is_valid_and_has_about_the_requested_size(size: int) -> None:
    made = email_of(7, size)
    assert field_problems(made) == []
    assert size * 0.9 < len(encode_body(made)) < size * 1.1


def test_emails_of_different_numbers_differ() -> None:
    assert len({encode_body(email_of(number, 500)) for number in range(100)}) == 100


@pytest.mark.parametrize(("size", "attachments"), [(3 * 1024, 0), (1024 * 1024, 1)])
def test_file_is_an_email_with_an_attachment_if_it_is_large(size: int, attachments: int) -> None:
    content = email_file_of(7, size)
    assert size * 0.9 < len(content) < size * 1.1
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["Subject"] == "Letter 7 ü"
    assert len([part for part in message.walk() if part.get_filename()]) == attachments


def test_event_names_the_file() -> None:
    content = email_file_of(7, 3 * 1024)
    (record,) = json.loads(event_of(7, content))["Records"]
    assert record["s3"]["bucket"]["name"] == BUCKET
    assert (record["s3"]["object"]["key"], record["s3"]["object"]["size"]) == (key_of(7), len(content))
