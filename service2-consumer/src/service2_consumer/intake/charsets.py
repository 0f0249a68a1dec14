"""Bytes of a declared charset into text that JSON can carry. Pure: no I/O."""

import re
from encodings.aliases import aliases

from service2_consumer.intake.defects import Defect, Defects

MAX_LABEL_LENGTH = 40
MAX_REPAIRED_BYTES = 4 * 1024 * 1024  # each U+FFFD takes Python up to 250 ns in charsets other than UTF-8

# A closed list: Python remembers each unknown name that it was asked for, and some of its codecs are no charsets.
_NO_CHARSETS = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec", "mbcs"}
_CODECS = {
    **{name: name for name in aliases.values() if name not in _NO_CHARSETS},
    **{alias: name for alias, name in aliases.items() if name not in _NO_CHARSETS},
}
# What mail software writes, and what it means by it: the supersets of https://encoding.spec.whatwg.org/#names-and-labels
_CODECS |= dict.fromkeys(("gb2312", "gbk", "x_gbk", "936", "cp936", "ms936", "gb_2312_80", "chinese"), "gb18030")
_CODECS |= dict.fromkeys(("ks_c_5601_1987", "ks_c_5601", "euc_kr", "euckr", "ksc5601", "ks_x_1001", "korean"), "cp949")
_CODECS |= dict.fromkeys(("shift_jis", "shiftjis", "sjis", "s_jis", "x_sjis", "csshiftjis"), "cp932")
_CODECS |= {
    "x_mac_roman": "mac_roman",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "big5_hkscs": "big5hkscs",
}
_CODECS |= {"utf_8_sig": "utf_8", "unicode_1_1_utf_8": "utf_8", "unicode_1_1_utf_7": "utf_7", "x_unknown": "ascii"}
_SURROGATES = re.compile("[\ud800-\udfff]")


def codec_of(label: str) -> str | None:
    """Return the Python codec of a charset's label, or None if the label is not known."""
    if len(label) > MAX_LABEL_LENGTH or not label.isascii():
        return None
    return _CODECS.get(label.strip(" \t'\"").lower().replace("-", "_").replace(" ", "_").replace(".", "_"))


def decode_text(raw: bytes, label: str, defects: Defects) -> str:
    """Return the text of bytes that claim to be in the charset `label`; an empty label means US-ASCII.

    Bytes that are not in that charset are read as UTF-8 if they can be, else as Windows-1252 if the charset is
    unknown, US-ASCII, or wrong for more than MAX_REPAIRED_BYTES, else with U+FFFD in place of what is wrong. The text
    never has an unpaired surrogate.
    """
    codec = codec_of(label) if label else "ascii"
    if codec is None:
        defects.add(Defect.UNKNOWN_CHARSET)
        codec = "ascii"
    if codec == "latin_1":
        return _latin(raw)
    text = _strictly(raw, codec)
    if text is not None:
        return text
    defects.add(Defect.WRONG_CHARSET)
    text = _strictly(raw, "utf_8") if b"\0" not in raw else None  # UTF-16 that was cut off is no UTF-8
    if text is not None:
        return text
    if codec == "ascii":
        return _latin(raw)
    defects.add(Defect.INVALID_TEXT)
    if len(raw) > MAX_REPAIRED_BYTES and codec != "utf_8":
        return _latin(raw)
    return without_surrogates(raw.decode(codec, "replace"))


def decode_lines(raw: bytes, label: str, defects: Defects) -> str:
    """Return the text as `decode_text` does, with LF for CRLF."""
    if (codec_of(label) or "").startswith(("utf_16", "utf_32")):
        return decode_text(raw, label, defects).replace("\r\n", "\n")
    return decode_text(raw.replace(b"\r\n", b"\n"), label, defects)  # bytes: text may take four times the memory


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD in place of unpaired surrogates, which UTF-8 cannot carry."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _strictly(raw: bytes, codec: str) -> str | None:
    try:
        text = raw.decode(codec)
    except UnicodeError:
        return None
    return text if codec == "utf_8" else without_surrogates(text)


def _latin(raw: bytes) -> str:
    """Read ISO-8859-1 as Windows-1252, as browsers do, unless a byte is undefined in it."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin_1")
