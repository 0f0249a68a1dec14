"""Messages made from e-mails: size, attributes, what is too large."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pillarbox.ids import new_message_id
from pillarbox.message import MAX_MESSAGE_BYTES, sqs_size_bytes
from pillarbox.probe import PROBE_SENDER, new_probe_id
from pillarbox.tracing import UNTRACED
from service1_api.outgoing import Message, MessageFactory, trace_id_of
from service1_api.problems import Problem

NOW = datetime(2026, 12, 10, 14, 30, 22, tzinfo=UTC)
EMAIL: dict[str, Any] = {
    "email_subject": "s",
    "email_sender": "jane",
    "email_timestream": 1693561101,
    "email_content": "text",
}


class _Traced:
    """A span with a context to pass on."""

    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    tracestate = "a=1"
    exemplar = None

    def fail(self, error: str) -> None:
        """Do nothing."""

    def end(self, *, status: int | None = None) -> None:
        """Do nothing."""


def made(email: Any = EMAIL, *, limit: int = 0, message_id: str | None = None, traced: bool = False) -> Message:
    span = _Traced() if traced else UNTRACED
    return MessageFactory(limit).message(email, message_id or new_message_id(), NOW, span, "#/data")


def test_a_message_counts_its_size_as_sqs_does_and_carries_the_trace() -> None:
    message = made(traced=True)
    assert message.size_bytes == sqs_size_bytes(message.body, message.attributes)
    assert set(message.attributes) == {"message_id", "received_at", "source", "traceparent", "tracestate"}
    assert trace_id_of(message) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert not message.is_probe


def test_a_probe_is_marked() -> None:
    assert made(EMAIL | {"email_sender": PROBE_SENDER}, message_id=new_probe_id()).is_probe


@pytest.mark.parametrize("email", [[], "x", None, {}, EMAIL | {"email_sender": " "}])
def test_what_is_no_email_is_a_problem_that_names_the_place(email: Any) -> None:
    with pytest.raises(Problem) as raised:
        made(email)
    assert raised.value.code == "invalid_data"
    assert all(error.pointer.startswith("#/data") for error in raised.value.errors)


def _email_of(bytes_in_queue: int) -> dict[str, Any]:
    room = bytes_in_queue - made().size_bytes
    return EMAIL | {"email_content": EMAIL["email_content"] + "x" * room}


def test_tracestate_travels_only_where_there_is_room() -> None:
    assert "tracestate" not in made(_email_of(MAX_MESSAGE_BYTES - 80), traced=True).attributes


def test_the_largest_email_fits_and_one_more_byte_needs_a_bucket() -> None:
    assert made(_email_of(MAX_MESSAGE_BYTES)).payload is None
    with pytest.raises(Problem, match="at most 1048576 bytes in the queue") as raised:
        made(_email_of(MAX_MESSAGE_BYTES + 1))
    assert raised.value.code == "too_large"


def test_a_large_email_is_a_payload_up_to_its_limit() -> None:
    email = _email_of(MAX_MESSAGE_BYTES + 1)
    size = len(made(email, limit=2**24).payload or b"")
    assert size > MAX_MESSAGE_BYTES - 1000
    assert made(email, limit=size).body == ""
    with pytest.raises(Problem, match=f"at most {size - 1} bytes as compact JSON"):
        made(email, limit=size - 1)
