import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import message
from pillarbox.message import Envelope, FieldProblem
from pillarbox.strict_json import JsonError

EMAIL: dict[str, Any] = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}


def problem_of(field: str, value: object) -> FieldProblem | None:
    problems = message.field_problems({**EMAIL, field: value})  # type: ignore[dict-item]  # wrong types on purpose
    assert len(problems) <= 1
    return problems[0] if problems else None


def test_email_with_additional_fields_is_valid() -> None:
    assert message.field_problems({**EMAIL, "x": [1, {"model_config": None}], "model_fields": 1, "": 2}) == []


@pytest.mark.parametrize("field", ["email_subject", "email_sender", "email_timestream", "email_content"])
def test_each_field_is_required(field: str) -> None:
    email = {name: value for name, value in EMAIL.items() if name != field}
    assert message.field_problems(email) == [FieldProblem(field, "missing", "is required")]


@pytest.mark.parametrize("field", ["email_subject", "email_sender", "email_timestream", "email_content"])
@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\u2003"])
def test_blank_field_is_invalid(field: str, blank: str) -> None:
    assert problem_of(field, blank) == FieldProblem(field, "blank", "must not be blank")


@pytest.mark.parametrize("field", ["email_subject", "email_sender", "email_content"])
@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["text"]])
def test_text_fields_accept_only_strings(field: str, value: object) -> None:
    assert problem_of(field, value) == FieldProblem(field, "type", "must be a string")


@pytest.mark.parametrize("value", [946684800, 4102444799, "946684800", "4102444799", "0001693561101"])
def test_timestamps_in_range_are_valid(value: object) -> None:
    assert problem_of("email_timestream", value) is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (946684799, "timestamp_range"),
        (4102444800, "timestamp_range"),
        ("4102444800", "timestamp_range"),
        (1693561101000, "timestamp_range"),
        (-1, "timestamp_range"),
        (10**40, "timestamp_range"),
        ("9" * 10_000, "timestamp_range"),
        ("0" * 10_000, "timestamp_range"),
        ("1693561101.0", "timestamp_format"),
        ("-1693561101", "timestamp_format"),
        (" 1693561101", "timestamp_format"),
        ("1_693_561_101", "timestamp_format"),
        ("١٦٩٣٥٦١١٠١", "timestamp_format"),
        ("2023-09-01T09:38:21Z", "timestamp_format"),
        (1693561101.0, "timestamp_type"),
        (True, "timestamp_type"),
        (None, "timestamp_type"),
        ([1693561101], "timestamp_type"),
    ],
)
def test_other_timestamps_are_invalid_with_a_code(value: object, code: str) -> None:
    problem = problem_of("email_timestream", value)
    assert problem is not None
    assert (problem.field, problem.code) == ("email_timestream", code)


def test_all_invalid_fields_are_listed() -> None:
    assert [p.field for p in message.field_problems({"email_subject": "", "email_sender": 1})] == [
        "email_subject",
        "email_sender",
        "email_timestream",
        "email_content",
    ]


@pytest.mark.parametrize("data", [None, [], "text", 1, True, [EMAIL]])
def test_value_other_than_an_object_is_one_problem_without_a_field(data: Any) -> None:
    assert message.field_problems(data) == [FieldProblem("", "type", "must be a JSON object")]


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(texts, texts | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_body_decodes_to_the_email_and_has_characters_of_sqs(extra: dict[str, Any]) -> None:
    email = {**extra, **EMAIL}
    body = message.encode_body(email)
    assert not [c for c in body if ord(c) < 0x20 or c in "\ufffe\uffff"]
    assert repr(message.decode_body(body)) == repr(email)


def test_every_character_survives_the_body() -> None:
    everything = "".join(chr(code) for code in range(0x11000) if not 0xD800 <= code <= 0xDFFF)
    body = message.encode_body({**EMAIL, "email_content": everything})
    assert message.decode_body(body)["email_content"] == everything


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "invalid_json"),
        ("hello", "invalid_json"),
        ("\ud800", "invalid_json"),
        ("[" * 500, "too_deep"),
        ("null", "not_an_email"),
        ("[]", "not_an_email"),
        ("{}", "not_an_email"),
        (json.dumps({**EMAIL, "email_sender": ["a"]}), "not_an_email"),
        (json.dumps({**EMAIL, "x": 0.1}).replace("0.1", "0.1000000000000000000001"), "number_precision"),
    ],
)
def test_body_other_than_an_email_is_refused_with_a_reason(body: str, reason: str) -> None:
    with pytest.raises(JsonError) as caught:
        message.decode_body(body)
    assert caught.value.reason == reason


def test_refusal_names_the_fields_and_not_their_content() -> None:
    with pytest.raises(JsonError, match=r"^email_timestream must be a Unix timestamp in whole seconds, digits only$"):
        message.decode_body(json.dumps({**EMAIL, "email_timestream": "secret"}))


def test_hash_is_that_of_sorted_compact_json() -> None:
    expected = hashlib.sha256(json.dumps(EMAIL, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert message.email_sha256(EMAIL) == message.email_sha256(dict(reversed(EMAIL.items()))) == expected


def test_hash_differs_for_different_emails() -> None:
    assert message.email_sha256(EMAIL) != message.email_sha256({**EMAIL, "email_timestream": 1693561101})


def test_size_counts_body_and_attributes_in_bytes() -> None:
    assert message.sqs_size_bytes("é😀", {"sourcé": "ü"}) == 6 + 7 + len("String") + 2


def test_envelope_is_restored_from_its_attributes() -> None:
    envelope = Envelope(
        message_id="017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        received_at=datetime(2026, 12, 10, 14, 30, 22, 123000, tzinfo=UTC),
        source="service1-api",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        tracestate="vendor=1",
    )
    attributes = envelope.to_attributes()
    assert attributes["received_at"] == "2026-12-10T14:30:22.123Z"
    assert Envelope.from_attributes(attributes) == envelope


def test_empty_envelope_has_no_attributes() -> None:
    assert Envelope().to_attributes() == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"message_id": "7"},
        {"message_id": "../etc/passwd"},
        {"received_at": "yesterday"},
        {"received_at": "2026-12-10T14:30:22"},  # without a zone the time is ambiguous
        {"received_at": "0001-01-01T00:00:00+23:59"},  # earlier than datetime supports in UTC
        {"source": ""},
        {"source": "x" * 257},
        {"source": "a\nb"},
        {"traceparent": "00-0-0-0"},
        {"tracestate": "vendor=1"},  # of no trace
        {"traceparent": "00-0-0-0", "tracestate": "vendor=1"},
        {"another": "attribute"},
    ],
)
def test_invalid_attributes_are_ignored(attributes: dict[str, str]) -> None:
    assert Envelope.from_attributes(attributes) == Envelope()


def test_rfc3339_is_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert message.rfc3339(moment) == "2025-12-31T23:00:00.000Z"
