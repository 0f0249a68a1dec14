import json
from datetime import UTC, datetime

import pytest

from pillarbox.message import field_problems
from pillarbox_ops.email_input import email_of_file, sample

from .emails import example

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
EML = b"""From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>
Subject: Two
 lines
Date: Fri, 01 Sep 2023 11:38:21 +0200
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=iso-8859-1

f\xfcr
--x
Content-Type: application/pdf

%PDF
--x--
"""


def test_the_sample_is_a_valid_email() -> None:
    assert field_problems(sample(3, NOW)) == []
    assert sample(3, NOW)["email_subject"] == "Pillarbox test 3"


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_json_is_taken_as_it_is_and_out_of_a_request(wrapped: bool, start: bytes) -> None:
    email = example(note=[1, "a"])
    document = {"data": email, "token": "left out"} if wrapped else email
    assert email_of_file(start + json.dumps(document).encode(), NOW) == email


def test_a_mime_file_gives_the_four_fields() -> None:
    assert email_of_file(EML, NOW) == {
        "email_subject": "Two lines",
        "email_sender": "Jürgen <j@example.com>",
        "email_timestream": "1693561101",
        "email_content": "für",
    }


def test_html_is_marked_and_a_missing_date_is_now() -> None:
    raw = b"From: a@example.com\nSubject: x\nContent-Type: text/html\n\n<p>hi\n"
    found = email_of_file(raw, NOW)
    assert (found["content_type"], found["email_timestream"]) == ("text/html", str(int(NOW.timestamp())))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"data": [1]}', "must be an object"),
        (b'{"email_subject": ', "the JSON is not valid JSON"),
        (b'{"email_subject": " "}', "email_subject must not be blank; email_sender is required"),
        (b"no e-mail at all", "email_subject must not be blank"),
        (b"From: a@example.com\n\nx", "email_subject must not be blank"),
        (b"", "must not be blank"),
    ],
)
def test_what_is_no_email_is_an_error_that_names_the_fields(raw: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        email_of_file(raw, NOW)


def test_a_header_that_the_parser_cannot_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="it cannot be read as an e-mail"):
        email_of_file(b"From: " + b"(" * 5000 + b"\nSubject: x\n\nx\n", NOW)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"=?utf-8?b?!!!?=", b"=?nonsense?q?x?=", b'"', b"<<>>,;:@"])
def test_hostile_headers_give_text_that_json_can_carry(value: bytes) -> None:
    raw = b"From: " + value + b"x\nSubject: " + value + b"x\nDate: " + value + b"\n\ntext\n"
    json.dumps(email_of_file(raw, NOW), ensure_ascii=False).encode()
