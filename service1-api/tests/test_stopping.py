"""How the processes of the service end under load: accepted e-mails are in the queue, and no client waits for long."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.waiting import eventually as until

from .aws_stub import AwsStub
from .load import Load, under_load
from .server import Api, running


@pytest.fixture
def aws() -> Iterator[AwsStub]:
    stub = AwsStub()
    stub.delay_seconds = 0.05
    yield stub
    stub.close()


def workers_of(api: Api) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def lost(aws: AwsStub, load: Load) -> list[str]:
    """Return the e-mails that were accepted and are not in the queue."""
    return [message_id for message_id in load.accepted if not aws.messages[message_id]]


def test_draining_service_reports_503_and_still_answers(aws: AwsStub, tmp_path: Path) -> None:
    with running(aws, tmp_path, DRAIN_SECONDS="1.5", WORKERS="2") as api:
        api.process.send_signal(signal.SIGTERM)
        until(lambda: api.request("GET", "/ready")[0] == 503)
        assert api.request("GET", "/ready")[1]["status"] == "draining"
        assert api.post()[0] == 200
        assert api.process.wait(30) == 0


def test_ctrl_c_drains_and_a_second_signal_stops_once_the_request_in_flight_is_answered(
    aws: AwsStub, tmp_path: Path
) -> None:
    answers: list[int] = []
    with running(aws, tmp_path, DRAIN_SECONDS="90") as api:  # longer than `stop` waits
        api.process.send_signal(signal.SIGINT)
        until(lambda: api.request("GET", "/ready")[0] == 503)
        assert api.post()[0] == 200
        aws.delay_seconds = 1
        client = threading.Thread(target=lambda: answers.append(api.post()[0]))
        calls = aws.calls["SendMessageBatch"]
        client.start()
        until(lambda: aws.calls["SendMessageBatch"] > calls)
        assert api.stop() == 0
        client.join(30)
    assert answers == [200]


@pytest.mark.faults
def test_reload_fails_no_request(aws: AwsStub, tmp_path: Path) -> None:
    with running(aws, tmp_path, WORKERS="2") as api, under_load(api, 16) as load:
        for _ in range(3):
            before = set(workers_of(api))
            api.process.send_signal(signal.SIGHUP)
            until(lambda old=before: not old & set(workers_of(api)))  # type: ignore[misc]
            load.wait_for(200, 50)
        load.stop()
        assert set(load.statuses) == {200}
        assert load.broken == 0
        assert sum(aws.messages.values()) == len(load.accepted)
        assert len(list(Path("/dev/shm").glob(f"service1-api-metrics-{api.process.pid}-*"))) == 1  # noqa: S108


@pytest.mark.faults
def test_killed_worker_is_replaced_and_loses_no_accepted_email(aws: AwsStub, tmp_path: Path) -> None:
    with running(aws, tmp_path, WORKERS="2") as api, under_load(api, 16) as load:
        for _ in range(3):
            killed = workers_of(api)[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda pid=killed: pid not in workers_of(api) and len(workers_of(api)) == 2)  # type: ignore[misc]
            load.wait_for(200, 50)
        load.stop()
        assert set(load.statuses) == {200}
        assert lost(aws, load) == []


@pytest.mark.faults
def test_worker_of_a_killed_arbiter_answers_its_requests_and_ends(aws: AwsStub, tmp_path: Path) -> None:
    with running(aws, tmp_path) as api, api.connect() as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        (worker,) = workers_of(api)
        with under_load(api, 16) as load:
            api.process.kill()
            until(lambda: not is_alive(worker), timeout_seconds=10)  # before it was 30 s
            load.stop()
        api.process.wait(10)
        assert set(load.statuses) == {200}
        assert lost(aws, load) == []


@pytest.mark.faults
def test_stop_does_not_wait_for_a_starting_worker(aws: AwsStub, tmp_path: Path) -> None:
    """gunicorn signals a worker once. A worker that still had the arbiter's handlers delayed the stop by 30 s."""
    for _ in range(3):
        with running(aws, tmp_path, WORKERS="2") as api:
            killed = workers_of(api)[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda pid=killed: pid not in workers_of(api) and len(workers_of(api)) == 2)  # type: ignore[misc]
            began = time.monotonic()
            assert api.stop() == 0
            assert time.monotonic() - began < 20
