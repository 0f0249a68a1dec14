"""Attacks without a token on the running service: /health is answered and valid e-mails are queued during them."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.waiting import eventually as until

from . import attacks
from .attacks import HEAD, Attack, attacked, connect, send
from .aws_stub import AwsStub
from .load import Load
from .server import BODY, LARGE, MIB, Api, running

pytestmark = pytest.mark.faults

ANSWER_SECONDS = 5.0  # before it was 10 to 90 s or no answer; an idle machine takes milliseconds


@pytest.fixture
def aws() -> Iterator[AwsStub]:
    stub = AwsStub()
    yield stub
    stub.close()


@pytest.fixture
def api(aws: AwsStub, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Api]:
    with running(aws, tmp_path, **getattr(request, "param", {})) as api:
        yield api


WITH_BOTH_LIMITS = pytest.mark.parametrize("api", [{}, LARGE], ids=["2MiB", "16MiB"], indirect=True)


def worker_of(api: Api) -> int:
    (child,) = Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children").read_text().split()
    return int(child)


def resident_bytes(api: Api) -> int:
    """Return the memory of the worker, including its files in memory."""
    status = Path(f"/proc/{worker_of(api)}/status").read_text()
    files = Path(f"/proc/{worker_of(api)}/fd")
    held = 0
    for entry in list(files.iterdir()):
        try:
            held += entry.stat().st_size if "/dev/shm" in str(entry.readlink()) else 0  # noqa: S108
        except OSError:  # closed in the meantime
            continue
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 + held


def assert_health(api: Api) -> None:
    began = time.monotonic()
    assert api.request("GET", "/health")[0] == 200
    assert time.monotonic() - began < ANSWER_SECONDS


@pytest.mark.parametrize(
    ("attack", "clients"),
    [
        (attacks.spaces, 4),
        (attacks.tiny_chunks, 7),
        (attacks.odd_framing, 8),
        (attacks.large_bodies, 16),
        (attacks.idle, 8),
        (attacks.unread_pipelines, 8),
        (attacks.huge_bodies, 8),
        (attacks.bombs, 8),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@WITH_BOTH_LIMITS
def test_attack_fails_no_valid_email_and_no_health_check(aws: AwsStub, api: Api, attack: Attack, clients: int) -> None:
    worker = worker_of(api)
    with attacked(api, attack, clients):
        load = Load(api, clients=4)
        try:
            for _ in range(20):
                assert_health(api)
                reached = load.statuses[200]
                until(lambda seen=reached: load.statuses[200] >= seen + 5, timeout_seconds=ANSWER_SECONDS * 2)  # type: ignore[misc]
        finally:
            load.stop()
    assert set(load.statuses) == {200}
    assert load.broken == 0
    assert load.slowest_seconds < ANSWER_SECONDS
    assert worker_of(api) == worker
    assert sum(aws.messages.values()) == len(load.accepted)


def test_refused_bodies_leave_memory_bounded(api: Api) -> None:
    """900 bodies of 1.9 MB, near the limit, from 30 clients at once, without a token."""
    body = b"[" + b"1.5," * 474_000 + b"1.5]"
    load = Load(api, clients=30, body=body)
    peak = 0
    try:
        while sum(load.statuses.values()) < 900:
            peak = max(peak, resident_bytes(api))
            assert_health(api)
    finally:
        load.stop()
    assert set(load.statuses) <= {401, 503}
    assert peak < 256 * MIB


@pytest.mark.parametrize("api", [LARGE], ids=["16MiB"], indirect=True)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("kind", ["text", "values"])
def test_refused_bodies_of_the_largest_limit_leave_memory_bounded(api: Api, kind: str, coding: str) -> None:
    """100 bodies of 16 MB from 8 clients at once, without a token, below the 512 MiB of a pod."""
    body = {
        "text": b'"' + "\U0001f4ee".encode() + b"a" * 16_000_000 + b'"',  # four bytes a character once parsed
        "values": b"[" + b"1.5," * 4_000_000 + b"1.5]",
    }[kind]
    if coding == "gzip":
        body = gzip.compress(body)
    load = Load(api, clients=8, body=body, headers={"Content-Encoding": coding})
    peak = 0
    try:
        while sum(load.statuses.values()) < 100:
            peak = max(peak, resident_bytes(api))
            assert_health(api)
    finally:
        load.stop()
    print("peak", peak // MIB, "MiB", dict(load.statuses))
    assert set(load.statuses) <= {401, 413, 503}
    assert peak < 448 * MIB


def test_email_in_pieces_arrives_beside_many_idle_connections(api: Api) -> None:
    """More idle and slow clients than the service allows connections; the good client sends byte by byte."""
    idle_clients = [connect(api) for _ in range(900)]
    for idle_client in idle_clients[::3]:
        send(idle_client, HEAD)
    with connect(api) as good:
        request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        for start in range(0, len(request), 8):
            good.sendall(request[start : start + 8])
            if start % 80 == 0:
                idle_client = connect(api)
                idle_clients.append(idle_client)
                send(idle_client, HEAD)
        assert good.recv(65536).startswith(b"HTTP/1.1 200")
    for idle_client in idle_clients:
        idle_client.close()


def test_evicted_request_is_answered_once_and_not_queued(aws: AwsStub, tmp_path: Path) -> None:
    """Requests that become complete while the service evicts: what is answered 503 is not in the queue."""
    answers: list[bytes] = []
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

    def client(connection: socket.socket, part: bytes) -> None:
        send(connection, part)
        try:
            answers.append(connection.recv(65536))
        except OSError:
            answers.append(b"")

    with running(aws, tmp_path) as api:
        for _ in range(3):
            arriving = [connect(api) for _ in range(990)]
            for connection in arriving:
                send(connection, whole[:-10])
            newer = []
            threads = [threading.Thread(target=client, args=(c, whole[-10:])) for c in arriving[:200]]
            for number, thread in enumerate(threads):
                thread.start()
                if number % 2:
                    newer.append(connect(api))
            for thread in threads:
                thread.join(30)
            for connection in [*arriving, *newer]:
                connection.close()
        queued = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert len(answers) == 600
        assert sum(aws.messages.values()) == queued


def test_promised_keep_alive_is_kept(api: Api) -> None:
    """A refusal with an unread body or a bad trailer announces the close; other responses keep the connection."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    large = b"x" * 200_000
    requests = [
        HEAD + b"Content-Length: 9999999\r\n\r\n" + large,
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(large) + large,
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(large) + large,
        b"POST /process HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(large)
        + large,
        chunked + b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
        chunked + b"2\r\n{}x\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n{}",
    ]
    for request in requests:
        with connect(api) as connection:
            assert send(connection, request)
            answer = connection.recv(65536)
            closing = b"connection: close" in answer.lower()
            assert answer.startswith(b"HTTP/1.1 4")
            if closing:
                while connection.recv(65536):
                    continue
            else:
                assert send(connection, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
