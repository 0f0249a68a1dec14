"""Values of header fields into text: encoded words and parameters (RFC 2047, RFC 2045, RFC 2231). Pure: no I/O."""

import binascii
import re
from urllib.parse import unquote_to_bytes

from service2_consumer.intake.charsets import decode_text
from service2_consumer.intake.defects import Defect, Defects

MAX_VALUE_BYTES = 16 * 1024
MAX_PARAMETERS_BYTES = 4 * 1024
MAX_SECTIONS = 100  # of one parameter that RFC 2231 splits

# RFC 2047 allows 75 characters and no space; senders write longer words, with spaces and question marks.
_WORD = re.compile(rb"=\?([!->@-~]{1,60})\?([bBqQ])\?(.{0,2000}?)\?=", re.DOTALL)
# An unclosed quoted string takes the rest of the value, so that nothing is searched twice.
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)|([^;]*))', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


def decode_header(raw: bytes, defects: Defects, max_bytes: int = MAX_VALUE_BYTES) -> str:
    """Return a raw value as one line of text, its encoded words decoded; 8-bit values are UTF-8 or Windows-1252."""
    if len(raw) > max_bytes:
        defects.add(Defect.HEADER_TRUNCATED)
        raw = raw[:max_bytes]
    return one_line(_decode_words(raw, defects) if b"=?" in raw else _plain(raw, defects))


def one_line(text: str) -> str:
    """Return the text with each run of control characters as one space."""
    return _CONTROLS.sub(" ", text).strip()


def parse_parameters(raw: bytes, defects: Defects) -> tuple[str, dict[str, str]]:
    """Return the lower-case first word of a value such as Content-Type's, and its parameters by lower-case name.

    Values that RFC 2231 splits or encodes are put together under the plain name.
    """
    if len(raw) > MAX_PARAMETERS_BYTES:
        defects.add(Defect.HEADER_TRUNCATED)
        raw = raw[:MAX_PARAMETERS_BYTES]
    value = _plain(raw, defects)
    main, semicolon, _ = value.partition(";")
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for parameter in _PARAMETER.finditer(value, len(main)) if semicolon else ():
        name, quoted, token = parameter[1].lower(), parameter[2], parameter[3]
        text = _ESCAPED.sub(r"\1", quoted) if quoted is not None else token.strip()
        base, star, section = name.partition("*")
        number = section.removesuffix("*") or "0"
        if star and number.isascii() and number.isdecimal() and len(number) < 4 and int(number) < MAX_SECTIONS:
            sections.setdefault(base, {}).setdefault(int(number), (text, name.endswith("*")))
        else:
            plain.setdefault(name, text)
    return main.strip().partition(" ")[0].lower(), plain | {
        name: _joined(parts, defects) for name, parts in sections.items()
    }


def _joined(sections: dict[int, tuple[str, bool]], defects: Defects) -> str:
    label, raw = "", b""
    for number in range(len(sections)):
        text, is_encoded = sections.get(number, ("", False))
        if is_encoded and number == 0 and text.count("'") >= 2:
            label, _, text = text.split("'", 2)
        raw += unquote_to_bytes(text) if is_encoded else text.encode("utf-8", "replace")
    return decode_text(raw, label or "utf-8", defects)


def _decode_words(value: bytes, defects: Defects) -> str:
    """Decode the encoded words; neighbours in one charset are joined first, since a character may be split."""
    pieces: list[str] = []
    run: list[bytes] = []
    run_label = ""
    position = 0
    for word in _WORD.finditer(value):
        between = value[position : word.start()]
        label = word[1].partition(b"*")[0].decode("ascii").lower()  # RFC 2231 adds a language after an asterisk
        raw = _word_bytes(word[2], word[3])
        follows_word = bool(run) and raw is not None and not between.strip()
        if run and not (follows_word and label == run_label):
            pieces.append(decode_text(b"".join(run), run_label, defects))
            run = []
        if not follows_word:
            pieces.append(_plain(between, defects))
        if raw is None:
            defects.add(Defect.INVALID_ENCODED_WORD)
            pieces.append(_plain(word[0], defects))
        else:
            run.append(raw)
            run_label = label
        position = word.end()
    if run:
        pieces.append(decode_text(b"".join(run), run_label, defects))
    return "".join(pieces) + _plain(value[position:], defects)


def _word_bytes(encoding: bytes, text: bytes) -> bytes | None:
    """Return the bytes of an encoded word, or None if it is broken."""
    if encoding in b"qQ":
        return binascii.a2b_qp(text.replace(b" ", b"_"), header=True)
    try:
        return binascii.a2b_base64(text.rstrip(b"= ") + b"==")
    except ValueError:
        return None


def _plain(raw: bytes, defects: Defects) -> str:
    """Return 8-bit text: UTF-8 is allowed (RFC 6532), Windows-1252 is the guess for anything else."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return decode_text(raw, "", defects)
