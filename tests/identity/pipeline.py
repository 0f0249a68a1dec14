"""Both services with web-identity credentials that expire in seconds; AWS is the emulator behind a gate."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.testing.emulator import running_emulator
from common.testing.ports import free_port
from local_stack.processes import Process, direct
from local_stack.programs import Options, Programs
from local_stack.provision import client, create_resources
from tests.identity.gate import Gate
from tests.identity.server import WEB_IDENTITY_TOKEN, IdentityServer

LIFE_SECONDS = 4
VISIBILITY_TIMEOUT_SECONDS = 6
DEADLINE_SECONDS = 60
EXPIRED = "no valid AWS credentials are left"
_EMAIL = {"email_subject": "s", "email_sender": "a@example.com", "email_timestream": "1693561101", "email_content": "c"}


@dataclass
class Pipeline:
    """Both services running; they call STS, and AWS through the gate. `environment` leads to AWS without the gate."""

    programs: Programs
    environment: dict[str, str]
    identity: IdentityServer
    gate: Gate
    api: Process
    consumer: Process

    def new_api(self, name: str) -> Process:
        """Return another API process, not started yet."""
        return self.programs.api(name, free_port(), self.environment, {})

    def new_consumer(self, name: str) -> Process:
        """Return another consumer process, not started yet."""
        return self.programs.consumer(name, free_port(), self.environment, {})

    def post(self, api: Process | None = None) -> int:
        """Send an e-mail to the pipeline's API or another one; return the HTTP status."""
        url = (api or self.api).ready_url.replace("/ready", "/api/message")
        body = json.dumps({"data": _EMAIL, "token": self.environment["API_TOKEN"]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  # loopback
        try:
            with direct.open(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code

    def stored(self) -> int:
        """Return the number of e-mails in the archive, bypassing the gate."""
        s3 = client(self.environment, "s3")
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.environment["S3_BUCKET_NAME"], Prefix="messages/"
        )
        return sum(page["KeyCount"] for page in pages)

    def dead(self) -> int:
        """Return the number of dead letters, bypassing the gate."""
        found = client(self.environment, "sqs").get_queue_attributes(
            QueueUrl=self.environment["SQS_DLQ_URL"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(found["Attributes"]["ApproximateNumberOfMessages"])


@contextmanager
def running_pipeline(folder: Path) -> Iterator[Pipeline]:
    """Run both services until the block ends."""
    token_file = folder / "web-identity-token"
    token_file.write_text(WEB_IDENTITY_TOKEN)
    with ExitStack() as stack:
        emulator = stack.enter_context(running_emulator(folder))["AWS_ENDPOINT_URL"]
        identity = stack.enter_context(closing(IdentityServer(LIFE_SECONDS)))
        gate = stack.enter_context(closing(Gate(identity, emulator)))
        variables = identity.web_identity(str(token_file)) | {
            "AWS_ENDPOINT_URL": gate.url,
            "AWS_ACCESS_KEY_ID": "",  # the stack's own keys would take precedence over a provider
            "AWS_SECRET_ACCESS_KEY": "",
            "VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_TIMEOUT_SECONDS),
            "STORE_DEADLINE_SECONDS": "1",
            "TOKEN_CACHE_SECONDS": "2",
            "PUBLISH_DEADLINE_SECONDS": "2",
        }
        port = urlsplit(emulator).port
        assert port
        programs = Programs(Options(directory=folder, emulator_port=port, service_environment=variables))
        parameters = {"VisibilityTimeoutSeconds": str(VISIBILITY_TIMEOUT_SECONDS)}
        environment = programs.aws | create_resources(programs.aws, parameters)
        api = programs.api("service1-api", free_port(), environment, {})
        consumer = programs.consumer("service2-consumer", free_port(), environment, {})
        for process in (consumer, api):
            process.start()
            stack.callback(process.stop, 20)
        for process in (consumer, api):
            process.wait_ready(60)
        yield Pipeline(programs, environment, identity, gate, api, consumer)


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
