"""The message contract: the fields of an e-mail, and its form in SQS. Pure: no I/O."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pillarbox import strict_json, trace
from pillarbox.ids import parse_message_id
from pillarbox.strict_json import JsonError, JsonValue

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_MESSAGE_BYTES = 1024 * 1024  # body and attributes together; the limit applies to a whole batch too
MAX_BATCH_ENTRIES = 10

EARLIEST_TIMESTAMP = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
END_OF_TIMESTAMPS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())

# SQS accepts XML 1.0 characters only; these two are the only others that a JSON writer does not escape.
_ESCAPES = {"\ufffe": "\\ufffe", "\uffff": "\\uffff"}
_DIGITS = re.compile(r"[0-9]+")
_MAX_SOURCE_LENGTH = 256


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


def _timestamp(value: object) -> object:
    if isinstance(value, str):
        if not value.strip():
            raise PydanticCustomError("blank", "must not be blank")
        if not _DIGITS.fullmatch(value):
            raise PydanticCustomError("timestamp_format", "must be a Unix timestamp in whole seconds, digits only")
        digits = value.lstrip("0")
        seconds = int(digits) if 0 < len(digits) <= 10 else -1
    elif isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    else:
        raise PydanticCustomError("timestamp_type", "must be a Unix timestamp: an integer or a string of digits")
    if not EARLIEST_TIMESTAMP <= seconds < END_OF_TIMESTAMPS:
        raise PydanticCustomError(
            "timestamp_range", "must be from 2000-01-01 up to but not including 2100-01-01 (seconds, not milliseconds)"
        )
    return value


_Text = Annotated[StrictStr, AfterValidator(_not_blank)]
_Timestamp = Annotated[
    object,
    PlainValidator(_timestamp),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "integer", "minimum": EARLIEST_TIMESTAMP, "exclusiveMaximum": END_OF_TIMESTAMPS},
                {"type": "string", "pattern": "^[0-9]+$"},
            ]
        }
    ),
]


class Email(BaseModel):
    """The four fields of an e-mail; additional fields are kept and stored."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    email_subject: _Text = Field(description="Subject line", min_length=1)
    email_sender: _Text = Field(description="Who sent it: an address or a name", min_length=1)
    email_timestream: _Timestamp = Field(description="When it was sent: Unix time in seconds")
    email_content: _Text = Field(description="The text of the e-mail", min_length=1)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """An invalid field: its name, a stable code and a text that states what is expected."""

    field: str
    code: str
    text: str


_TEXTS = {
    "missing": ("missing", "is required"),
    "string_type": ("type", "must be a string"),
    "string_too_short": ("blank", "must not be blank"),
    "model_type": ("type", "must be a JSON object"),
}


def field_problems(data: JsonValue) -> list[FieldProblem]:
    """Check an e-mail against the contract; return one problem for each invalid field, or an empty list.

    A value that is not an object has one problem with an empty field name. No text quotes the input.
    """
    try:
        Email.model_validate(data)
    except ValidationError as exc:
        problems = []
        for error in exc.errors(include_url=False, include_context=False, include_input=False):
            code, text = _TEXTS.get(error["type"], (error["type"], error["msg"]))
            problems.append(FieldProblem(str(error["loc"][0]) if error["loc"] else "", code, text))
        return problems
    return []


def encode_body(email: Mapping[str, JsonValue]) -> str:
    """Return the SQS body of an e-mail: its fields as compact JSON in characters that SQS accepts."""
    body = strict_json.dumps(dict(email)).decode()
    for character, escape in _ESCAPES.items():
        if character in body:
            body = body.replace(character, escape)
    return body


def decode_body(body: str) -> dict[str, JsonValue]:
    """Return the e-mail in an SQS body.

    Raise JsonError with a reason of strict_json.loads, or with `not_an_email` and a text that names the fields.
    """
    try:
        return decode_email(body.encode())
    except UnicodeEncodeError:
        raise JsonError("invalid_json", "has an unpaired surrogate") from None


def decode_email(raw: bytes) -> dict[str, JsonValue]:
    """Return the e-mail in a body of UTF-8. Raise JsonError as `decode_body` does.

    A large body is best kept as bytes: with one character past U+FFFF, a string needs four bytes for each character.
    """
    email = strict_json.loads(raw)
    problems = field_problems(email)
    if problems or not isinstance(email, dict):
        raise JsonError("not_an_email", "; ".join(f"{p.field or 'the body'} {p.text}" for p in problems))
    return email


def email_sha256(email: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256, in hex, of the e-mail as compact UTF-8 JSON with sorted keys: the value of `email-sha256`."""
    return hashlib.sha256(strict_json.dumps(dict(email), sort_keys=True)).hexdigest()


def sqs_size_bytes(body: str, attributes: Mapping[str, str]) -> int:
    """Return a message's size as SQS counts it: the UTF-8 bytes of the body and of each attribute."""
    return len(body.encode()) + sum(len(n.encode()) + len("String") + len(v.encode()) for n, v in attributes.items())


@dataclass(frozen=True, slots=True)
class Envelope:
    """The message attributes; a field is None if its attribute is missing or invalid."""

    message_id: str | None = None
    received_at: datetime | None = None
    source: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None

    def to_attributes(self) -> dict[str, str]:
        """Return the attributes, all of type String, of the fields that are set."""
        values = {
            "message_id": self.message_id,
            "received_at": rfc3339(self.received_at) if self.received_at else None,
            "source": self.source,
            "traceparent": self.traceparent,
            "tracestate": self.tracestate,
        }
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "Envelope":
        """Read attributes and ignore invalid ones: another producer's mistake must not lose an e-mail."""
        source = attributes.get("source", "")
        traceparent = trace.parse(attributes.get("traceparent", ""))
        return cls(
            message_id=message_id_in(attributes),
            received_at=_parsed_time(attributes.get("received_at", "")),
            source=source if 0 < len(source) <= _MAX_SOURCE_LENGTH and source.isprintable() else None,
            traceparent=traceparent,
            tracestate=(traceparent and trace.parse_state(attributes.get("tracestate", ""))) or None,
        )


def rfc3339(timestamp: datetime) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds: 2026-12-10T14:30:22.123Z."""
    return timestamp.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message_id_in(attributes: Mapping[str, str]) -> str | None:
    """Return the message id in the attributes; None if it is missing or invalid."""
    try:
        return parse_message_id(attributes.get("message_id", ""))
    except ValueError:
        return None


def _parsed_time(text: str) -> datetime | None:
    try:
        timestamp = datetime.fromisoformat(text)
        return timestamp.astimezone(UTC) if timestamp.tzinfo else None
    except (ValueError, OverflowError):
        return None
