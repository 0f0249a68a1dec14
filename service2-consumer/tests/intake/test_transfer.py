"""Transfer encodings: what is decoded, and what broken input gives."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.transfer import decode_transfer


@pytest.mark.parametrize(
    ("raw", "encoding", "body", "expected"),
    [
        (b"a\xff\r\n", "8bit", b"a\xff\r\n", set()),
        (b"a", "", b"a", set()),
        (b"a", "x-uuencode", b"a", {Defect.UNKNOWN_ENCODING}),
        (b"aGVs\r\n bG8=\r\n", "base64", b"hello", set()),
        (b"aGVs!bG8=", "base64", b"hello", {Defect.INVALID_BASE64}),
        (b"aGVsbG8", "base64", b"hello", {Defect.INVALID_BASE64}),
        (b"aGVsbG", "base64", b"hell", {Defect.INVALID_BASE64}),
        (b"aGVsb", "base64", b"hel", {Defect.INVALID_BASE64}),
        (b"a", "base64", b"", {Defect.INVALID_BASE64}),
        (b"\xff\xfe\x00", "base64", b"", {Defect.INVALID_BASE64}),
        (b"aGVsbG8=\r\n--\r\nfooter", "base64", b"hello", {Defect.INVALID_BASE64}),
        (b"Gr=C3=BC=\r\n=c3=9fe", "quoted-printable", "Grüße".encode(), set()),
        (b"a=  \r\nb", "quoted-printable", b"a=  \r\nb", set()),
        (b"100 =ZZ =", "quoted-printable", b"100 =ZZ ", {Defect.INVALID_QUOTED_PRINTABLE}),
    ],
)
def test_bodies_are_decoded_and_what_was_wrong_is_named(
    raw: bytes, encoding: str, body: bytes, expected: Defects
) -> None:
    found: Defects = set()
    assert decode_transfer(raw, encoding, found) == body
    assert found == expected


@given(st.binary())
def test_what_was_encoded_comes_back(body: bytes) -> None:
    found: Defects = set()
    assert decode_transfer(base64.encodebytes(body), "base64", found) == body
    # As text, the encoder would make all line ends equal.
    assert decode_transfer(binascii.b2a_qp(body, istext=False), "quoted-printable", found) == body
    assert found == set()


@given(st.binary(), st.sampled_from(["base64", "quoted-printable", "7bit"]))
def test_no_bytes_raise(raw: bytes, encoding: str) -> None:
    assert len(decode_transfer(raw, encoding, set())) <= len(raw)
