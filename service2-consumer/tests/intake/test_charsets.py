"""Decoding of bytes: charset labels, wrong labels, and characters that are never returned."""

import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service2_consumer.intake.charsets import (
    MAX_REPAIRED_BYTES,
    codec_of,
    decode_lines,
    decode_text,
    without_surrogates,
)
from service2_consumer.intake.defects import Defect, Defects


@pytest.mark.parametrize(
    ("raw", "label", "text", "expected"),
    [
        (b"plain", "", "plain", set()),
        ("Grüße".encode(), "UTF-8", "Grüße", set()),
        ("Grüße".encode("latin-1"), "ISO-8859-1", "Grüße", set()),
        (b"\x93quoted\x94 \x80", "iso-8859-1", "“quoted” €", set()),
        (b"\x81", "iso-8859-1", "\x81", set()),
        ("日本語".encode("iso-2022-jp"), "ISO-2022-JP", "日本語", set()),
        ("①".encode("cp932"), "Shift_JIS", "①", set()),
        ("镕".encode("gbk"), "gb2312", "镕", set()),
        ("똠".encode("cp949"), "ks_c_5601-1987", "똠", set()),
        ("привет".encode("koi8-r"), '"koi8-r"', "привет", set()),
        ("Grüße".encode("latin-1"), "", "Grüße", {Defect.WRONG_CHARSET}),
        ("Grüße".encode(), "us-ascii", "Grüße", {Defect.WRONG_CHARSET}),
        ("привет".encode(), "iso-2022-jp", "привет", {Defect.WRONG_CHARSET}),
        (b"a\xffb", "utf-8", "a\ufffdb", {Defect.WRONG_CHARSET, Defect.INVALID_TEXT}),
        (b"a\x00b", "utf-16", "a\ufffd", {Defect.WRONG_CHARSET, Defect.INVALID_TEXT}),
        ("Grüße".encode(), "x-made-up", "Grüße", {Defect.UNKNOWN_CHARSET, Defect.WRONG_CHARSET}),
        (b"plain", "base64", "plain", {Defect.UNKNOWN_CHARSET}),
        (b"plain", "unicode_escape", "plain", {Defect.UNKNOWN_CHARSET}),
        (b"plain", "idna", "plain", {Defect.UNKNOWN_CHARSET}),
        (b"plain", "a\x00b", "plain", {Defect.UNKNOWN_CHARSET}),
        (b"plain", "u" * 1000, "plain", {Defect.UNKNOWN_CHARSET}),
        (b"+2AA-", "utf-7", "\ufffd", set()),
    ],
)
def test_text_is_decoded_and_what_was_wrong_is_named(raw: bytes, label: str, text: str, expected: Defects) -> None:
    found: Defects = set()
    assert decode_text(raw, label, found) == text
    assert found == expected


def test_unpaired_surrogates_are_replaced() -> None:
    assert without_surrogates("a\ud800b👋") == "a\ufffdb👋"


@given(st.binary(), st.sampled_from(["", "utf-8", "utf-7", "utf-16", "utf-32-le", "iso-2022-kr", "hz", "gb2312", "x"]))
def test_all_bytes_give_text_that_utf_8_can_carry(raw: bytes, label: str) -> None:
    decode_text(raw, label, set()).encode()


def test_every_charset_that_is_known_decodes_text() -> None:
    known = [label for label in {*encodings.aliases.aliases, *encodings.aliases.aliases.values()} if codec_of(label)]
    failures = {}
    for label in known:
        try:
            decode_text(bytes(range(256)), label, set()).encode()
        except Exception as exc:  # noqa: BLE001  # whatever it raises, the test names it
            failures[label] = repr(exc)
    assert len(known) > 100
    assert failures == {}


@pytest.mark.parametrize("label", ["", "utf-8", "utf-16", "utf-32-be", "iso-2022-jp"])
def test_crlf_becomes_lf_in_every_charset(label: str) -> None:
    raw = "one\r\ntwo\r\u0d0a".encode(label) if label.startswith("utf") else b"one\r\ntwo\r"
    assert decode_lines(raw, label, set()) == "one\ntwo\r" + ("\u0d0a" if label.startswith("utf") else "")


@pytest.mark.parametrize(("size", "text"), [(MAX_REPAIRED_BYTES, "\ufffd"), (MAX_REPAIRED_BYTES + 2, "\xd8")])
def test_megabytes_in_a_wrong_charset_are_not_repaired_one_by_one(size: int, text: str) -> None:
    found: Defects = set()
    assert text in decode_text(b"\x00\xd8" * (size // 2), "utf-16-le", found)
    assert Defect.INVALID_TEXT in found
