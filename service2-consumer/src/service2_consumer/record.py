"""Builds records from messages: object key, body and metadata. Pure: no I/O, no clock."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pillarbox import strict_json, trace
from pillarbox.ids import time_of
from pillarbox.message import Envelope, decode_email, email_sha256, message_id_in, rfc3339
from pillarbox.object_key import KeyTemplate
from pillarbox.probe import is_probe, is_probe_id, probe_key
from pillarbox.s3_events import ObjectCreated
from pillarbox.strict_json import JsonError, JsonValue
from service2_consumer.intake.email_file import EmailFile
from service2_consumer.intake.object_id import object_message_id
from service2_consumer.model import InFlightMessage, PoisonError, Record, StoredObject

_FILE_SOURCE = "file"  # `metadata.source` of a record that was made from a file
_GZIP = 31  # zlib's number for the gzip format
_GZIP_MAGIC = b"\x1f\x8b"


def message_id_of(message: InFlightMessage) -> str:
    """Return the id used in keys, logs and records: the attribute `message_id` if it is valid, else the SQS id."""
    return message_id_in(message.attributes) or message.sqs_message_id


def trace_id_of(message: InFlightMessage) -> str:
    """Return the id of the trace that the attribute `traceparent` names; empty if it names none."""
    return trace.trace_id(trace.parse(message.attributes.get("traceparent", "")) or "")


class Recorder:
    """Builds records; `validates` requires e-mails, `raw` stores bodies unchanged instead of JSON documents."""

    def __init__(self, template: KeyTemplate, version: str, *, validates: bool = True, raw: bool = False) -> None:
        self._template = template
        self._version = version
        self._validates = validates
        self._raw = raw

    def record(self, message: InFlightMessage, now: datetime, payload: bytes | None = None) -> Record:
        """Return the record of a message processed at `now`. A payload stands for the body. Raise PoisonError."""
        raw = self._bytes(message.body) if payload is None else payload
        envelope = Envelope.from_attributes(message.attributes)
        message_id = envelope.message_id or message.sqs_message_id
        timestamp = time_of(envelope.message_id) if envelope.message_id else message.sent_at
        content: dict[str, JsonValue]
        if self._validates:
            email = _email(raw)
            digest, sender, content = email_sha256(email), str(email["email_sender"]), {"email_data": email}
        else:
            sender = _sender(raw) if is_probe_id(message_id) else ""
            digest, content = hashlib.sha256(raw).hexdigest(), {"body": _text(raw)}
        if self._raw:
            body, content_type = raw, "text/plain; charset=utf-8"
        else:
            metadata = self._metadata(message, envelope.received_at or message.sent_at, envelope.source)
            if envelope.traceparent:
                metadata["trace_id"] = trace.trace_id(envelope.traceparent)
            body, content_type = _document(message_id, now, content | {"metadata": metadata}), "application/json"
        if is_probe(message_id, sender):
            key = probe_key(message_id)
        else:
            key = self._template.key(message_id, timestamp, sender)
        return Record(message_id, timestamp, digest, key, body, content_type)

    def _bytes(self, body: str) -> bytes:
        try:
            return body.encode()
        except UnicodeEncodeError:
            reason = "invalid_json" if self._validates else "invalid_text"
            raise PoisonError(reason, "contains an unpaired surrogate") from None

    def file_record(
        self,
        file: EmailFile,
        event: ObjectCreated,
        found: StoredObject,
        message: InFlightMessage,
        now: datetime,
    ) -> Record:
        """Return the record of an e-mail file that an event of S3 names, processed at `now`."""
        message_id = object_message_id(found.last_modified, event.bucket, event.key, event.version, found.etag)
        source: dict[str, JsonValue] = {"bucket": event.bucket, "key": event.key, "etag": found.etag}
        if event.version:
            source["version"] = event.version
        metadata = self._metadata(message, found.last_modified, _FILE_SOURCE) | {"source_object": source}
        content: dict[str, JsonValue] = {
            "email_data": file.email_data,
            "attachments": list(file.attachments),
            "metadata": metadata | file.metadata,
        }
        timestamp = time_of(message_id)
        key = self._template.key(message_id, timestamp, str(file.email_data["email_sender"]))
        body = _document(message_id, now, content)
        return Record(message_id, timestamp, email_sha256(file.email_data), key, body, "application/json")

    def _metadata(self, message: InFlightMessage, received_at: datetime, source: str | None) -> dict[str, JsonValue]:
        metadata: dict[str, JsonValue] = {"processor_version": self._version}
        if source:
            metadata["source"] = source
        return metadata | {"received_at": rfc3339(received_at), "sqs_message_id": message.sqs_message_id}


def _document(message_id: str, now: datetime, content: Mapping[str, JsonValue]) -> bytes:
    processed_at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return strict_json.dumps({"message_id": message_id, "processed_at": processed_at, **content})


@dataclass(frozen=True, slots=True)
class Digests:
    """The possible digests of a stored object's content; `is_document` means that it has the form of a record."""

    of_content: frozenset[str]
    is_document: bool


def digests_of(stored: bytes) -> Digests:
    """Return the possible digests of a stored object's content, for every form in which a record is written."""
    if stored.startswith(_GZIP_MAGIC):
        try:
            stored = zlib.decompress(stored, _GZIP)
        except zlib.error:
            return Digests(frozenset(), is_document=False)
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


def _email(raw: bytes) -> dict[str, JsonValue]:
    try:
        return decode_email(raw)
    except JsonError as exc:
        raise PoisonError(exc.reason, str(exc)) from None


def _sender(raw: bytes) -> str:
    """Return the sender if a body of any kind is an e-mail; empty if not."""
    try:
        email = strict_json.loads(raw)
    except JsonError:
        return ""
    return str(email.get("email_sender", "")) if isinstance(email, dict) else ""


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise PoisonError("invalid_text", "is not UTF-8") from None
