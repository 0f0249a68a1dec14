"""Both services with web-identity credentials that expire in seconds; AWS is the emulator behind a gate."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.testing.ports import free_port
from local_stack.processes import Process, direct
from local_stack.programs import Options
from local_stack.provision import client
from local_stack.stack import LocalStack
from tests.identity.gate import Gate
from tests.identity.server import WEB_IDENTITY_TOKEN, IdentityServer

LIFE_SECONDS = 4
VISIBILITY_TIMEOUT_SECONDS = 6
DEADLINE_SECONDS = 60
EXPIRED = "no valid AWS credentials are left"
_EMAIL = {"email_subject": "s", "email_sender": "a@example.com", "email_timestream": "1693561101", "email_content": "c"}


@dataclass
class Pipeline:
    """A running stack whose services call STS, and AWS through the gate."""

    stack: LocalStack
    identity: IdentityServer
    gate: Gate

    def post(self, api: Process | None = None) -> int:
        """Send an e-mail to the stack's API or another one; return the HTTP status."""
        url = (api or self.stack.api).ready_url.replace("/ready", "/api/message")
        body = json.dumps({"data": _EMAIL, "token": self.stack.environment["API_TOKEN"]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  # loopback
        try:
            with direct.open(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code

    def stored(self) -> int:
        """Return the number of e-mails in the archive, bypassing the gate."""
        s3 = client(self.stack.environment, "s3")
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.stack.environment["S3_BUCKET_NAME"], Prefix="messages/"
        )
        return sum(page["KeyCount"] for page in pages)

    def dead(self) -> int:
        """Return the number of dead letters, bypassing the gate."""
        found = client(self.stack.environment, "sqs").get_queue_attributes(
            QueueUrl=self.stack.environment["SQS_DLQ_URL"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(found["Attributes"]["ApproximateNumberOfMessages"])


@contextmanager
def running_pipeline(folder: Path) -> Iterator[Pipeline]:
    """Run the stack until the block ends."""
    token_file = folder / "web-identity-token"
    token_file.write_text(WEB_IDENTITY_TOKEN)
    emulator_port = free_port()
    identity = IdentityServer(LIFE_SECONDS)
    gate = Gate(identity, f"http://127.0.0.1:{emulator_port}")
    variables = identity.web_identity(str(token_file)) | {
        "AWS_ENDPOINT_URL": gate.url,
        "AWS_ACCESS_KEY_ID": "",  # the stack's own keys would take precedence over a provider
        "AWS_SECRET_ACCESS_KEY": "",
        "VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_TIMEOUT_SECONDS),
        "STORE_DEADLINE_SECONDS": "1",
        "TOKEN_CACHE_SECONDS": "2",
        "PUBLISH_DEADLINE_SECONDS": "2",
    }
    options = Options(
        directory=folder,
        api_port=free_port(),
        consumer_port=free_port(),
        emulator_port=emulator_port,
        file_intake_port=free_port(),
        template_parameters={"VisibilityTimeoutSeconds": str(VISIBILITY_TIMEOUT_SECONDS)},
        service_environment=variables,
    )
    try:
        with LocalStack(options) as stack:
            yield Pipeline(stack, identity, gate)
    finally:
        gate.close()
        identity.close()


def events(process: Process) -> list[dict[str, Any]]:
    """Return the log events of a service."""
    return [json.loads(line) for line in process.log_path.read_text().splitlines() if line.startswith("{")]


def count_of(process: Process, beginning: str) -> int:
    """Return the number of a service's events that begin with a text."""
    return sum(str(event["event"]).startswith(beginning) for event in events(process))


def metric(process: Process, name: str) -> float:
    """Return the value of a metric without labels."""
    with direct.open(process.ready_url.replace("/ready", "/metrics"), timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def eventually(holds: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until a condition holds; fail on a time-out."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
