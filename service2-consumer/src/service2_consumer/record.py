"""From a message to what is stored: object key, body and metadata. Pure: no I/O, no clock."""

import hashlib
import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pillarbox import strict_json, trace
from pillarbox.ids import time_of
from pillarbox.message import Envelope, decode_body, email_sha256, rfc3339
from pillarbox.strict_json import JsonError, JsonValue

MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_SENDER_LENGTH = 64

_PREFIX = "{prefix}"
_FIELDS = ("prefix", "date", "message_id", "sender")
# Directives that depend on nothing but the moment itself: no locale, no time zone of the machine.
_DATE_DIRECTIVES = frozenset("YymdHMSjfGVu%")
_OWN_PREFIXES = ("conflicts/", "health/")
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")
_UNSAFE = re.compile(r"[^a-z0-9._+]+")
_EXAMPLE_ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"


class PoisonError(ValueError):
    """A message that can never be stored: `reason` is a short stable code; the text never quotes the message."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received from SQS; `receipt` is the handle of this very receive."""

    sqs_message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, str]
    sent_at: datetime
    receive_count: int


@dataclass(frozen=True, slots=True)
class Record:
    """What one message becomes in S3; `moment` dates it, `sha256` says which e-mail it holds."""

    message_id: str
    moment: datetime
    sha256: str
    key: str
    body: bytes
    content_type: str

    @property
    def conflict_key(self) -> str:
        """Give the key for an e-mail whose own key holds another one already."""
        return f"conflicts/{self.moment:%Y/%m/%d}/{self.message_id}/{self.sha256}.json"


class KeyTemplate:
    """Turns id, moment and sender into an object key; raises ValueError if the keys would not be safe and distinct."""

    def __init__(self, template: str, prefix: str) -> None:
        _check_fields(template)
        self._template = template
        self._prefix = prefix
        self.example = self.key(_EXAMPLE_ID, time_of(_EXAMPLE_ID), "Jane Doe <jane.doe@example.com>")
        problem = _key_problem(self.example)
        if problem:
            raise ValueError(f"{problem} (its keys look like {self.example})")

    def key(self, message_id: str, moment: datetime, sender: str) -> str:
        """Give the key of a message."""
        slug = sender_slug(sender) if "{sender}" in self._template else ""
        return self._template.format(prefix=self._prefix, date=moment, message_id=message_id, sender=slug)


def _check_fields(template: str) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise ValueError(f"is not in Python format syntax: {exc}") from None
    used = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in _FIELDS or conversion:
            raise ValueError(f"may use the fields {', '.join(_FIELDS)} only, without conversions")
        directives = re.findall("%(.?)", spec or "") if name == "date" else []
        if name != "date" and spec:
            raise ValueError(f"must not format {name}, only date")
        if name == "date" and (not directives or not _DATE_DIRECTIVES.issuperset(directives) or "{" in (spec or "")):
            raise ValueError("must format date by directives that depend on the moment alone, such as {date:%Y/%m/%d}")
        used.append(name)
    if not template.startswith(_PREFIX):
        raise ValueError(f"must begin with {_PREFIX}: S3_PREFIX names where the service may write")
    if "message_id" not in used:
        raise ValueError("must contain {message_id}, else two messages share a key")


def _key_problem(key: str) -> str | None:
    if key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/")):
        return "must not give empty, '.' or '..' parts between slashes"
    if not key.isprintable() or len(key.encode()) > MAX_KEY_BYTES // 2:
        return f"must give printable keys of at most {MAX_KEY_BYTES // 2} bytes"
    if key.startswith(_OWN_PREFIXES):
        return f"must not give keys below {' or '.join(_OWN_PREFIXES)}, which hold what is not an e-mail's first copy"
    return None


def sender_slug(sender: str) -> str:
    """Give the sender as a safe part of a key: the local part of an address, else the text, in a-z 0-9 . _ + -."""
    address = _ADDRESS.search(sender)
    text = address[1] if address else sender
    local = text.rpartition("@")[0] or text
    plain = unicodedata.normalize("NFKD", local[: 4 * MAX_SENDER_LENGTH]).encode("ascii", "ignore").decode().lower()
    slug = _UNSAFE.sub("-", plain)[:MAX_SENDER_LENGTH].strip("-.")
    return slug or "unknown"


def message_id_of(message: Message) -> str:
    """Give the id that names a message everywhere: its `message_id` attribute if that is valid, else the SQS id."""
    return Envelope.from_attributes(message.attributes).message_id or message.sqs_message_id


class Recorder:
    """Makes records of messages; `validates` demands e-mails, `raw` keeps bodies as they are instead of documents."""

    def __init__(self, template: KeyTemplate, version: str, *, validates: bool = True, raw: bool = False) -> None:
        self._template = template
        self._version = version
        self._validates = validates
        self._raw = raw

    def record(self, message: Message, now: datetime) -> Record:
        """Give the record of a message, processed at `now`. Raises PoisonError."""
        envelope = Envelope.from_attributes(message.attributes)
        message_id = envelope.message_id or message.sqs_message_id
        moment = time_of(envelope.message_id) if envelope.message_id else message.sent_at
        content: dict[str, JsonValue]
        if self._validates:
            email = _email(message.body)
            digest, sender, content = email_sha256(email), str(email["email_sender"]), {"email_data": email}
        else:
            digest, sender, content = hashlib.sha256(_bytes(message.body)).hexdigest(), "", {"body": message.body}
        if self._raw:
            body, content_type = _bytes(message.body), "text/plain; charset=utf-8"
        else:
            document = self._document(message_id, content, envelope, message, now)
            body, content_type = strict_json.dumps(document), "application/json"
        key = self._template.key(message_id, moment, sender)
        return Record(message_id, moment, digest, key, body, content_type)

    def _document(
        self, message_id: str, content: Mapping[str, JsonValue], envelope: Envelope, message: Message, now: datetime
    ) -> dict[str, JsonValue]:
        metadata: dict[str, JsonValue] = {"processor_version": self._version}
        if envelope.source:
            metadata["source"] = envelope.source
        metadata["received_at"] = rfc3339(envelope.received_at or message.sent_at)
        metadata["sqs_message_id"] = message.sqs_message_id
        if envelope.traceparent:
            metadata["trace_id"] = trace.trace_id(envelope.traceparent)
        processed_at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"message_id": message_id, "processed_at": processed_at, **content, "metadata": metadata}


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that a stored object's content may have been given; `is_document`: it reads as one of ours."""

    of_content: frozenset[str]
    is_document: bool


def digests_of(stored: bytes) -> Digests:
    """Give the digests of a stored object's content, whichever way it was written."""
    raw = hashlib.sha256(stored).hexdigest()
    try:
        document = strict_json.loads(stored)
    except JsonError:
        document = None
    content = document if isinstance(document, dict) else {}
    match content:
        case {"email_data": dict(email)}:
            return Digests(frozenset({raw, email_sha256(email)}), is_document=True)
        case {"body": str(body)}:
            return Digests(frozenset({raw, hashlib.sha256(body.encode()).hexdigest()}), is_document=True)
    return Digests(frozenset({raw}), is_document=False)


def _email(body: str) -> dict[str, JsonValue]:
    try:
        return decode_body(body)
    except JsonError as exc:
        raise PoisonError(exc.reason, str(exc)) from None


def _bytes(body: str) -> bytes:
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise PoisonError("invalid_text", "has half of a surrogate pair") from None
