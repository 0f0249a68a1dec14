"""Compatibility with Amazon's Extended Client Library for Python, in both directions."""

import contextlib
import importlib
import json
from typing import Any

import boto3
import pytest

from pillarbox.ids import new_message_id
from pillarbox.message import MAX_MESSAGE_BYTES, Envelope, sqs_size_bytes
from pillarbox.payload import pointer_in
from service1_api.aws import S3Payloads, SqsQueue
from service1_api.outgoing import Message
from service1_api.payloads import ClaimCheck, PayloadPlace
from service1_api.publisher import Publisher

from .fakes import new_metrics
from .test_aws import client_of
from .test_s3 import BUCKET, REGION, store_at

TEXT = "\U0001f4ee\u05d0 A long e-mail. "


@pytest.fixture
def endpoint(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    return moto


@pytest.fixture
def queue_url(endpoint: str) -> str:
    s3 = boto3.client("s3", region_name=REGION)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):  # moto keeps its state in this process
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    name = f"large-{new_message_id()}"
    return str(boto3.client("sqs", region_name=REGION).create_queue(QueueName=name)["QueueUrl"])


@pytest.fixture
def peer(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An SQS client of the library. The fixture restores boto3.Session, which importing the library replaces."""
    sessions = boto3.Session, boto3.session.Session
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    library = importlib.import_module("sqs_extended_client.client")
    boto3.Session, boto3.session.Session = sessions  # type: ignore[misc]
    client = library.SQSExtendedClientSession(region_name=REGION).client("sqs")
    client.large_payload_support = BUCKET
    return client


def test_amazons_library_reads_what_this_service_writes(endpoint: str, queue_url: str, peer: Any) -> None:
    queue = SqsQueue(client_of(queue_url), queue_url, read_seconds=30, attempt_seconds=1)
    metrics = new_metrics()
    publisher = Publisher(queue, metrics, deadline_seconds=100, attempt_seconds=1, max_waiting=10)
    claim_check = ClaimCheck(
        publisher,
        S3Payloads(store_at(endpoint), attempt_seconds=1),
        PayloadPlace(BUCKET, "payloads/"),
        metrics,
        deadline_seconds=100,
        send_seconds=10,
        max_requests=1,
    )
    body = json.dumps({"email_content": TEXT * 100_000}, ensure_ascii=False)
    attributes = Envelope(message_id=new_message_id(), source="service1-api").to_attributes()
    size = sqs_size_bytes(body, attributes)
    assert size > MAX_MESSAGE_BYTES
    assert claim_check.publish([Message("", attributes, size, body.encode())]) == [None]

    (received,) = peer.receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"])["Messages"]
    assert received["Body"] == body
    assert {name: value["StringValue"] for name, value in received["MessageAttributes"].items()} == attributes


@pytest.mark.parametrize("legacy", [False, True])
def test_pointer_of_amazons_library_is_read(queue_url: str, peer: Any, legacy: bool) -> None:
    """With the current names of attribute and class, and with those of version 1."""
    peer.use_legacy_attribute = legacy
    body = json.dumps({"email_content": TEXT * 20_000}, ensure_ascii=False)
    peer.send_message(QueueUrl=queue_url, MessageBody=body)

    sqs, s3 = boto3.client("sqs", region_name=REGION), boto3.client("s3", region_name=REGION)
    (raw,) = sqs.receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"])["Messages"]
    attributes = {name: value["StringValue"] for name, value in raw["MessageAttributes"].items()}
    assert list(attributes) == ["SQSLargePayloadSize" if legacy else "ExtendedPayloadSize"]
    assert [value["DataType"] for value in raw["MessageAttributes"].values()] == ["Number"]
    pointer = pointer_in(raw["Body"], attributes)
    assert pointer is not None
    assert pointer.bucket == BUCKET
    stored = s3.get_object(Bucket=pointer.bucket, Key=pointer.key)["Body"].read()
    assert (len(stored), stored.decode()) == (pointer.size_bytes, body)
