"""Content transfer encodings into bytes (RFC 2045, section 6). Pure: no I/O."""

import binascii
import re
import string

import pybase64

from service2_consumer.intake.defects import Defect, Defects

_NO_BASE64 = bytes(set(range(256)) - set(string.digits.encode() + string.ascii_letters.encode() + b"+/"))
_IDENTITY = {"", "7bit", "8bit", "binary"}
_BROKEN_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]{0,80}\r?\n|[ \t]{0,80}\Z)")


def decode_transfer(raw: bytes, encoding: str, defects: Defects) -> bytes:
    """Return the decoded bytes; what is broken is skipped in base64 and kept as it is in quoted-printable."""
    if encoding == "base64":
        return _base64(raw, defects)
    if encoding == "quoted-printable":
        if _BROKEN_ESCAPE.search(raw):
            defects.add(Defect.INVALID_QUOTED_PRINTABLE)
        return binascii.a2b_qp(raw)
    if encoding not in _IDENTITY:
        defects.add(Defect.UNKNOWN_ENCODING)
    return raw


def _base64(raw: bytes, defects: Defects) -> bytes:
    packed = raw.translate(None, b"\r\n \t")
    try:
        return pybase64.b64decode(packed, validate=True)
    except ValueError:
        defects.add(Defect.INVALID_BASE64)
    try:
        return binascii.a2b_base64(packed)
    except ValueError:
        return _base64_without_its_end(packed)


def _base64_without_its_end(packed: bytes) -> bytes:
    """Decode what has too few characters: all that are needed for whole bytes."""
    letters = packed.partition(b"=")[0].translate(None, _NO_BASE64)
    usable = len(letters) - (len(letters) % 4 == 1)
    return binascii.a2b_base64(letters[:usable] + b"=" * (-usable % 4))
