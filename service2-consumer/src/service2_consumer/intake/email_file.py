"""E-mail files into the fields of a record. Pure: no I/O, no clock."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from pillarbox.message import decode_body
from pillarbox.strict_json import JsonError, JsonValue
from service2_consumer.intake.charsets import decode_lines
from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import HeaderBlock, read_headers
from service2_consumer.intake.header_text import decode_header
from service2_consumer.intake.mime_parts import Leaf, find_leaves
from service2_consumer.intake.timestream import timestream_of
from service2_consumer.intake.transfer import decode_transfer
from service2_consumer.model import PoisonError

MAX_HEADER_BYTES = 256 * 1024
MAX_LEADING_BYTES = 4 * 1024  # of empty lines and an mbox "From " line before the header
MAX_TEXT_BYTES = 8 * 1024 * 1024  # JSON may need six bytes for each, and Python four for each character
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_JSON_COMMAS = 1_000_000  # a value takes up to a hundred bytes of memory for the two that it has in the file

# A file is an e-mail if its header block has one of these.
_KNOWN_FIELDS = {
    *("from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id"),
    *("received", "return-path", "delivered-to", "mime-version", "content-type"),
}
_SINGLE_FIELDS = ("from", "subject", "date", "content-type", "content-transfer-encoding", "content-disposition")
_LEADING = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n \t]{0,4000}(?:>?From [^\r\n]{0,1000}\r*\n)?")
# The header added last is the first one: what the sender wrote stands below it.
_METADATA_FIELDS = {
    "spam_verdict": "x-ses-spam-verdict",
    "virus_verdict": "x-ses-virus-verdict",
    "authentication_results": "authentication-results",
}
# What the standard library's codecs and parsers raise for input that nobody thought of.
_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class EmailFile:
    """The content of an e-mail file: JSON values for `email_data`, `metadata` and `attachments` of its record."""

    email_data: dict[str, JsonValue]
    metadata: dict[str, JsonValue]
    attachments: list[dict[str, JsonValue]]


def parse_file(content: bytes, last_modified: datetime) -> EmailFile:
    """Return what an e-mail (RFC 5322, MIME) or a JSON object with the four fields says.

    `last_modified` dates an e-mail without a valid date. Whatever is wrong with an e-mail is named in
    `metadata["defects"]`; only a file that is no e-mail raises PoisonError, with the reason `not_an_email`.
    """
    if content[:MAX_LEADING_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return _json_file(content)
    defects: Defects = set()
    if b"\r" in content[:MAX_HEADER_BYTES] and b"\n" not in content:
        defects.add(Defect.BARE_CR)
        content = content.replace(b"\r", b"\n")
    leading = _LEADING.match(content)
    headers = read_headers(content, leading.end() if leading else 0, len(content), MAX_HEADER_BYTES, defects)
    counts = Counter(name for name, _ in headers.fields)
    if not _KNOWN_FIELDS & counts.keys():
        raise PoisonError("not_an_email", "the file has neither a header of an e-mail nor JSON with its four fields")
    if any(counts[name] > 1 for name in _SINGLE_FIELDS):
        defects.add(Defect.DUPLICATE_HEADERS)
    subject = _text_field(headers, "subject", Defect.MISSING_SUBJECT, defects)
    sender = _text_field(headers, "from", Defect.MISSING_SENDER, defects)
    seconds, source = timestream_of(headers, last_modified, defects)
    text, media_type, attachments = _guarded_body(content, headers, defects)
    email: dict[str, JsonValue] = {"email_subject": subject, "email_sender": sender, "email_timestream": str(seconds)}
    email["email_content"] = text
    if media_type == "text/html":
        email["content_type"] = media_type
    metadata = _metadata(headers, defects)
    metadata |= {"defects": [str(defect) for defect in sorted(defects)], "timestream_source": source}
    return EmailFile(email, metadata, attachments)


def _metadata(headers: HeaderBlock, defects: Defects) -> dict[str, JsonValue]:
    metadata: dict[str, JsonValue] = {}
    for name, field in _METADATA_FIELDS.items():
        raw = headers.first(field)
        if raw is not None:
            metadata[name] = decode_header(raw, defects)
    return metadata


def _json_file(content: bytes) -> EmailFile:
    if len(content) > MAX_JSON_BYTES or content.count(b",") > MAX_JSON_COMMAS:
        raise PoisonError("not_an_email", f"the JSON file has more than {MAX_JSON_BYTES} bytes or too many values")
    try:
        return EmailFile(decode_body(content.decode("utf-8-sig")), {"defects": []}, [])
    except UnicodeDecodeError:
        raise PoisonError("not_an_email", "the JSON file is not in UTF-8") from None
    except JsonError as exc:
        raise PoisonError("not_an_email", f"the JSON file: {exc}") from None


def _text_field(headers: HeaderBlock, name: str, missing: Defect, defects: Defects) -> str:
    text = decode_header(headers.first(name) or b"", defects)
    if not text:
        defects.add(missing)
    return text


def _guarded_body(
    content: bytes, headers: HeaderBlock, defects: Defects
) -> tuple[str, str, list[dict[str, JsonValue]]]:
    try:
        return _body(content, find_leaves(content, headers, defects), defects)
    except _UNFORESEEN:
        defects.add(Defect.UNREADABLE_BODY)
        return "", "text/plain", []


def _body(content: bytes, leaves: list[Leaf], defects: Defects) -> tuple[str, str, list[dict[str, JsonValue]]]:
    """Return the text, its media type and the attachments."""
    text, chosen = _text(content, leaves, defects)
    others = [leaf for leaf in leaves if leaf is not chosen and (not leaf.is_text or leaf.file_name)]
    attachments = [_attachment(content, leaf, defects) for leaf in others]
    if _is_blank(text):
        defects.add(Defect.MISSING_TEXT)
    return text, chosen.media_type if chosen else "text/plain", attachments


def _text(content: bytes, leaves: list[Leaf], defects: Defects) -> tuple[str, Leaf | None]:
    """Return the first text that is not blank, plain text before HTML, and its leaf."""
    candidates = sorted((leaf for leaf in leaves if leaf.is_text), key=lambda leaf: leaf.media_type == "text/html")
    for leaf in candidates:
        found: Defects = set()
        raw = decode_transfer(content[leaf.start : leaf.end], leaf.encoding, found)
        text = decode_lines(_cut(raw, found), leaf.charset, found)
        if not _is_blank(text):
            defects |= found
            return text, leaf
    return "", candidates[0] if candidates else None


def _cut(raw: bytes, defects: Defects) -> bytes:
    """Return the first MAX_TEXT_BYTES of a text, without the beginning of a UTF-8 character at the end."""
    if len(raw) <= MAX_TEXT_BYTES:
        return raw
    defects.add(Defect.TEXT_TRUNCATED)
    end = MAX_TEXT_BYTES
    while end > MAX_TEXT_BYTES - 4 and raw[end] & 0xC0 == 0x80:  # a continuation byte
        end -= 1
    return raw[:end]


def _attachment(content: bytes, leaf: Leaf, defects: Defects) -> dict[str, JsonValue]:
    body = decode_transfer(content[leaf.start : leaf.end], leaf.encoding, defects)
    return {
        "file_name": leaf.file_name,
        "content_type": leaf.media_type,
        "size_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _is_blank(text: str) -> bool:
    return not text or text.isspace()  # strip() would copy megabytes
