"""A message to publish: made from an e-mail that a client sent, and the errors of publishing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pillarbox import trace
from pillarbox.message import MAX_MESSAGE_BYTES, Envelope, encode_body, field_problems, sqs_size_bytes
from pillarbox.probe import is_probe
from pillarbox.strict_json import JsonValue
from pillarbox.tracing import UNTRACED, Span
from service1_api import SERVICE
from service1_api.problems import FieldError, Problem


@dataclass(frozen=True, slots=True)
class Message:
    """One message as SQS takes it; `size_bytes` counts body and attributes as SQS does."""

    body: str
    attributes: Mapping[str, str]
    size_bytes: int
    payload: bytes | None = None  # the body of a message past SQS's limit: payloads.py replaces it
    numbers: Mapping[str, str] | None = None  # attributes of type Number
    is_probe: bool = False
    span: Span = UNTRACED


def trace_id_of(message: Message) -> str:
    """Return the id of the trace that travels with a message; empty if none does."""
    return trace.trace_id(message.attributes.get("traceparent", ""))


class PublishError(Exception):
    """A message that the queue has not confirmed; `cause` is a short stable word for metrics and logs."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class QueueUnavailableError(PublishError):
    """The queue was not reached or failed. It may hold the message; the same message may be sent again."""


class MessageRefusedError(PublishError):
    """The queue rejects the message, or the whole call because of one of its messages. A retry cannot succeed."""


class OverloadedError(PublishError):
    """Too many messages are waiting."""


class MessageFactory:
    """Makes messages from e-mails. `max_payload_bytes` limits those too large for SQS; 0 if no bucket is there."""

    def __init__(self, max_payload_bytes: int) -> None:
        self._max_payload_bytes = max_payload_bytes

    def message(self, data: JsonValue, message_id: str, now: datetime, span: Span, pointer: str) -> Message:
        """Return the message of an e-mail received at `now`. Raise Problem; `pointer` says where the e-mail stands."""
        problems = field_problems(data)
        if problems or not isinstance(data, dict):
            errors = [FieldError(f"{pointer}/{p.field}" if p.field else pointer, p.code, p.text) for p in problems]
            raise Problem("invalid_data", "the e-mail does not match the contract", errors)
        body = encode_body(data)
        attributes = Envelope(message_id, now, SERVICE, span.traceparent, span.tracestate).to_attributes()
        size = sqs_size_bytes(body, attributes)
        if size > MAX_MESSAGE_BYTES and "tracestate" in attributes:  # it travels only where there is room
            del attributes["tracestate"]
            size = sqs_size_bytes(body, attributes)
        if size > MAX_MESSAGE_BYTES:
            return self._large(body, attributes, size, span)
        return Message(body, attributes, size, is_probe=is_probe(message_id, data["email_sender"]), span=span)

    def _large(self, body: str, attributes: Mapping[str, str], size: int, span: Span) -> Message:
        limit = self._max_payload_bytes
        if not limit:
            detail = f"an e-mail is at most {MAX_MESSAGE_BYTES} bytes in the queue; this one has {size}"
            raise Problem("too_large", detail)
        payload = body.encode()  # the text would take up to four bytes per character
        if len(payload) > limit:
            raise Problem(
                "too_large", f"an e-mail is at most {limit} bytes as compact JSON; this one has {len(payload)}"
            )
        return Message("", attributes, size, payload, span=span)
