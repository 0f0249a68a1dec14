"""Pointers to payloads in the form of Amazon's SQS Extended Client."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.payload import Pointer, payload_key, pointer_in

ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"
OLD_BODY = '["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"b","s3Key":"k"}]'


def test_a_pointer_is_written_as_version_2_writes_it() -> None:
    assert Pointer("bucket", "payloads/a.json", 5).body() == (
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"bucket","s3Key":"payloads/a.json"}]'
    )


@pytest.mark.parametrize("name", ["ExtendedPayloadSize", "SQSLargePayloadSize"])
def test_a_pointer_is_read_by_either_attribute(name: str) -> None:
    pointer = Pointer("bucket", "payloads/ü.json", 1_234_567)
    assert pointer_in(pointer.body(), {name: "1234567", "source": "x"}) == pointer
    assert pointer_in(OLD_BODY, {name: "7"}) == Pointer("b", "k", 7)


def test_without_the_attribute_a_body_is_no_pointer_whatever_it_holds() -> None:
    assert pointer_in(OLD_BODY, {"source": "x"}) is None


@pytest.mark.parametrize("size", ["", "-1", "1.5", "ten", "\uff11", "9" * 16])
def test_a_size_that_is_no_number_of_bytes_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes"):
        pointer_in(OLD_BODY, {"ExtendedPayloadSize": size})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "\ud800",
        '["x",{"s3BucketName":"b","s3Key":"k"}]',
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":1}]',
        '["software.amazon.payloadoffloading.PayloadS3Pointer"]',
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"},1]',
    ],
)
def test_a_body_that_is_no_pointer_is_refused_without_a_quote_of_it(body: str) -> None:
    with pytest.raises(ValueError, match="the body is no S3 pointer"):
        pointer_in(body, {"ExtendedPayloadSize": "1"})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text() | _json.map(json.dumps), st.text())
def test_anything_is_a_pointer_or_a_value_error(body: str, size: str) -> None:
    for attributes in ({"ExtendedPayloadSize": size}, {"ExtendedPayloadSize": "1"}):
        try:
            assert isinstance(pointer_in(body, attributes), Pointer)
        except ValueError:
            continue


def test_a_key_has_the_day_of_the_id_and_differs_with_the_content() -> None:
    key = payload_key("payloads/", ID, "ab" * 32)
    assert key == f"payloads/2025/12/10/{ID}/{'ab' * 32}.json"
