"""E-mail files: the fields, the metadata, the attachments, the defects, and what is no e-mail."""

import base64
import email.policy
import hashlib
import json
import random
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import strict_json
from pillarbox.strict_json import JsonValue
from service2_consumer.intake import email_file
from service2_consumer.intake.defects import Defect
from service2_consumer.intake.email_file import MAX_HEADER_BYTES, EmailFile, parse_file
from service2_consumer.intake.mime_parts import MAX_PARTS
from service2_consumer.model import PoisonError

STORED = datetime(2026, 12, 11, tzinfo=UTC)
HEADER = (
    b"From: Jane Doe <jane@example.com>\r\nTo: b@example.org\r\nSubject: Hello\r\n"
    b"Date: Thu, 10 Dec 2026 12:00:00 +0000\r\n"
)
FIELDS: dict[str, JsonValue] = {
    "email_subject": "Hello",
    "email_sender": "Jane Doe <jane@example.com>",
    "email_timestream": "1796904000",
    "email_content": "text\n",
}


def parse(content: bytes) -> EmailFile:
    found = parse_file(content, STORED)
    record: Any = {"email_data": found.email_data, "metadata": found.metadata, "attachments": found.attachments}
    assert strict_json.loads(strict_json.dumps(record)) == record
    return found


def content_of(extra: bytes, body: bytes = b"") -> str:
    return str(parse(HEADER + extra + b"\r\n" + body).email_data["email_content"])


def defects_of(content: bytes) -> list[Any]:
    defects = parse(content).metadata["defects"]
    assert isinstance(defects, list)
    return defects


def multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    body = b"".join(b"--a\r\n" + part + b"\r\n" for part in parts)
    return HEADER + b"Content-Type: multipart/" + kind + b"; boundary=a\r\n\r\n" + body + b"--a--\r\n"


PLAIN = b"Content-Type: text/plain\r\n\r\ntext\r\n"
HTML = b"Content-Type: text/html\r\n\r\n<p>text</p>"
PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(
    b"%PDF"
)


def test_a_plain_email_has_the_four_fields_and_no_defects() -> None:
    found = parse(HEADER + b"\r\ntext\r\n")
    assert found == EmailFile(FIELDS, {"defects": [], "timestream_source": "date"}, [])


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + b"\r\ntext\r\n").replace(b"\r\n", b"\n"),
        b"\xef\xbb\xbf" + HEADER + b"\r\ntext\r\n",
        b"\r\n\n \r\n" + HEADER + b"\r\ntext\r\n",
        b"From jane@example.com Thu Dec 10 12:00:00 2026\r\n" + HEADER + b"\r\ntext\r\n",
        b">From jane@example.com Thu Dec 10 12:00:00 2026\n" + HEADER + b"\r\ntext\r\n",
        (HEADER + b"\r\ntext\r\n").replace(b"\r\n", b"\r\r\n").replace(b"text\r\r", b"text\r"),
    ],
)
def test_line_ends_byte_order_marks_and_mbox_lines_change_nothing(content: bytes) -> None:
    assert parse(content).email_data == FIELDS
    assert defects_of(content) == []


def test_an_email_with_bare_cr_is_read_line_by_line() -> None:
    found = parse((HEADER + b"\r\ntext\r\n").replace(b"\r\n", b"\r"))
    assert found.email_data == FIELDS
    assert found.metadata["defects"] == ["bare_cr"]


def test_an_email_that_the_standard_library_wrote_is_read_back() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Jäne Döe <jane@example.com>"
    message["Subject"] = "Grüße aus Köln " * 8
    message["Date"] = datetime(2026, 12, 10, 12, tzinfo=UTC)
    message.set_content("Grüße\n👋\n")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    message.add_attachment(b"\x00\x01", "application", "octet-stream", filename="Grüße und ein langer Name.bin")
    found = parse(message.as_bytes())
    assert found.email_data == {
        "email_subject": ("Grüße aus Köln " * 8).strip(),
        "email_sender": "Jäne Döe <jane@example.com>",
        "email_timestream": "1796904000",
        "email_content": "Grüße\n👋\n",
    }
    assert found.attachments == [
        {
            "file_name": "Grüße und ein langer Name.bin",
            "content_type": "application/octet-stream",
            "size_bytes": 2,
            "sha256": hashlib.sha256(b"\x00\x01").hexdigest(),
        }
    ]
    assert found.metadata["defects"] == []


