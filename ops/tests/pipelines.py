"""A pipeline of a test on the emulator, and what a command did."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from common.testing.emulator import REGION, outer_environment


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did: its exit code and its two outputs."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return the JSON lines of the output."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Pipeline:
    """Queues and a bucket with names of their own; `environment` is what a command reads."""

    aws: Mapping[str, str]
    name: str
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sqs, self.s3, self.ssm = self.client("sqs"), self.client("s3"), self.client("ssm")
        self.bucket = f"archive-{self.name}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.queue_url = self.sqs.create_queue(QueueName=f"queue-{self.name}")["QueueUrl"]
        self.dlq_url = self.sqs.create_queue(QueueName=f"dlq-{self.name}")["QueueUrl"]
        self.environment = outer_environment() | {
            **self.aws,
            "SQS_QUEUE_URL": self.queue_url,
            "SQS_DLQ_URL": self.dlq_url,
            "S3_BUCKET_NAME": self.bucket,
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of the emulator; all pipelines share it."""
        keys = self.aws["AWS_ACCESS_KEY_ID"], self.aws["AWS_SECRET_ACCESS_KEY"]
        return _client(service, self.aws["AWS_ENDPOINT_URL"], *keys)

    def archive(self, email: Mapping[str, Any], message_id: str, key: str, **more: Any) -> str:
        """Put a record as service2-consumer writes it, and return its key."""
        record = {"message_id": message_id, "processed_at": "2026-11-20T10:00:01Z", "email_data": dict(email)}
        record["metadata"] = {"source": "service1-api", "sqs_message_id": "0"}
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(record | more).encode())
        return key

    def dead_letter(self, body: str, *, attributes: Mapping[str, Any] | None = None, url: str = "") -> str:
        """Send a message to a dead-letter queue, that of e-mails if no URL is given, and return its SQS id."""
        sent = self.sqs.send_message(
            QueueUrl=url or self.dlq_url, MessageBody=body, MessageAttributes=dict(attributes or {})
        )
        return str(sent["MessageId"])

    def received(self, url: str) -> list[dict[str, Any]]:
        """Receive and delete all messages of a queue."""
        found: list[dict[str, Any]] = []
        while batch := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in batch:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found += batch
        return found


@functools.cache
def _client(service: str, endpoint: str, key_id: str, secret_key: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # any service by its name
        service,
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret_key,
        config=Config(proxies={}),  # not those of the test that happens to be the first
    )
