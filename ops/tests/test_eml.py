import mailbox
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox_ops.eml import eml, mbox_entry

from .emails import email_of, id_at

NAMES = ["Date", "From", "Subject", "Message-ID", "X-Pillarbox-Id"]


def _read(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=default)


def test_an_email_becomes_a_file_with_its_headers() -> None:
    raw = eml(email_of())
    message = _read(raw)
    assert message.keys()[:5] == NAMES
    assert message["From"] == "Jane Doe <jane.doe@example.com>"
    assert message["Subject"] == "A subject"
    assert message["Date"] == "Fri, 01 Sep 2023 09:38:21 +0000"
    assert message["X-Pillarbox-Id"] == id_at(0)
    assert message["Message-ID"] == f"<{id_at(0)}@pillarbox.invalid>"
    assert message.get_content() == "The content\r\n"
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_letters_beyond_ascii_are_encoded() -> None:
    raw = eml(email_of(email_subject="Grüße " * 30, email_sender="Jürgen <j@example.com>", email_content="für"))
    assert raw.isascii()
    message = _read(raw)
    assert message["Subject"] == ("Grüße " * 30).strip()
    assert message["From"].addresses[0].display_name == "Jürgen"
    assert message.get_content() == "für\r\n"


@pytest.mark.parametrize("sender", ["me", "", "Jane <", "<>", '"', "a@b@c", "Jane, Joe <j@example.com>"])
def test_a_sender_that_is_no_address_is_kept_as_text(sender: str) -> None:
    message = message_from_bytes(eml(email_of(email_sender=sender)))
    assert message.keys()[:5] == NAMES


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("name", ["email_subject", "email_sender"])
def test_a_value_cannot_begin_another_header_or_the_body(name: str, line_end: str) -> None:
    value = f"a{line_end}Bcc: victim@example.com{line_end}{line_end}body"
    message = message_from_bytes(eml(email_of(**{name: value})))
    assert message.keys()[:5] == NAMES
    assert "Bcc" not in message
    assert message.get_payload(decode=True) == b"The content\r\n"


@pytest.mark.parametrize("character", ["(", '"', "<", "[", '"\\', ",", "a@", "=?utf-8?q?a?= ", "a", "ä", "ä "])
@pytest.mark.parametrize("name", ["email_subject", "email_sender"])
def test_a_long_hostile_value_is_folded(name: str, character: str) -> None:
    raw = eml(email_of(**{name: character * 5000}))
    assert message_from_bytes(raw).keys()[:5] == NAMES
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # RFC 5322, section 2.1.1


@given(subject=st.text(), sender=st.text(), content=st.text(), name=st.text(), kind=st.text())
def test_whatever_the_fields_hold_the_headers_are_ours(
    subject: str, sender: str, content: str, name: str, kind: str
) -> None:
    attachments = [{"name": name, "type": kind, "content": "aGVsbG8="}]
    fields = {"email_subject": subject, "email_sender": sender, "email_content": content, "attachments": attachments}
    message = message_from_bytes(eml(email_of(**fields)))
    assert message.keys()[:5] == NAMES
    assert {key.lower() for key in message.keys()[5:]} <= {"mime-version", "content-type", "content-transfer-encoding"}
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert [part.get_payload(decode=True) for part in parts[1:]] == [b"hello"]  # type: ignore[union-attr]


def test_attachments_that_are_embedded_are_restored() -> None:
    entries = [
        {"name": "../a/ü.pdf", "type": "application/pdf", "content": "aGVsbG8="},
        {"name": "m", "type": "message/rfc822", "content": "aGVsbG8="},
        {"name": "left out", "type": "text/plain"},
    ]
    message = _read(eml(email_of(attachments=entries)))
    assert [(part.get_filename(), part.get_content_type()) for part in message.iter_attachments()] == [
        (".._a_ü.pdf", "application/pdf"),
        ("m", "application/octet-stream"),
    ]
    assert [part.get_content() for part in message.iter_attachments()] == [b"hello", b"hello"]


def test_html_stays_html() -> None:
    assert _read(eml(email_of(content_type="text/html"))).get_content_type() == "text/html"


@pytest.mark.parametrize("timestream", ["soon", "", "9" * 30, None])
def test_without_a_time_of_its_own_the_date_is_that_of_receipt(timestream: object) -> None:
    assert _read(eml(email_of(email_timestream=timestream)))["Date"] == "Sat, 28 Nov 2026 12:30:00 +0000"


def test_a_subject_of_a_mebibyte_is_cut() -> None:
    message = message_from_bytes(eml(email_of(email_subject="word " * 200_000)))
    assert len(message["Subject"]) < 12_000


def test_an_mbox_reads_back_as_the_same_emails(tmp_path: Path) -> None:
    contents = ["From me\n>From you\nplain", "From the second\n", ""]
    path = tmp_path / "mbox"
    path.write_bytes(b"".join(mbox_entry(email_of(email_content=content)) for content in contents))
    box = mailbox.mbox(path)
    found = [message.get_payload(decode=True) for message in box]
    box.close()
    # The library reads the entries but leaves mboxrd's quoting as it is.
    unquoted = [re.sub(rb"^>(>*From )", rb"\1", payload, flags=re.MULTILINE) for payload in found]  # type: ignore[arg-type]
    assert [payload.rstrip(b"\n") for payload in unquoted] == [content.rstrip("\n").encode() for content in contents]


def test_an_mbox_separator_names_a_plain_address_or_none() -> None:
    assert mbox_entry(email_of()).startswith(b"From jane.doe@example.com Fri Sep  1 09:38:21 2023\n")
    assert mbox_entry(email_of(email_sender="x\nFrom y")).startswith(b"From MAILER-DAEMON ")