def test_the_text_is_the_first_plain_text_wherever_it_stands() -> None:
    found = parse(multipart(HTML, PDF, PLAIN, PLAIN.replace(b"text\r", b"second\r")))
    assert found.email_data == FIELDS


def test_html_is_the_text_only_without_plain_text_and_says_so() -> None:
    found = parse(multipart(HTML, PDF))
    assert found.email_data == {**FIELDS, "email_content": "<p>text</p>", "content_type": "text/html"}


def test_a_blank_plain_text_does_not_hide_the_html() -> None:
    assert parse(multipart(b"\r\n \r\n", HTML, kind=b"alternative")).email_data["email_content"] == "<p>text</p>"


def test_a_plain_text_that_is_an_attachment_is_not_the_text() -> None:
    attached = b"Content-Disposition: attachment; filename=log.txt\r\n\r\nlog"
    found = parse(multipart(attached, HTML))
    assert found.email_data["content_type"] == "text/html"
    assert [attachment["file_name"] for attachment in found.attachments] == ["log.txt"]


def test_attachments_are_listed_in_order_with_type_size_and_digest() -> None:
    found = parse(
        multipart(PLAIN, PDF, b"Content-Type: text/plain; name=b.txt\r\n\r\nb", HTML, b"Content-Type: a/b\r\n\r\n")
    )
    assert found.attachments == [
        {
            "file_name": name,
            "content_type": media_type,
            "size_bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        for name, media_type, body in (
            ("a.pdf", "application/pdf", b"%PDF"),
            ("b.txt", "text/plain", b"b"),
            ("", "a/b", b""),
        )
    ]


def test_a_forwarded_message_is_one_attachment_and_not_the_text() -> None:
    inner = HEADER.replace(b"Hello", b"Inner") + b"\r\ninner text"
    found = parse(multipart(b"Content-Type: message/rfc822\r\n\r\n" + inner, PLAIN))
    assert found.email_data == FIELDS
    assert found.attachments == [
        {
            "file_name": "",
            "content_type": "message/rfc822",
            "size_bytes": len(inner),
            "sha256": hashlib.sha256(inner).hexdigest(),
        }
    ]


def test_winmail_dat_is_an_attachment_with_its_type() -> None:
    winmail = b"Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\n\x78\x9f\x3e\x22"
    (attachment,) = parse(multipart(PLAIN, winmail)).attachments
    assert (attachment["file_name"], attachment["content_type"]) == ("winmail.dat", "application/ms-tnef")


def test_format_flowed_is_left_as_it_is() -> None:
    flowed = b"one \r\ntwo\r\n> > three \r\n-- \r\n"
    assert (
        content_of(b"Content-Type: text/plain; format=flowed; delsp=yes\r\n", flowed) == "one \ntwo\n> > three \n-- \n"
    )


