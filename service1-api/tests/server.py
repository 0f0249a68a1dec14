"""The service as a real process: gunicorn with its real configuration, on a free port, against the stub of AWS."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from common.testing.ports import free_port
from common.testing.waiting import answers
from common.testing.waiting import eventually as until

from .aws_stub import AwsStub
from .fakes import TOKEN

SERVICE = Path(__file__).resolve().parent.parent
EMAIL: dict[str, object] = {
    "email_subject": "A test",
    "email_sender": "sender@example.org",
    "email_timestream": 1693561101,
    "email_content": "Hello",
}
BODY = json.dumps({"data": EMAIL, "token": TOKEN}).encode()
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
LARGE = {  # settings of a service that accepts large e-mails
    "PAYLOAD_BUCKET": "payloads",
    "MAX_REQUEST_BYTES": str(16 * MIB),
    "PUBLISH_DEADLINE_SECONDS": "60",  # no e-mail may fail on a busy machine
    # As in the image.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "65536",
}


class Api:
    """A running service."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON of a response, over a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, (JSON if body else {}) | (headers or {}))
            response = connection.getresponse()
            text = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(text) if is_json else {"text": text.decode()}

    def post(self, body: bytes = BODY, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        return self.request("POST", "/api/message", body, headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def running(aws: AwsStub, folder: Path, *, ready: bool = True, **settings: str) -> Iterator[Api]:
    """Run the service until the block ends; with `ready`, wait until it has read its token."""
    port = free_port()
    environment = os.environ | {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": aws.url,
        "SQS_QUEUE_URL": f"{aws.url}/000000000000/emails",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        **settings,
    }
    log = folder / "service.log"
    command = [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "service1_api.wsgi:app"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=SERVICE, env=environment, stdout=file, stderr=file)  # noqa: S603
    api = Api(process, port, log)
    try:
        until(lambda: _answers(api, "/ready" if ready else "/health"))
        yield api
    finally:
        if process.poll() is None:
            api.stop()


def _answers(api: Api, path: str) -> bool:
    assert api.process.poll() is None, api.log.read_text()
    return answers(f"http://127.0.0.1:{api.port}{path}")


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes."""
    everything = b""
    while chunk := connection.recv(65536):
        everything += chunk
    return everything


def exchange(api: Api, *pieces: bytes) -> bytes:
    """Send pieces, one after the other, and return all bytes until the server closes."""
    with api.connect() as connection:
        for piece in pieces:
            connection.sendall(piece)
        return read_all(connection)
