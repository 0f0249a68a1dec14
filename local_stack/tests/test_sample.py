"""The sample e-mail: sent to a fake API, found in an S3 in this process."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from common.testing.ports import free_port
from local_stack import sample
from local_stack.processes import StackError
from local_stack.provision import client
from pillarbox.ids import message_id_at
from tests.identity.http_server import LoopbackServer, Quiet

BUCKET = "local-stack-sample"  # moto keeps its state in this process, so other tests must not use the name
MESSAGE_ID = message_id_at(datetime(2026, 12, 10, 14, 30, tzinfo=UTC), bytes(10))
KEY = f"messages/2026/12/10/{MESSAGE_ID}.json"
RECORD = {"message_id": MESSAGE_ID, "email_data": sample.SAMPLE}


@dataclass
class Api:
    """An API that answers each e-mail with `status` and stores it under `key`, if it has one."""

    s3: Any
    environment: dict[str, str] = field(default_factory=dict)
    status: int = 200
    key: str = KEY
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def take(self, token: str, body: bytes) -> tuple[int, str]:
        self.requests.append((token, json.loads(body)))
        if self.key:
            content = json.dumps(RECORD).encode()
            self.s3.put_object(
                Bucket=BUCKET, Key=self.key, Body=gzip.compress(content) if self.key.endswith(".gz") else content
            )
        return self.status, json.dumps({"message_id": MESSAGE_ID})


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # each worker would import it to collect the tests

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "S3_BUCKET_NAME": BUCKET,
        "API_TOKEN": "a-token",
    }
    server.stop()


@pytest.fixture
def api(aws: dict[str, str]) -> Iterator[Api]:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket=BUCKET)
    fake = Api(s3)

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
            status, text = fake.take(self.headers["Authorization"], self.body())
            self.reply(status if self.path == "/api/message" else 404, text, "application/json")

    server = LoopbackServer(Handler)
    fake.environment = aws | {"API_URL": f"http://127.0.0.1:{server.server_port}"}
    yield fake
    server.close()
    for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    s3.close()


def test_round_trip_returns_the_answer_and_the_object(api: Api) -> None:
    trip = sample.round_trip(api.environment)
    assert (trip.status, json.loads(trip.answer)["message_id"]) == (200, MESSAGE_ID)
    assert (trip.key, trip.record) == (KEY, RECORD)
    assert trip.seconds >= 0
    assert api.requests == [("Bearer a-token", {"data": sample.SAMPLE})]


def test_refused_sample_is_an_error_with_the_answer(api: Api) -> None:
    api.status, api.key = 401, ""
    with pytest.raises(StackError, match=f"refused with 401: .*{MESSAGE_ID}"):
        sample.round_trip(api.environment)


def test_sample_that_is_not_stored_in_time_is_an_error(api: Api) -> None:
    api.key = ""
    with pytest.raises(StackError, match=f"{MESSAGE_ID} was accepted but not stored within 0 s"):
        sample.round_trip(api.environment, timeout_seconds=0.02)


def test_api_that_does_not_answer_is_an_error(aws: dict[str, str]) -> None:
    environment = aws | {"API_URL": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(StackError, match="service1-api does not answer"):
        sample.send(environment, sample.SAMPLE)


@pytest.mark.parametrize(
    "key", [f"emails/{MESSAGE_ID}_143000.json", f"messages/2026/12/10/14/{MESSAGE_ID}-ab.jsonl.gz"]
)
def test_object_of_another_layout_is_found_by_a_search_of_all_keys(api: Api, key: str) -> None:
    api.key = key
    sample.send(api.environment, sample.SAMPLE)
    assert sample.find_object(api.s3, BUCKET, MESSAGE_ID, everywhere=False) is None
    assert sample.find_object(api.s3, BUCKET, MESSAGE_ID, everywhere=True) == key
    assert sample._record(api.s3, BUCKET, key) == RECORD


def test_no_object_is_found_if_none_has_the_id(api: Api) -> None:
    api.s3.put_object(Bucket=BUCKET, Key="messages/other.json", Body=b"{}")
    assert sample.find_object(api.s3, BUCKET, MESSAGE_ID, everywhere=True) is None