def test_verdicts_and_authentication_results_are_the_topmost_ones() -> None:
    topmost = b"X-SES-Spam-Verdict: FAIL\r\nX-SES-Virus-Verdict: PASS\r\nAuthentication-Results: a;\r\n spf=fail\r\n"
    forged = b"X-SES-Spam-Verdict: PASS\r\nAuthentication-Results: b; spf=pass\r\n"
    assert parse(topmost + HEADER + forged + b"\r\ntext").metadata == {
        "spam_verdict": "FAIL",
        "virus_verdict": "PASS",
        "authentication_results": "a; spf=fail",
        "defects": [],
        "timestream_source": "date",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"From: a\nDate: 10 Dec 2026 12:00:00 +0000\n\ntext", ["missing_subject"]),
        (HEADER + b"\r\n", ["missing_text"]),
        (HEADER, ["missing_text"]),
        (b"Subject: x\n", ["missing_date", "missing_sender", "missing_text"]),
        (b"Subject:\nFrom: a\n\nx", ["missing_date", "missing_subject"]),
        (HEADER.replace(b"Thu, 10 Dec 2026", b"someday") + b"\r\nx", ["invalid_date"]),
        (HEADER + b"Subject: again\r\n\r\nx", ["duplicate_headers"]),
        (HEADER + b"not a field\r\n\r\nx", ["missing_separator"]),
        (HEADER.replace(b"Hello", b"=?utf-8?b?a?=") + b"\r\nx", ["invalid_encoded_word"]),
        (HEADER + b"Content-Type: nonsense\r\n\r\nx", ["invalid_content_type"]),
        (HEADER + b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx", ["missing_boundary"]),
        (HEADER + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", ["missing_end_boundary"]),
        (HEADER + b"Content-Transfer-Encoding: base64\r\n\r\nTEx!MTEx", ["invalid_base64"]),
        (HEADER + b"Content-Transfer-Encoding: quoted-printable\r\n\r\na =XX", ["invalid_quoted_printable"]),
        (HEADER + b"Content-Transfer-Encoding: x-rot13\r\n\r\na", ["unknown_encoding"]),
        (HEADER + b"Content-Type: text/plain; charset=x-none\r\n\r\na", ["unknown_charset"]),
        (HEADER + b"Content-Type: text/plain; charset=ascii\r\n\r\n\xff", ["wrong_charset"]),
        (HEADER + b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xff", ["invalid_text", "wrong_charset"]),
        (HEADER + b"X: 1\r\n" * 2000 + b"\r\nx", ["too_many_headers"]),
        (HEADER + b"X: " + b"1" * 300_000 + b"\r\n\r\nx", ["header_truncated"]),
        (multipart(*[b"\r\nx"] * 10_000), ["too_many_parts"]),
        (
            HEADER
            + b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (i, i) for i in range(150)),
            ["missing_end_boundary", "missing_text", "nested_too_deep"],
        ),
    ],
)
def test_defects_are_named_and_the_email_is_archived(content: bytes, expected: list[str]) -> None:
    assert defects_of(content) == expected


def test_fields_of_a_defective_email_are_empty_strings() -> None:
    found = parse(b"Date: nonsense\n\n")
    assert found.email_data == {
        "email_subject": "",
        "email_sender": "",
        "email_timestream": str(int(STORED.timestamp())),
        "email_content": "",
    }
    assert found.metadata["timestream_source"] == "last_modified"


def test_a_body_that_cannot_be_read_leaves_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(email_file, "find_leaves", unforeseen)
    found = parse(HEADER + b"\r\ntext")
    assert found.email_data == {**FIELDS, "email_content": ""}
    assert found.metadata["defects"] == ["unreadable_body"]


@pytest.mark.parametrize(
    "extra", [b"", b"Content-Type: multipart/mixed; boundary=\0\r\n", b"Content-Type: text/plain\0\r\n"]
)
def test_nul_bytes_stay_in_the_text_and_break_nothing(extra: bytes) -> None:
    assert content_of(extra, b"a\0b") == "a\0b"


def test_a_header_bomb_is_cut_and_the_body_is_found() -> None:
    words = b"Subject: " + b"=?utf-8?q?=C3=A4?= " * 40_000 + b"\r\n"
    opened = b"To: " + b"=?utf-8?q?" * 40_000 + b"\r\n"
    found = parse(b"From: a\r\n" + words + opened + b"\r\ntext")
    assert found.email_data["email_content"] == "text"
    assert str(found.email_data["email_subject"]).startswith("ää")
    assert len(str(found.email_data["email_subject"])) < MAX_HEADER_BYTES
    assert "header_truncated" in str(found.metadata["defects"])


