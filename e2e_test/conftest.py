"""The pipeline of the end-to-end tests: real processes, free ports, short timings, a temporary directory."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.stack_run import Run
from local_stack.programs import Options
from local_stack.provision import client
from local_stack.stack import LocalStack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

VISIBILITY_TIMEOUT_SECONDS = 4
EMAIL = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers in lower case, and the JSON body."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The interfaces of the pipeline: an HTTP address, a queue, a bucket."""

    stack: LocalStack
    sqs: "SQSClient"
    s3: "S3Client"

    @property
    def bucket(self) -> str:
        return self.stack.environment["S3_BUCKET_NAME"]

    @property
    def queue_url(self) -> str:
        return self.stack.environment["SQS_QUEUE_URL"]

    @property
    def token(self) -> str:
        return self.stack.environment["API_TOKEN"]

    def request(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a GET, or a POST if there is a body; return the answer, whatever its status."""
        url = self.stack.environment["API_URL"] + path
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/json", **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return _answer(response)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error)

    def post(self, data: Any, path: str = "/api/message") -> Answer:
        return self.request(path, json.dumps({"data": data, "token": self.token}, ensure_ascii=False).encode())

    def keys(self, prefix: str = "messages/") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def record(self, key: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        return content

    def records(self, message_ids: set[str]) -> list[dict[str, Any]]:
        """Return the records of all objects that are named after one of the ids."""
        keys = [key for key in self.keys() if key.rpartition("/")[2].removesuffix(".json") in message_ids]
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(self.record, keys))

    def wait_stored(self, message_id: str) -> str:
        """Wait for the message's only object and return its key."""
        (key,) = eventually(lambda: [key for key in self.keys() if message_id in key], f"{message_id} is stored")
        return key

    def queue_counts(self, queue_url: str | None = None) -> tuple[int, int]:
        """Return the numbers of visible messages and of messages in flight."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=queue_url or self.queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def wait_drained(self) -> None:
        """Wait until the queue is empty, messages in flight included."""
        eventually(lambda: self.queue_counts() == (0, 0), "the queue is empty")

    def dead_letters(self) -> int:
        return sum(self.queue_counts(self.stack.environment["SQS_DLQ_URL"]))


def _answer(response: Any) -> Answer:
    raw = response.read()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, json.loads(raw) if "json" in headers.get("content-type", "") else raw)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.end()


# Package scope: it must not run beside later tests, because its processes poll while they are idle.
@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    options = Options(
        directory=Path(tmp_path_factory.mktemp("pipeline")),
        api_port=free_port(),
        consumer_port=free_port(),
        emulator_port=free_port(),
        file_intake_port=free_port(),
        template_parameters=dict.fromkeys(
            ("VisibilityTimeoutSeconds", "FilesVisibilitySeconds"), str(VISIBILITY_TIMEOUT_SECONDS)
        ),
        service_environment={
            "VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_TIMEOUT_SECONDS),
            "STORE_DEADLINE_SECONDS": "1",
        },
    )
    with LocalStack(options) as stack:
        sqs, s3 = client(stack.environment, "sqs"), client(stack.environment, "s3")
        yield Pipeline(stack, sqs, s3)
        sqs.close()
        s3.close()
