"""Moto's AWS in this process, called over HTTP because obstore is not a Python client."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .fault_arena import Arena, NewArena
from .scripted_server import ScriptedServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

REGION: Final = "eu-central-1"
BUCKET = "archive"


@dataclass
class Aws:
    """The emulator's URL and clients for it."""

    url: str
    session: boto3.Session
    s3: S3Client
    sqs: SQSClient

    def new_queue(self, name: str) -> str:
        return self.sqs.create_queue(QueueName=name)["QueueUrl"]


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def aws_clients(moto_url: str) -> Aws:
    session = boto3.Session("test", "test", region_name=REGION)
    s3, sqs = session.client("s3", endpoint_url=moto_url), session.client("sqs", endpoint_url=moto_url)
    return Aws(moto_url, session, s3, sqs)


@pytest.fixture
def aws(aws_clients: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_clients.url)
    # For each test: moto keeps its state in this process, and any `mock_aws` of another package's test empties it.
    with contextlib.suppress(aws_clients.s3.exceptions.BucketAlreadyOwnedByYou):
        aws_clients.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return aws_clients


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    thread = threading.Thread(target=scripted.serve_forever, args=(0.05,))
    thread.start()
    yield scripted
    scripted.released.set()
    scripted.shutdown()
    thread.join()
    scripted.server_close()


@pytest.fixture
def new_arena(tmp_path: Path) -> Iterator[NewArena]:
    arenas: list[Arena] = []

    def make(*, max_receive_count: int = 10, seed: int = 1, **settings: str) -> Arena:
        arenas.append(Arena(tmp_path, max_receive_count=max_receive_count, seed=seed, **settings))
        return arenas[-1]

    yield make
    for arena in arenas:
        arena.close()