def test_ten_thousand_attachments_are_listed_up_to_the_limit() -> None:
    found = parse(multipart(PLAIN, *[b"Content-Type: a/b\r\n\r\nx"] * 10_000))
    assert found.email_data == FIELDS
    assert len(found.attachments) == MAX_PARTS - 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"hello",
        b"\x00" * 100,
        b"%PDF-1.7\nDate: x\n",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"HTTP/1.1 200 OK\r\nDate: Thu, 10 Dec 2026 12:00:00 GMT\r\n\r\n",
        b"name: value\nother: value\n\nFrom: a\n",
        b"import email\nfrom x: y\n",
        b"From a b\n" * 3,
        b"---\nsubject: front matter\n---\n",
        b"<html>Subject: x</html>",
        b"X-Only: extension\n\ntext",
        b"[1, 2]",
    ],
)
def test_what_is_no_email_is_poison(content: bytes) -> None:
    with pytest.raises(PoisonError, match="neither a header of an e-mail nor JSON") as caught:
        parse(content)
    assert caught.value.reason == "not_an_email"


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b"\r\n \t"])
def test_a_json_file_with_the_four_fields_is_taken_as_it_is(prefix: bytes) -> None:
    fields: dict[str, JsonValue] = {**FIELDS, "email_timestream": 1_796_904_000, "extra": [1, "ä"]}
    assert parse(prefix + json.dumps(fields).encode()) == EmailFile(fields, {"defects": []}, [])


def assert_poison(content: bytes, text: str) -> None:
    with pytest.raises(PoisonError, match=text) as caught:
        parse(content)
    assert caught.value.reason == "not_an_email"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{}", "email_subject is required"),
        (b'{"a":', "not valid JSON"),
        (b'{"a": "\xff"}', "not in UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a":' * 1000, "deeper than 64"),
        (json.dumps({**FIELDS, "email_subject": " "}).encode(), "email_subject must not be blank"),
    ],
)
def test_other_json_files_are_poison_and_the_text_says_why(content: bytes, text: str) -> None:
    assert_poison(content, text)


def test_json_files_that_are_too_large_are_poison() -> None:
    assert_poison(b'{"a":[' + b"1.1," * 1_000_001 + b"1]}", "too many values")
    assert_poison(b'{"a":"' + b"x" * (16 * 1024 * 1024) + b'"}', "more than 16777216 bytes")


SEEDS = [
    HEADER + b"\r\ntext\r\n",
    multipart(PLAIN, HTML, PDF, kind=b"alternative"),
    multipart(b"Content-Type: message/rfc822\r\n\r\n" + HEADER + b"\r\ninner", PLAIN),
    HEADER.replace(b"Hello", b"=?utf-8?q?Gr=C3=BC=C3?= =?utf-8?q?=9Fe?=")
    + b"Content-Transfer-Encoding: base64\r\n\r\nTEw=",
    HEADER + b"Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%A4\r\n\r\n\xff",
    json.dumps(FIELDS).encode(),
]
SCRAPS = [
    b"",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"--a",
    b"--a--",
    b"=?",
    b"?=",
    b":",
    b";",
    b'"',
    b"=",
    b"\xed\xa0\x80",
    b"{",
]


@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_mutated_email_raises_anything_but_poison_and_equal_files_give_equal_fields(
    seed: bytes, generator: random.Random, changes: int
) -> None:
    content = bytearray(seed)
    for _ in range(changes):
        start = generator.randrange(len(content) + 1)
        kept = content[start : start + generator.randrange(30)]
        content[start : start + generator.randrange(6)] = generator.choice([*SCRAPS, kept * 3])
    try:
        found = parse(bytes(content))
    except PoisonError:
        return
    assert parse(bytes(content)) == found


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_text_is_cut_at_the_limit_and_between_characters(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_file, "MAX_TEXT_BYTES", 21)
    text = "x" * before + "👋" * 10
    found = parse(HEADER + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())
    kept = str(found.email_data["email_content"])
    assert text.startswith(kept)
    assert 17 < len(kept.encode()) <= 21
    assert found.metadata["defects"] == ["text_truncated"]


@given(st.binary(max_size=200))
def test_no_bytes_after_a_header_raise(body: bytes) -> None:
    assert parse(HEADER + body).email_data["email_sender"] == FIELDS["email_sender"] or body.startswith(b" ")


def test_the_table_of_defects_above_is_complete() -> None:
    names = {mark for mark in Defect} - {Defect.BARE_CR, Defect.TEXT_TRUNCATED, Defect.UNREADABLE_BODY}  # noqa: C416  # an enum, not a set
    table = test_defects_are_named_and_the_email_is_archived.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {name for _, expected in table for name in expected} == set(map(str, names))
