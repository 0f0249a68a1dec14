"""S3 event messages: the four shapes, what is skipped, and what is poison."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.s3_events import EventError, ObjectCreated, Skipped, parse_events

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def native(name: str = "ObjectCreated:Put", **stored: Any) -> dict[str, Any]:
    fields = {"key": "inbox/a.eml", "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD90281E5", **stored}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "inbox", "arn": "arn:aws:s3:::inbox"},
            "object": {field: value for field, value in fields.items() if value is not ...},
        },
    }


def eventbridge(kind: str = "Object Created", **stored: Any) -> dict[str, Any]:
    fields = {"key": "inbox/a.eml", "size": 1024, "etag": "d41d8cd9", "version-id": "v1", **stored}
    return {
        "version": "0",
        "detail-type": kind,
        "source": "aws.s3",
        "detail": {"bucket": {"name": "inbox"}, "object": fields, "reason": "PutObject"},
    }


def sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:t", "Message": message})


def records(*entries: Any) -> str:
    return json.dumps({"Records": entries})


CREATED = ObjectCreated("inbox", "inbox/a.eml", None, "d41d8cd9", 1024)


def test_a_native_notification_names_the_object() -> None:
    assert parse_events(records(native())) == [CREATED]


def test_raw_delivery_and_the_sns_envelope_give_what_the_native_notification_gives() -> None:
    assert parse_events(sns(records(native()))) == parse_events(records(native()))


def test_an_eventbridge_event_names_the_object() -> None:
    assert parse_events(json.dumps(eventbridge())) == [ObjectCreated("inbox", "inbox/a.eml", "v1", "d41d8cd9", 1024)]


@pytest.mark.parametrize(
    "name", ["ObjectCreated:Post", "ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Copy"]
)
def test_every_way_to_create_an_object_counts(name: str) -> None:
    assert parse_events(records(native(name))) == [CREATED]


def test_keys_of_notifications_are_decoded_exactly_once() -> None:
    assert parse_events(records(native(key="a+b%2Bc%2520%C3%A4"))) == [
        ObjectCreated("inbox", "a b+c%20ä", None, "d41d8cd9", 1024)
    ]


def test_keys_of_eventbridge_are_not_decoded() -> None:
    found = parse_events(json.dumps(eventbridge(key="a+b%2Bc ä")))
    assert [event.key for event in found if isinstance(event, ObjectCreated)] == ["a+b%2Bc ä"]


@pytest.mark.parametrize("body", [json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"})])
def test_the_test_event_is_skipped_bare_and_in_sns(body: str) -> None:
    assert parse_events(body) == parse_events(sns(body)) == [Skipped("test_event")]


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectRestore:Post", "LifecycleExpiration:Delete", "Other"])
def test_other_kinds_of_events_are_skipped_one_by_one(name: str) -> None:
    assert parse_events(records(native(), native(name), native())) == [CREATED, Skipped("other_event"), CREATED]


def test_an_event_that_is_skipped_needs_no_object() -> None:
    record = native("ObjectRestore:Completed")
    del record["s3"]
    assert parse_events(records(record)) == [Skipped("other_event")]


def test_other_kinds_of_eventbridge_events_are_skipped() -> None:
    assert parse_events(json.dumps(eventbridge("Object Deleted"))) == [Skipped("other_event")]


@pytest.mark.parametrize(
    ("stored", "version", "etag", "size_bytes"),
    [
        ({"eTag": '"quoted"'}, None, "quoted", 1024),
        ({"eTag": ...}, None, None, 1024),
        ({"eTag": ""}, None, None, 1024),
        ({"versionId": "3HL4kqtJlcpXroDTDmJ"}, "3HL4kqtJlcpXroDTDmJ", "d41d8cd9", 1024),
        ({"versionId": "null"}, "null", "d41d8cd9", 1024),
        ({"versionId": ""}, None, "d41d8cd9", 1024),
        ({"size": ...}, None, "d41d8cd9", None),
        ({"size": None}, None, "d41d8cd9", None),
        ({"size": 0}, None, "d41d8cd9", 0),
    ],
)
def test_version_etag_and_size_may_be_missing(
    stored: dict[str, Any], version: str | None, etag: str | None, size_bytes: int | None
) -> None:
    expected = ObjectCreated("inbox", "inbox/a.eml", version, etag, size_bytes)
    assert parse_events(records(native(**stored))) == [expected]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "not valid JSON"),
        ("[]", "the message must be a JSON object"),
        ("{}", "neither Records nor the source aws.s3"),
        ('{"Records": []}', "Records must be a list that is not empty"),
        ('{"Records": {}}', "Records must be a list"),
        ('{"Records": [1]}', r"Records\[0\] must be a JSON object"),
        (records({**native(), "eventSource": "aws:sqs"}), "eventSource must be aws:s3"),
        (records({**native(), "eventVersion": "3.0"}), "eventVersion must be 2.x"),
        (records({**native(), "eventName": 7}), "eventName of .* must be a string"),
        (records({**native(), "s3": None}), "s3 must be a JSON object"),
        (records(native(key=...)), "key of .* must be a string"),
        (records(native(key="")), "key of .* must be a string"),
        (records(native(key="%FF")), "not URL-encoded UTF-8"),
        (records(native(key="a" * 1025)), "longer than 1024 bytes"),
        (records(native(size="9")), "must be a number of bytes"),
        (records(native(size=-1)), "must be a number of bytes"),
        (records(native(size=True)), "must be a number of bytes"),
        (records(native(eTag=5)), "eTag of the object"),
        (records(native(versionId=[])), "versionId of the object"),
        (json.dumps({"Type": "Notification", "Message": 3}), "Message of the SNS notification"),
        (json.dumps({"Type": "SubscriptionConfirmation", "Message": "x"}), "is no event of S3"),
        (sns("hello"), "not valid JSON"),
        (sns(sns(sns(records(native())))), "more than 2 SNS envelopes"),
        ('{"Event": "\\ud800"}', "surrogate"),
        ("\ud800", "surrogate"),
        ("[" * 100_000, "deeper"),
    ],
)
def test_anything_else_is_poison_and_the_text_says_why(body: str, text: str) -> None:
    with pytest.raises(EventError, match=text):
        parse_events(body)


def test_one_bad_record_makes_the_message_poison() -> None:
    with pytest.raises(EventError, match=r"Records\[1\]"):
        parse_events(records(native(), native(key=1)))


@given(st.text())
def test_no_text_raises_anything_but_poison(body: str) -> None:
    with pytest.raises(EventError):
        parse_events(body)


@given(st.data())
def test_no_value_of_a_wrong_type_raises_anything_but_poison(data: st.DataObject) -> None:
    event: Any = data.draw(st.sampled_from([{"Records": [native()]}, eventbridge(), json.loads(sns("{}"))]))
    place, steps = event, data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    for step in steps:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        name = names[step % len(names)]
        if not isinstance(place[name], dict | list) or step == steps[-1]:
            place[name] = data.draw(JSON)
            break
        place = place[name]
    try:
        events = parse_events(json.dumps(event))
    except EventError:
        return
    assert events
