import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.message import decode_body
from pillarbox.payload import SIZE_ATTRIBUTE, Pointer
from pillarbox.strict_json import JsonError
from pillarbox_ops import reasons
from pillarbox_ops.reasons import REDRIVABLE, Verdict, of_email, of_file

EMAIL = {"email_subject": "s", "email_sender": "jane@example.com", "email_timestream": 1693561101, "email_content": "c"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(EMAIL)), inner, max_size=4),
    max_leaves=6,
)


def _event(bucket: str = "inbox", key: str = "a+b.eml", name: str = "ObjectCreated:Put") -> dict[str, Any]:
    described = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": described}


def test_an_e_mail_with_nothing_wrong_can_be_moved_back() -> None:
    assert of_email(json.dumps(EMAIL), {}) == Verdict(REDRIVABLE, "jane@example.com")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("hello", "invalid_json"),
        ("\ud800", "invalid_json"),
        ('{"a": 1, "a": 2}', "invalid_json"),
        ("[" * 100 + "]" * 100, "too_deep"),
        ('{"a": 0.1234567890123456789}', "number_precision"),
        ("[]", "not_an_email"),
        ("{}", "not_an_email"),
    ],
)
def test_the_reason_is_the_word_of_the_consumer(body: str, reason: str) -> None:
    assert of_email(body, {}) == Verdict(reason)
    assert reason in reasons.OF_EMAILS


def test_an_e_mail_that_is_none_still_has_its_sender() -> None:
    assert of_email(json.dumps(EMAIL | {"email_content": ""}), {}) == Verdict("not_an_email", "jane@example.com")


@given(JSON.map(json.dumps) | st.text())
def test_any_body_has_the_reason_with_which_the_contract_refuses_it(body: str) -> None:
    try:
        decode_body(body)
        expected = REDRIVABLE
    except JsonError as exc:
        expected = exc.reason
    assert of_email(body, {}).reason == expected


def test_a_pointer_is_judged_by_its_attribute_and_its_bucket() -> None:
    body, attributes = Pointer("payloads", "k", 10).body(), {SIZE_ATTRIBUTE: "10"}
    assert of_email(body, attributes).reason == REDRIVABLE
    assert of_email(body, attributes, "payloads").reason == REDRIVABLE
    assert of_email(body, attributes, "others").reason == "foreign_payload"
    assert of_email(json.dumps(EMAIL), attributes).reason == "not_a_pointer"


def test_an_event_is_judged_by_its_form_and_names_its_object() -> None:
    body = json.dumps({"Records": [_event()]})
    assert of_file(body) == Verdict(REDRIVABLE, "s3://inbox/a b.eml")
    assert of_file(body, "inbox") == Verdict(REDRIVABLE, "s3://inbox/a b.eml")
    assert of_file(body, "other").reason == "foreign_bucket"
    assert of_file("{}") == Verdict("not_an_event")


def test_an_event_without_a_new_object_names_none() -> None:
    assert of_file(json.dumps({"Records": [_event(name="ObjectRemoved:Delete")]}), "other") == Verdict(REDRIVABLE)


def test_a_verdict_does_not_show_whom_it_is_about() -> None:
    assert "jane" not in repr(Verdict(REDRIVABLE, "jane@example.com"))
