"""E-mails of many MiB through the running service: pointers and payloads, bounded memory, and small ones beside."""

import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from common.testing.waiting import eventually as until
from pillarbox.ids import new_message_id
from pillarbox.message import encode_body
from pillarbox.payload import pointer_in

from .aws_stub import AwsStub
from .fakes import TOKEN
from .load import Load
from .server import EMAIL, LARGE, MIB, Api, running
from .test_attacks import resident_bytes

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def api(aws: AwsStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with large_api(aws, tmp_path_factory.mktemp("large")) as api:
        yield api


@pytest.fixture(autouse=True)
def _healed(aws: AwsStub) -> Iterator[None]:
    """Let no test leave a fault, or what it stored, to the next one."""
    yield
    aws.s3, aws.s3_delay_seconds = lambda: None, 0
    for kept in (aws.objects, aws.pointers, aws.messages, aws.calls):
        kept.clear()


def large_api(aws: AwsStub, folder: Path, **settings: str) -> AbstractContextManager[Api]:
    return running(aws, folder, ready=True, **LARGE, **settings)


def email_of(size: int, text: str = "\U0001f4ee An e-mail of many lines.\n") -> dict[str, object]:
    return EMAIL | {"email_content": text * (size // len(text.encode()))}


def raw_of(data: object) -> bytes:
    return json.dumps({"data": data}, ensure_ascii=False).encode()


def payload_of(aws: AwsStub, message_id: str) -> bytes:
    """Return the payload of a message's pointer."""
    entry = aws.pointers[message_id]
    attributes = {name: value["StringValue"] for name, value in entry["MessageAttributes"].items()}
    pointer = pointer_in(entry["MessageBody"], attributes)
    assert pointer is not None
    payload = aws.objects[f"/{pointer.bucket}/{pointer.key}"]
    assert len(payload) == pointer.size_bytes
    return payload


def posted(api: Api, data: object, path: str = "/api/message", **headers: str) -> tuple[int, dict[str, Any]]:
    return api.request("POST", path, raw_of(data), BEARER | {"Content-Type": "application/json"} | headers)


def test_email_above_the_limit_of_sqs_arrives_as_a_pointer_to_the_body_of_a_small_one(aws: AwsStub, api: Api) -> None:
    email, key = email_of(3 * MIB), new_message_id()
    answers = [posted(api, email, **{"Idempotency-Key": key}) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    assert payload_of(aws, key) == encode_body(email).encode()  # type: ignore[arg-type]
    assert len(aws.objects) == 1  # the repeated request wrote nothing new, and sent the pointer again
    assert aws.messages[key] == 2
    assert api.post()[0] == 200
    assert len(aws.objects) == 1


def test_compressed_email_has_the_limits_of_its_inflated_size(aws: AwsStub, api: Api) -> None:
    headers = BEARER | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    text = "An e-mail of many lines.\n"
    email = email_of(15 * MIB, text)
    status, answer = api.request("POST", "/api/message", gzip.compress(raw_of(email), 1), headers)
    assert status == 200
    assert payload_of(aws, answer["message_id"]) == encode_body(email).encode()  # type: ignore[arg-type]
    for body in (gzip.compress(raw_of(email_of(17 * MIB, text)), 1), gzip.compress(bytes(20 * MIB), 1) * 10):
        assert api.request("POST", "/api/message", body, headers)[0] == 413
    assert api.request("GET", "/health")[0] == 200


def test_s3_out_of_reach_fails_large_emails_only(aws: AwsStub, api: Api) -> None:
    aws.s3 = lambda: (403, "AccessDenied")
    status, problem = posted(api, email_of(2 * MIB))
    assert (status, problem["code"]) == (503, "store_unavailable")
    assert api.post()[0] == 200
    status, answer = posted(api, [EMAIL, email_of(2 * MIB), EMAIL], "/api/messages")
    assert status == 207
    assert [result.get("problem", {}).get("code") for result in answer["results"]] == [None, "store_unavailable", None]
    assert aws.pointers == {}
    lines = [line for line in api.lines() if line["event"] == "payload was not stored"]
    assert [line["cause"] for line in lines] == ["store_access_denied"] * 2
    metrics = api.request("GET", "/metrics")[1]["text"]
    assert 'pillarbox_api_payloads_total{outcome="failed"} 2.0' in metrics


def test_slow_s3_delays_no_small_email(aws: AwsStub, api: Api) -> None:
    answered = threading.Event()

    def hangs() -> None:
        assert answered.wait(60)

    aws.s3 = hangs
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(posted, api, email_of(2 * MIB)) for _ in range(4)]
        try:
            until(lambda: aws.calls["PutObject"] == 4)
            assert [api.post()[0] for _ in range(20)] == [200] * 20
        finally:
            answered.set()
        assert [future.result(60)[0] for future in futures] == [200] * 4


class Peak:
    """The peak memory of a worker, including bodies in shared memory, until it is stopped."""

    def __init__(self, api: Api) -> None:
        self.bytes = 0
        self._api = api
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            self.bytes = max(self.bytes, resident_bytes(self._api))

    def stop(self) -> int:
        self._stopping.set()
        self._thread.join(10)
        return self.bytes


@pytest.mark.faults
@pytest.mark.parametrize("budget", [32, 128])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_eight_large_emails_at_once_are_all_queued_in_bounded_memory(
    aws: AwsStub, tmp_path: Path, budget: int, packed: bool, record_property: Any
) -> None:
    """With the default budget some are refused and retried. The pod's limit is 512 MiB."""
    aws.s3_delay_seconds = 0.3
    email = email_of(8 * MIB)
    raw = raw_of(email)
    headers = BEARER | {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if packed else {})
    body = gzip.compress(raw, 1) if packed else raw
    statuses: Counter[int] = Counter()

    def client(key: str) -> None:
        pause = threading.Event()
        for attempt in range(300):
            try:
                status, _ = bounded.request("POST", "/api/message", body, headers | {"Idempotency-Key": key})
            except OSError:  # the server has closed while the body was being sent
                status = 0
            statuses[status] += 1
            if status == 200:
                return
            pause.wait(0.1 + 0.02 * (attempt % 8))

    keys = [new_message_id() for _ in range(8)]
    with large_api(aws, tmp_path, MAX_BODY_BYTES_IN_FLIGHT=str(budget * MIB)) as bounded:
        peak, load = Peak(bounded), Load(bounded, clients=2)
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(client, keys))
        finally:
            load.stop()
            resident = peak.stop()
    record_property("peak_mib", resident // MIB)
    print("peak", resident // MIB, "MiB", dict(statuses), dict(load.statuses), round(load.slowest_seconds, 2))
    assert statuses[200] == 8
    assert set(statuses) <= {200, 503, 0}
    expected = encode_body(email).encode()  # type: ignore[arg-type]
    assert all(payload_of(aws, key) == expected for key in keys)
    assert set(load.statuses) == {200}
    assert resident < 448 * MIB
