"""Clients that wait for a status do not delay e-mails and probes of the running service."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.waiting import eventually as until
from pillarbox.ids import new_message_id

from .aws_stub import AwsStub
from .fakes import TOKEN
from .server import Api, running

WAIT = {"Authorization": f"Bearer {TOKEN}", "Prefer": "wait=5"}


@pytest.fixture(scope="module")
def api(aws: AwsStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service with one slot for e-mails: a waiting client in it would be seen."""
    folder, template = tmp_path_factory.mktemp("waiting"), "{prefix}{message_id}"
    with running(aws, folder, STATUS_BUCKET="archive", S3_KEY_TEMPLATE=template, MAX_REQUESTS_IN_FLIGHT="1") as api:
        yield api


class WaitingClients:
    """Clients that request the status of missing e-mails repeatedly, until `stop`."""

    def __init__(self, aws: AwsStub, api: Api, count: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._aws = aws
        self._api = api
        self._asking: set[str] = set()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            message_id = new_message_id()
            with self._lock:
                self._asking.add(message_id)
            status, _ = self._api.request("GET", f"/api/messages/{message_id}", headers=WAIT)
            with self._lock:
                self._asking.remove(message_id)
                self.statuses[status] += 1
            self._stopped.wait(0.1)

    def stop(self) -> None:
        """Stop all clients. The e-mails of those that wait are archived first."""
        with self._lock:
            self._stopped.set()
            for message_id in self._asking:
                self._aws.store(f"/archive/messages/{message_id}", b"12345")
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.parametrize("clients", [20, pytest.param(100, marks=pytest.mark.faults)])
@pytest.mark.parametrize("s3_delay_seconds", [0, 1.5], ids=["s3-answers", "s3-is-slow"])
def test_waiting_clients_hold_up_neither_emails_nor_probes(
    aws: AwsStub, api: Api, clients: int, s3_delay_seconds: float
) -> None:
    aws.s3_delay_seconds = s3_delay_seconds
    waiting = WaitingClients(aws, api, clients)
    try:
        until(lambda: waiting.statuses[404])  # the first answers go to those for whom no place to wait is left
        seconds = []
        for _ in range(clients // 2):
            for path in ("/health", "/ready"):
                began = time.monotonic()
                assert api.request("GET", path)[0] == 200
                seconds.append(time.monotonic() - began)
            status, answer = api.post()
            assert status == 200
            assert aws.messages[answer["message_id"]] == 1
    finally:
        aws.s3_delay_seconds = 0
        waiting.stop()
    assert sorted(seconds)[len(seconds) // 2] < 2.5  # behind waiting clients each would take up to 5 s
    assert set(waiting.statuses) <= {200, 404, 503}
    assert waiting.statuses[200] > 0  # of those that still waited at the end


def test_email_is_archived_for_the_client_that_waits(aws: AwsStub, api: Api) -> None:
    message_id = api.post()[1]["message_id"]
    asked = aws.calls["ListObjectsV2"]

    def store() -> None:
        until(lambda: aws.calls["ListObjectsV2"] > asked)
        aws.store(f"/archive/messages/{message_id}", b"12345")

    consumer = threading.Thread(target=store)
    consumer.start()
    status, answer = api.request("GET", f"/api/messages/{message_id}", headers=WAIT)
    consumer.join(30)
    assert (status, answer["status"], answer["size"]) == (200, "archived", 5)


@pytest.mark.parametrize("drain_seconds", ["0", "30"])
def test_waiting_client_is_answered_when_the_service_stops(aws: AwsStub, tmp_path: Path, drain_seconds: str) -> None:
    with running(aws, tmp_path, STATUS_BUCKET="archive", DRAIN_SECONDS=drain_seconds) as api:
        answers: list[tuple[int, str]] = []
        asked = aws.calls["ListObjectsV2"]

        def ask() -> None:
            status, answer = api.request("GET", f"/api/messages/{new_message_id()}", headers=WAIT)
            answers.append((status, answer["code"]))

        client = threading.Thread(target=ask)
        client.start()
        until(lambda: aws.calls["ListObjectsV2"] > asked)
        api.process.terminate()
        client.join(30)
        assert answers == [(404, "not_archived")]
        if drain_seconds != "0":
            api.process.terminate()
        assert api.process.wait(30) == 0
